// Consumes with kinesis-readable: a stream for each shard; it keeps no state. Tuned: 1 ms between two reads, since 0 means 500.
const { Kinesis } = require("aws-sdk");
const readable = require("kinesis-readable");
const { add, job } = require("./tally.cjs");

const client = new Kinesis({
  region: "us-east-1",
  accessKeyId: "local",
  secretAccessKey: "local",
  endpoint: job.kinesis,
});
let bytes = 0;
for (let shard = 0; shard < job.shards; shard++) {
  const shardId = `shardId-${String(shard).padStart(12, "0")}`;
  const options = {
    shardId,
    iterator: "TRIM_HORIZON",
    limit: 10_000,
    ...job.isPaced ? {} : { readInterval: 1 },
  };
  readable(client, job.streamName, options)
    .on("error", (error) => {
      throw error;
    })
    .on("data", (records) => {
      for (const { Data } of records) bytes += Data.length;
      add(shardId, records.length, bytes);
    });
}
