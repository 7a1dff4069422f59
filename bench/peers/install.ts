/**
 * Owns: the other consumers of Kinesis: getting them into a folder that is not part of the project, and starting them.
 * Called by: `peers.ts`.
 */

import { ChildProcess, denoChild } from "../child.ts";

/** What a consumer is to read, and from where. */
export interface PeerJob {
  readonly kinesis: string;
  readonly dynamoDB: string;
  readonly streamName: string;
  /** A state table of its own. */
  readonly appName: string;
  readonly workerId: string;
  readonly shards: number;
  /** After so many it tells what they took; -1 is never. */
  readonly records: number;
  /** Whether it waits between two reads as it does by itself; else as little as it can be told to. */
  readonly isPaced: boolean;
  /** Whether it tells each batch, with its shard. */
  readonly isWatched: boolean;
}

/** What a consumer tells. */
export type PeerLine =
  | { readonly kind: "first" }
  | { readonly kind: "batch"; readonly shardId: string }
  | {
    readonly kind: "done";
    /** The second half of all. */
    readonly records: number;
    readonly seconds: number;
    readonly cpuSeconds: number;
    readonly peakMb: number;
    /** The payload of all records. */
    readonly bytes: number;
  };

/** A consumer of Kinesis. */
export interface Peer {
  readonly name: string;
  /** Whether it is one process, and shares the shards with others. */
  readonly canBeKilled: boolean;
  start(job: PeerJob): ChildProcess;
}

/** The consumers that can be had here, and why the others cannot. */
export interface Peers {
  readonly peers: readonly Peer[];
  readonly missing: readonly string[];
  /** Where Amazon's DynamoDB Local is; null if it cannot be had. */
  readonly dynamoDBLocal: string | null;
}

const KCL_VERSION = "3.5.1";
const KCL_NODE_VERSION = "2.3.2";
const NODE_PEERS = [
  "lifion-kinesis@1.3.3",
  "kinesis-readable@1.2.0",
  `aws-kcl@${KCL_NODE_VERSION}`,
];
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>peers</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>software.amazon.kinesis</groupId><artifactId>amazon-kinesis-client</artifactId>
    <version>${KCL_VERSION}</version>
  </dependency></dependencies>
</project>
`;

const OURS: Peer = {
  name: "this library",
  canBeKilled: true,
  start: (job) => denoChild("peers/kinesix.ts", [JSON.stringify(job)]),
};

/** Puts the others into a folder, or finds them there. */
export async function installPeers(
  folder: string,
  say: (line: string) => void,
): Promise<Peers> {
  await Deno.mkdir(folder, { recursive: true });
  const missing: string[] = [];
  const tryTo = async <T>(what: string, install: () => Promise<T>): Promise<T | null> => {
    try {
      say(`installing ${what}`);
      return await install();
    } catch (error) {
      missing.push(`${what}: ${error instanceof Error ? error.message : error}`);
      return null;
    }
  };
  const node = await tryTo(NODE_PEERS.join(", "), () => installNodePeers(folder));
  const kclNode = await tryTo(`KCL for Node ${KCL_NODE_VERSION}`, () => installKclNode(folder));
  const kcl = await tryTo(`KCL ${KCL_VERSION}`, () => installKcl(folder));
  const dynamoDBLocal = await tryTo("DynamoDB Local", () => installDynamoDBLocal(folder));
  return { peers: [OURS, ...node ?? [], ...kcl ?? [], ...kclNode ?? []], missing, dynamoDBLocal };
}

async function installNodePeers(folder: string): Promise<readonly Peer[]> {
  if (!await exists(`${folder}/node_modules/aws-kcl`)) {
    await Deno.writeTextFile(`${folder}/package.json`, `{"private":true}`);
    await run("npm", ["install", "--no-audit", "--no-fund", "--silent", ...NODE_PEERS], folder);
  }
  for (const file of ["tally.cjs", "lifion.cjs", "readable.cjs", "kcl_node.cjs"]) {
    await Deno.copyFile(new URL(file, import.meta.url), `${folder}/${file}`);
  }
  return [
    nodePeer("lifion-kinesis 1.3.3, Node", [`${folder}/lifion.cjs`], true),
    nodePeer("kinesis-readable 1.2.0, Node", [`${folder}/readable.cjs`], false),
  ];
}

function nodePeer(
  name: string,
  [file = "", ...more]: readonly string[],
  canBeKilled: boolean,
): Peer {
  return {
    name,
    canBeKilled,
    start: (job) =>
      new ChildProcess(name, {
        command: "node",
        args: [file, JSON.stringify(job), ...more],
        env: { AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE: "1" },
      }),
  };
}

/** The jars are those that the package names in a pom of its own, which lacks what Maven wants to know. */
async function installKclNode(folder: string): Promise<readonly Peer[]> {
  const jars = `${folder}/kcl-node-${KCL_NODE_VERSION}`;
  if (!await exists(jars)) {
    const pom = await Deno.readTextFile(`${folder}/node_modules/aws-kcl/pom.xml`);
    const model = "<modelVersion>4.0.0</modelVersion>";
    const named = "<groupId>local</groupId><artifactId>peers</artifactId><version>1</version>";
    await copyJars(pom.replace(model, model + named), jars, folder);
  }
  return [nodePeer(`KCL ${KCL_NODE_VERSION}, Node`, [`${folder}/kcl_node.cjs`, jars], false)];
}

async function installKcl(folder: string): Promise<readonly Peer[]> {
  const jars = `${folder}/kcl-${KCL_VERSION}`;
  if (!await exists(jars)) {
    await copyJars(POM, jars, folder);
  }
  const source = new URL("KclBench.java", import.meta.url).pathname;
  await run("javac", ["-cp", `${jars}/*`, "-d", `${folder}/classes`, source], folder);
  return [{
    name: `KCL ${KCL_VERSION}, Java`,
    canBeKilled: true,
    start: ({ kinesis, dynamoDB, streamName, appName, workerId, records, isPaced, isWatched }) =>
      new ChildProcess("KclBench", {
        command: "java",
        args: [
          // CBOR is what the canned server does not speak; without a limit the heap takes what there is.
          "-Xmx1g",
          "-Daws.cborEnabled=false",
          ...["-cp", `${jars}/*:${folder}/classes`, "KclBench"],
          ...[kinesis, dynamoDB, streamName, appName, workerId],
          ...[records, isPaced, isWatched].map(String),
        ],
        env: { AWS_EC2_METADATA_DISABLED: "true" },
      }),
  }];
}

async function copyJars(pom: string, jars: string, folder: string): Promise<void> {
  await Deno.writeTextFile(`${folder}/pom.xml`, pom);
  const goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"];
  await run("mvn", ["-q", "-B", ...goal, `-DoutputDirectory=${jars}.part`], folder);
  await Deno.rename(`${jars}.part`, jars);
}

async function installDynamoDBLocal(folder: string): Promise<string> {
  const script = new URL("../../.ci/dynamodb_local", import.meta.url).pathname;
  await run(script, [`${folder}/dynamodb-local`], folder);
  return `${folder}/dynamodb-local`;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args: [...args], cwd }).output();
  if (success) return;
  const [line = ""] = new TextDecoder().decode(stderr).trim().split("\n").slice(-1);
  throw new Error(`Cannot run ${command}: ${line}`);
}
