import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.management.ManagementFactory;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's Java client for the benchmark: takes orders as lines of JSON on its standard input, one at a time, answers on its
 * standard output, and ends with its input. It stays for all turns, so that what the compiler made of its code stays too.
 * Argument: the brokers, as in bootstrap.servers. The orders and answers are described in java-program.ts.
 */
final class JavaClient {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration POLL = Duration.ofMillis(100);
  private static final Duration CLOSE = Duration.ofSeconds(10);

  private final String brokers;
  private final PrintStream answers;
  private KafkaProducer<byte[], byte[]> producer;

  private JavaClient(String brokers, PrintStream answers) {
    this.brokers = brokers;
    this.answers = answers;
  }

  public static void main(String[] args) throws IOException {
    var client = new JavaClient(args[0], System.out);
    // Nothing that a library prints may come between the answers.
    System.setOut(System.err);
    var orders = new LinkedBlockingQueue<JsonNode>();
    var worker = new Thread(() -> client.carryOutAll(orders), "orders");
    worker.setDaemon(true);
    worker.start();
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) orders.add(JSON.readTree(line));
    // Whoever gave the orders is gone, and nobody waits for the one under way.
    Runtime.getRuntime().halt(0);
  }

  private void carryOutAll(LinkedBlockingQueue<JsonNode> orders) {
    while (true) {
      try {
        answer("done", carryOut(orders.take()));
      } catch (Exception error) {
        answer("failed", Map.of("message", error.toString()));
      }
    }
  }

  private Map<String, Object> carryOut(JsonNode order) throws Exception {
    var type = order.get("type").asText();
    switch (type) {
      case "open":
        return open(order);
      case "produce":
        return produce(order);
      case "close":
        producer.close(CLOSE);
        return Map.of();
      case "consume":
        return consume(order);
      default:
        throw new IllegalArgumentException("no order " + type + ", only open, produce, close and consume");
    }
  }

  private void answer(String type, Map<String, Object> content) {
    var whole = new HashMap<String, Object>(content);
    whole.put("type", type);
    try {
      answers.println(JSON.writeValueAsString(whole));
      answers.flush();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** A producer that knows its topic: what it has to ask for first is not measured. */
  private Map<String, Object> open(JsonNode order) {
    producer = new KafkaProducer<>(settingsOf(order), new ByteArraySerializer(), new ByteArraySerializer());
    producer.partitionsFor(order.get("topic").asText());
    return Map.of();
  }

  private Map<String, Object> settingsOf(JsonNode order) {
    var settings = new HashMap<String, Object>();
    for (var field : order.get("settings").properties()) settings.put(field.getKey(), field.getValue().asText());
    settings.put("bootstrap.servers", brokers);
    return settings;
  }

  /** Sends as fast as the producer takes records until the time is over, and waits until all are acknowledged. */
  private Map<String, Object> produce(JsonNode order) throws Exception {
    var topic = order.get("topic").asText();
    int partitions = order.get("partitions").asInt();
    int recordsMax = order.get("recordsMax").asInt();
    // The producer copies a value before its call returns.
    byte[] value = order.get("template").binaryValue();
    var failed = new AtomicReference<Exception>();
    var cpu = new CpuClock();
    long beganNs = System.nanoTime();
    long limitNs = order.get("durationMs").asLong() * 1_000_000;
    int sent = 0;
    while (sent < recordsMax && failed.get() == null && System.nanoTime() - beganNs < limitNs) {
      Stamps.write(value, sent);
      var record = new ProducerRecord<byte[], byte[]>(topic, sent % partitions, null, value);
      producer.send(record, (metadata, error) -> {
        if (error != null) failed.compareAndSet(null, error);
      });
      sent++;
    }
    producer.flush();
    double ms = (System.nanoTime() - beganNs) / 1e6;
    if (failed.get() != null) throw failed.get();
    return Map.of("records", sent, "ms", ms, "cpuMs", cpu.elapsedMs());
  }

  /** Reads from the start until so many records were seen, and checks each; times from the first to the last. */
  private Map<String, Object> consume(JsonNode order) throws IOException {
    var topic = order.get("topic").asText();
    int records = order.get("records").asInt();
    long silenceNs = order.get("silenceMs").asLong() * 1_000_000;
    var bytes = new ByteArrayDeserializer();
    try (var consumer = new KafkaConsumer<byte[], byte[]>(settingsOf(order), bytes, bytes)) {
      List<TopicPartition> places =
          consumer.partitionsFor(topic).stream().map(info -> new TopicPartition(topic, info.partition())).toList();
      var check = new Check(order.get("template").binaryValue(), records, places.size());
      consumer.assign(places);
      consumer.seekToBeginning(places);
      CpuClock cpu = null;
      long firstNs = 0;
      long lastNs = System.nanoTime();
      while (check.total < records && System.nanoTime() - lastNs < silenceNs) {
        var polled = consumer.poll(POLL);
        if (polled.isEmpty()) continue;
        if (cpu == null) {
          answer("began", Map.of());
          cpu = new CpuClock();
          firstNs = System.nanoTime();
        }
        for (var record : polled) check.see(record);
        lastNs = System.nanoTime();
      }
      if (cpu == null) throw new IllegalStateException("not one record of " + topic + " was read");
      double ms = (lastNs - firstNs) / 1e6;
      return Map.of("records", check.total, "ms", ms, "cpuMs", cpu.elapsedMs(), "faults", check.faults());
    }
  }

  /** Processor time of this process, all of its threads, from the making of the clock. */
  private static final class CpuClock {
    private final com.sun.management.OperatingSystemMXBean system =
        (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private final long beganNs = system.getProcessCpuTime();

    double elapsedMs() {
      return (system.getProcessCpuTime() - beganNs) / 1e6;
    }
  }

  /** Where a record says which it is: the same places as in stamped-records.ts. */
  private static final class Stamps {
    static final int HEAD_BYTES = 8;
    static final int TAIL_BYTES = 4;
    private static final int RUN_BYTES = 4;
    private static final VarHandle U32 = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

    static void write(byte[] value, int sequence) {
      U32.set(value, RUN_BYTES, sequence);
      U32.set(value, value.length - TAIL_BYTES, ~sequence);
    }

    /** The number of a value that is as it was made from the template; -1 for any other. */
    static int read(byte[] value, byte[] template) {
      if (value == null || value.length != template.length) return -1;
      int sequence = (int) U32.get(value, RUN_BYTES);
      int end = value.length - TAIL_BYTES;
      boolean whole = (int) U32.get(value, end) == ~sequence
          && Arrays.equals(value, 0, RUN_BYTES, template, 0, RUN_BYTES)
          && Arrays.equals(value, HEAD_BYTES, end, template, HEAD_BYTES, end);
      return whole ? sequence : -1;
    }
  }

  /** Counts what came as SequenceCheck does: every number below `count` once, and in order within its partition. */
  private static final class Check {
    private final byte[] template;
    private final int count;
    private final BitSet seen;
    /** By partition. */
    private final int[] newest;
    private int duplicated;
    private int reordered;
    private int foreign;
    int total;

    Check(byte[] template, int count, int partitions) {
      this.template = template;
      this.count = count;
      this.seen = new BitSet(count);
      this.newest = new int[partitions];
    }

    /** Records are written without a key: one that has a key is another's. */
    void see(ConsumerRecord<byte[], byte[]> record) {
      total++;
      int sequence = record.key() == null ? Stamps.read(record.value(), template) : -1;
      if (sequence < 0 || sequence >= count) {
        foreign++;
        return;
      }
      if (seen.get(sequence)) {
        duplicated++;
        return;
      }
      seen.set(sequence);
      if (sequence < newest[record.partition()]) reordered++;
      else newest[record.partition()] = sequence;
    }

    Map<String, Integer> faults() {
      int lost = count - seen.cardinality();
      return Map.of("lost", lost, "duplicated", duplicated, "reordered", reordered, "foreign", foreign);
    }
  }
}
