// Consumes with lifion-kinesis. Tuned: no wait between two reads.
const Kinesis = require("lifion-kinesis");
const { add, job } = require("./tally.cjs");

const aws = { region: "us-east-1", accessKeyId: "local", secretAccessKey: "local" };
const tell = (...what) => process.stderr.write(`${what.map(String).join(" ")}\n`);
let bytes = 0;
const kinesis = new Kinesis({
  ...aws,
  streamName: job.streamName,
  endpoint: job.kinesis,
  consumerGroup: job.appName,
  createStreamIfNeeded: false,
  initialPositionInStream: "TRIM_HORIZON",
  dynamoDb: { ...aws, endpoint: job.dynamoDB, tableName: job.appName },
  logger: { error: tell, warn: tell },
  ...job.isPaced ? {} : { pollDelay: 0 },
});
kinesis.on("data", ({ records, shardId }) => {
  for (const { data } of records) bytes += data.length;
  add(shardId, records.length, bytes);
});
kinesis.on("error", (error) => {
  throw error;
});
kinesis.startConsumer();
