/**
 * Owns: the KCL for Node as one of the peers. Its Java daemon starts a process of Node for each shard, which runs this file too,
 * and tells the first one over TCP what it processed, since its own stdout belongs to the daemon.
 * Called by: `install.ts`: `kcl_node.cjs JOB JARS`; the daemon: `kcl_node.cjs`.
 */

const { spawn } = require("node:child_process");
const { readdirSync, readFileSync, writeFileSync } = require("node:fs");
const { connect, createServer } = require("node:net");

const CHECKPOINT_EVERY_MS = 1_000;
/** The kernel counts CPU time in these: a hundredth of a second. */
const TICKS_PER_SECOND = 100;

if (process.argv[2] === undefined) processShard(require("aws-kcl"));
else startDaemon(process.argv[3]);

/** One shard: what a user of the KCL writes. */
function processShard(kcl) {
  const counter = connect(Number(process.env.PEER_PORT), "127.0.0.1");
  let checkpointedAt = Date.now();
  let shardId;
  kcl({
    initialize(input, done) {
      shardId = input.shardId;
      done();
    },
    processRecords({ records, checkpointer }, done) {
      let bytes = 0;
      for (const { data } of records) bytes += Buffer.from(data, "base64").length;
      counter.write(`${JSON.stringify({ shardId, records: records.length, bytes })}\n`);
      const last = records.at(-1)?.sequenceNumber;
      if (Date.now() - checkpointedAt < CHECKPOINT_EVERY_MS || last === undefined) return done();
      checkpointedAt = Date.now();
      checkpointer.checkpoint(last, () => done());
    },
    leaseLost: (_input, done) => done(),
    shardEnded: ({ checkpointer }, done) => checkpointer.checkpoint(() => done()),
    shutdownRequested: (_input, done) => done(),
  }).run();
}

function startDaemon(jars) {
  const tally = require("./tally.cjs");
  const { job } = tally;
  let bytes = 0;
  const server = createServer((socket) => {
    let rest = "";
    socket.on("data", (chunk) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const told = JSON.parse(line);
        bytes += told.bytes;
        tally.add(told.shardId, told.records, bytes);
      }
    });
    socket.on("error", () => {}); // The daemon was ended.
  });
  server.listen(0, "127.0.0.1", () => {
    const properties = `${__dirname}/${job.appName}.properties`;
    writeFileSync(properties, propertiesOf(job));
    const java = spawn("java", [
      "-Xmx1g",
      "-Daws.cborEnabled=false",
      ...["-cp", `${jars}/*`, "software.amazon.kinesis.multilang.MultiLangDaemon"],
      ...["--properties-file", properties],
    ], {
      cwd: __dirname,
      stdio: "ignore",
      env: {
        ...process.env,
        PEER_PORT: String(server.address().port),
        AWS_ACCESS_KEY_ID: "local",
        AWS_SECRET_ACCESS_KEY: "local",
        AWS_EC2_METADATA_DISABLED: "true",
      },
    });
    tally.measure = () => measureTree(java.pid);
    process.on("exit", () => java.kill("SIGKILL"));
  });
}

function propertiesOf({ streamName, appName, kinesis, dynamoDB, isPaced }) {
  return [
    `executableName = ${process.execPath} ${__filename}`,
    `streamName = ${streamName}`,
    `applicationName = ${appName}`,
    "AwsCredentialsProvider = DefaultCredentialsProvider",
    "processingLanguage = nodejs",
    "initialPositionInStream = TRIM_HORIZON",
    "regionName = us-east-1",
    `kinesisEndpoint = ${kinesis}`,
    `dynamoDBEndpoint = ${dynamoDB}`,
    "metricsLevel = NONE",
    "retrievalMode = POLLING",
    ...isPaced ? [] : ["idleTimeBetweenReadsInMillis = 0"],
  ].join("\n");
}

/** What the daemon and all its children have used. */
function measureTree(root) {
  const children = new Map();
  const used = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [, parent, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const [, peakKb = "0"] =
        /VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${name}/status`, "utf8")) ?? [];
      const ticks = Number(rest[9]) + Number(rest[10]);
      used.set(Number(name), { ticks, peakKb: Number(peakKb) });
      children.set(Number(parent), [...children.get(Number(parent)) ?? [], Number(name)]);
    } catch {
      // It has ended since the list was made.
    }
  }
  const sum = { cpuSeconds: 0, peakMb: 0 };
  const add = (pid) => {
    const { ticks = 0, peakKb = 0 } = used.get(pid) ?? {};
    sum.cpuSeconds += ticks / TICKS_PER_SECOND;
    sum.peakMb += peakKb / 1_024;
    for (const child of children.get(pid) ?? []) add(child);
  };
  add(root);
  return sum;
}
