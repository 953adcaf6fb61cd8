"""What watches a fold, of our own."""
