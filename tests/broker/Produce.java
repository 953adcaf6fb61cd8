// Kafka's own producer, as most upstreams have it: sends events with each codec in turn.
// Run from its source: java -cp 'JARS/*' Produce.java BOOTSTRAP TOPIC EVENTS_N

import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Produce {
  public static void main(String[] arguments) {
    for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
      Properties settings = new Properties();
      settings.put("bootstrap.servers", arguments[0]);
      settings.put("compression.type", codec);
      settings.put("linger.ms", "100");
      settings.put("batch.size", "900000");
      settings.put("key.serializer", ByteArraySerializer.class.getName());
      settings.put("value.serializer", ByteArraySerializer.class.getName());
      try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
        for (int i = 0; i < Integer.parseInt(arguments[2]); i++) {
          String event = "{\"id\":\"java-" + codec + "-" + i + "\",\"features\":{\"x\":" + i + "},\"label\":" + (i % 3 == 0) + "}";
          byte[] value = event.getBytes(StandardCharsets.UTF_8);
          producer.send(new ProducerRecord<>(arguments[1], 0, null, value));
        }
      }
    }
  }
}
