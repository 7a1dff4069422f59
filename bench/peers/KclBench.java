// Consumes with the KCL for Java 3, by polling. Tuned: no idle time between two reads. It checkpoints each shard once a second,
// as this library does; CloudWatch is off.

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.StreamIdentifier;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.*;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

public final class KclBench {
    static final Object LOCK = new Object();
    static long target;
    static boolean isWatched;
    static long seen;
    static long halfSeen;
    static long halfAt;
    static long halfCpu;
    static long bytes;

    /** KINESIS DYNAMODB STREAM APP WORKER RECORDS IS_PACED IS_WATCHED */
    public static void main(String[] args) throws Exception {
        target = Long.parseLong(args[5]);
        boolean isPaced = Boolean.parseBoolean(args[6]);
        isWatched = Boolean.parseBoolean(args[7]);
        var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("local", "local"));
        var kinesis = KinesisAsyncClient.builder().region(Region.US_EAST_1).credentialsProvider(credentials)
            .endpointOverride(URI.create(args[0]))
            .httpClientBuilder(NettyNioAsyncHttpClient.builder().maxConcurrency(1_000)).build();
        var dynamoDB = DynamoDbAsyncClient.builder().region(Region.US_EAST_1).credentialsProvider(credentials)
            .endpointOverride(URI.create(args[1])).build();
        var cloudWatch = CloudWatchAsyncClient.builder().region(Region.US_EAST_1)
            .credentialsProvider(credentials).build();
        var position = InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        var tracker = new SingleStreamTracker(StreamIdentifier.singleStreamInstance(args[2]), position);
        var configs = new ConfigsBuilder(tracker, args[3], kinesis, dynamoDB, cloudWatch, args[4], Consumer::new);
        var polling = new PollingConfig(args[2], kinesis);
        if (!isPaced) polling.idleTimeBetweenReadsInMillis(0);
        var scheduler = new Scheduler(
            configs.checkpointConfig(), configs.coordinatorConfig(), configs.leaseManagementConfig(),
            configs.lifecycleConfig(), configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
            configs.processorConfig(), configs.retrievalConfig().retrievalSpecificConfig(polling));
        var thread = new Thread(scheduler);
        thread.setDaemon(true);
        thread.start();
        while (System.in.read() != -1) {}
        // SIGTERM's way is startGracefulShutdown(); whoever closes stdin does not wait for it.
        Runtime.getRuntime().halt(0);
    }

    static long cpuNanos() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static void add(int records, long recordBytes) throws Exception {
        if (seen == 0 && records > 0) say("{\"kind\":\"first\"}");
        seen += records;
        bytes += recordBytes;
        if (halfAt == 0 && seen >= target / 2) {
            halfSeen = seen;
            halfCpu = cpuNanos();
            halfAt = System.nanoTime();
        }
        if (seen < target || target < 0) return;
        double seconds = (System.nanoTime() - halfAt) / 1e9;
        double cpuSeconds = (cpuNanos() - halfCpu) / 1e9;
        String peakKb = Files.readAllLines(Path.of("/proc/self/status")).stream()
            .filter(line -> line.startsWith("VmHWM")).findFirst().orElse("0").replaceAll("\\D", "");
        say("{\"kind\":\"done\",\"records\":" + (seen - halfSeen) + ",\"seconds\":" + seconds + ",\"cpuSeconds\":"
            + cpuSeconds + ",\"peakMb\":" + Double.parseDouble(peakKb) / 1_024 + ",\"bytes\":" + bytes + "}");
    }

    static final class Consumer implements ShardRecordProcessor {
        private String shardId;
        private long checkpointedAt = System.nanoTime();

        @Override
        public void initialize(InitializationInput input) {
            shardId = input.shardId();
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            try {
                long size = 0;
                for (var record : input.records()) size += record.data().remaining();
                synchronized (LOCK) {
                    add(input.records().size(), size);
                    if (isWatched && !input.records().isEmpty()) {
                        say("{\"kind\":\"batch\",\"shardId\":\"" + shardId + "\"}");
                    }
                }
                if (System.nanoTime() - checkpointedAt < 1_000_000_000L || input.records().isEmpty()) return;
                checkpointedAt = System.nanoTime();
                input.checkpointer().checkpoint();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {}

        @Override
        public void shardEnded(ShardEndedInput input) {}

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            try {
                input.checkpointer().checkpoint();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }
    }
}
