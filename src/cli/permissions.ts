/**
 * Owns: which permission each command needs, on what, and the IAM policy of them.
 * Must not: call AWS, or print.
 * Called by: `iam.ts`, `doctor/access_checks.ts`; a test holds the policy in `docs/security.md` equal to it.
 *
 * @module
 */

/** What a command is for, as far as permissions go. */
export type Purpose =
  | "run"
  | "status"
  | "steer"
  | "put"
  | "tail"
  | "replay"
  | "redrive"
  | "consumer"
  | "doctor";

/** Every purpose, and what it stands for. */
export const PURPOSES: { readonly [P in Purpose]: string } = {
  run: "a worker",
  status: "kinesix status, kinesix explain",
  steer: "kinesix shard, kinesix checkpoint",
  put: "kinesix put",
  tail: "kinesix tail",
  replay: "kinesix replay",
  redrive: "kinesix redrive",
  consumer: "kinesix consumer",
  doctor: "kinesix doctor, which also tries those of a worker",
};

/** What a permission is on. */
export type Target = "stream" | "consumers" | "failureStream" | "table" | "kclTable";

/** A permission. */
export interface Permission {
  /** As IAM names it, such as `kinesis:GetRecords`. */
  readonly action: string;
  readonly target: Target;
}

/** What decides which permissions are needed. */
export interface Needs {
  readonly purpose: Purpose;
  /** Whether records are read through a registered consumer. */
  readonly isFanOut: boolean;
  /** Whether the state table may be created, and its throughput changed. */
  readonly createsTable: boolean;
  /** The stream that failure records go to, or are redriven from. */
  readonly failureStream?: string;
  /** The KCL's lease table that checkpoints are taken from. */
  readonly kclTable?: string;
}

/** Where it all is. */
export interface Place {
  readonly region: string;
  readonly account: string;
  readonly streamName: string;
  readonly tableName: string;
}

/** A policy as IAM takes it. */
export interface Policy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly {
    readonly Effect: "Allow";
    readonly Action: readonly string[];
    readonly Resource: string;
  }[];
}

const READ_STREAM = ["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"];
const SUMMARY = "kinesis:DescribeStreamSummary";
const FIND_CONSUMER = "kinesis:DescribeStreamConsumer";
const CREATE_TABLE = ["dynamodb:CreateTable", "dynamodb:UpdateTable"];
const STEER_TABLE = ["dynamodb:Query", "dynamodb:GetItem", "dynamodb:UpdateItem"];

/** The permissions that are needed, those on one thing together. */
export function permissionsFor(needs: Needs): readonly Permission[] {
  const wanted: readonly (readonly [Target, readonly string[]])[] = [
    ["stream", streamActions(needs)],
    ["consumers", consumerActions(needs)],
    ["failureStream", failureActions(needs)],
    ["table", tableActions(needs)],
    ["kclTable", needs.kclTable === undefined ? [] : ["dynamodb:Scan"]],
  ];
  return wanted.flatMap(([target, actions]) => actions.map((action) => ({ action, target })));
}

/** The least policy with which it works. */
export function policyFor(needs: Needs, place: Place): Policy {
  const permissions = permissionsFor(needs);
  const targets = [...new Set(permissions.map(({ target }) => target))];
  return {
    Version: "2012-10-17",
    Statement: targets.map((target) => ({
      Effect: "Allow",
      Action: permissions.filter((one) => one.target === target).map(({ action }) => action),
      Resource: resourceOf(target, needs, place),
    })),
  };
}

/** The ARN of what a permission is on. */
function resourceOf(target: Target, needs: Needs, place: Place): string {
  const { region, account, streamName, tableName } = place;
  const arn = (service: string, rest: string): string =>
    `arn:${partitionOf(region)}:${service}:${region}:${account}:${rest}`;
  switch (target) {
    case "stream":
      return arn("kinesis", `stream/${streamName}`);
    case "consumers":
      return arn("kinesis", `stream/${streamName}/consumer/*`);
    case "failureStream":
      return arn("kinesis", `stream/${needs.failureStream ?? ""}`);
    case "table":
      return arn("dynamodb", `table/${tableName}`);
    case "kclTable":
      return arn("dynamodb", `table/${needs.kclTable ?? ""}`);
    default:
      return target satisfies never;
  }
}

function streamActions({ purpose, isFanOut }: Needs): readonly string[] {
  switch (purpose) {
    case "run":
      // It also warns before records are lost, by how long the stream keeps them.
      return isFanOut
        ? ["kinesis:ListShards", SUMMARY, "kinesis:RegisterStreamConsumer"]
        : [...READ_STREAM, SUMMARY];
    case "doctor":
    case "steer":
    case "replay":
      return [...READ_STREAM, SUMMARY];
    case "tail":
      return READ_STREAM;
    case "put":
    case "redrive":
      return ["kinesis:PutRecords"];
    case "consumer":
      return [SUMMARY, "kinesis:ListStreamConsumers"];
    case "status":
      return [];
    default:
      return purpose satisfies never;
  }
}

function consumerActions({ purpose, isFanOut }: Needs): readonly string[] {
  if (purpose === "consumer") return ["kinesis:DeregisterStreamConsumer"];
  if (!isFanOut) return [];
  if (purpose === "doctor") return [FIND_CONSUMER];
  return purpose === "run" ? [FIND_CONSUMER, "kinesis:SubscribeToShard"] : [];
}

function failureActions({ purpose, failureStream }: Needs): readonly string[] {
  if (failureStream === undefined) return [];
  if (purpose === "run" || purpose === "replay") return ["kinesis:PutRecord", SUMMARY];
  if (purpose === "redrive") return READ_STREAM;
  return purpose === "doctor" ? [SUMMARY] : [];
}

function tableActions({ purpose, createsTable }: Needs): readonly string[] {
  switch (purpose) {
    case "run":
      return [
        "dynamodb:DescribeTable",
        ...createsTable ? CREATE_TABLE : [],
        ...STEER_TABLE,
        "dynamodb:DeleteItem",
      ];
    case "doctor":
      return ["dynamodb:DescribeTable", ...STEER_TABLE, "dynamodb:DeleteItem"];
    case "steer":
      // An import puts rows into a table that may not be there yet.
      return ["dynamodb:DescribeTable", ...createsTable ? CREATE_TABLE : [], ...STEER_TABLE];
    case "status":
      return ["dynamodb:Query"];
    case "put":
    case "tail":
    case "replay":
    case "redrive":
    case "consumer":
      return [];
    default:
      return purpose satisfies never;
  }
}

/** AWS in China and for the US government are clouds of their own. */
function partitionOf(region: string): string {
  if (region.startsWith("cn-")) return "aws-cn";
  return region.startsWith("us-gov-") ? "aws-us-gov" : "aws";
}
