"""What a Kafka is to every client of one; no client is imported here."""
