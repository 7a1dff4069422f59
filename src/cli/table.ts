/**
 * Owns: `kinesix table print`: the state table as CloudFormation, Terraform, or the input of the AWS CLI.
 * Must not: create it.
 * Called by: `commands/setup_commands.ts`.
 *
 * @module
 */

import { HASH_KEY, RANGE_KEY } from "../adapters/row_codec.ts";
import { resolveConfig, type ResolvedConfig } from "../core/config.ts";
import type { Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** A state table to be created. */
export interface TablePlan {
  readonly appName: string;
  readonly tableName: string;
  readonly config: Pick<
    ResolvedConfig,
    "billingMode" | "dynamoDBReadThroughput" | "dynamoDBWriteThroughput"
  >;
  readonly tags: ReadonlyMap<string, string>;
}

/** The ways to print it. */
const TABLE_FORMATS: { readonly [format: string]: (plan: TablePlan) => string } = {
  cloudformation,
  terraform,
  json: createTableInput,
};

/** Says which app a table is of, wherever tables are listed. */
const APP_TAG = "kinesix-app";

/** Prints the table; nothing is called. */
export async function printTable(values: Values, terminal: Terminal): Promise<number> {
  const appName = values.need("app");
  const format = values.isOn("json") ? "json" : values.need("format");
  const plan: TablePlan = {
    appName,
    tableName: tableNameOf(values),
    config: resolveConfig(values.config),
    tags: new Map([[APP_TAG, appName], ...tagsOf(values.text("tags") ?? "")]),
  };
  await terminal.write(`${(TABLE_FORMATS[format] ?? createTableInput)(plan)}\n`);
  if (format === "json") {
    terminal.say(
      "note: for aws dynamodb create-table --cli-input-json; then switch point-in-time recovery on with " +
        `aws dynamodb update-continuous-backups --table-name ${plan.tableName} ` +
        "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
    );
  }
  return 0;
}

/** The name of the state table of an app. */
export function tableNameOf(values: Values): string {
  return values.need("app") + resolveConfig(values.config).dynamoDBTableSuffix;
}

/** Tags as people write them: `team=orders,stage=live`. */
function tagsOf(text: string): readonly (readonly [string, string])[] {
  return text.split(",").filter((pair) => pair !== "").map((pair) => {
    const at = pair.indexOf("=");
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
}

function cloudformation({ tableName, config, tags }: TablePlan): string {
  const billing = config.billingMode === "PAY_PER_REQUEST"
    ? ["      BillingMode: PAY_PER_REQUEST"]
    : [
      "      BillingMode: PROVISIONED",
      "      ProvisionedThroughput:",
      `        ReadCapacityUnits: ${config.dynamoDBReadThroughput}`,
      `        WriteCapacityUnits: ${config.dynamoDBWriteThroughput}`,
    ];
  const keys = [[HASH_KEY, "HASH"], [RANGE_KEY, "RANGE"]] as const;
  return [
    'AWSTemplateFormatVersion: "2010-09-09"',
    "Resources:",
    "  KinesixStateTable:",
    "    Type: AWS::DynamoDB::Table",
    "    # Who deletes the stack keeps the checkpoints.",
    "    DeletionPolicy: Retain",
    "    UpdateReplacePolicy: Retain",
    "    Properties:",
    `      TableName: ${JSON.stringify(tableName)}`,
    "      KeySchema:",
    ...keys.flatMap(([name, type]) => [
      `        - AttributeName: ${name}`,
      `          KeyType: ${type}`,
    ]),
    "      AttributeDefinitions:",
    ...keys.flatMap(([name]) => [`        - AttributeName: ${name}`, "          AttributeType: S"]),
    ...billing,
    "      PointInTimeRecoverySpecification:",
    "        PointInTimeRecoveryEnabled: true",
    "      DeletionProtectionEnabled: true",
    "      Tags:",
    ...[...tags].flatMap(([key, value]) => [
      `        - Key: ${JSON.stringify(key)}`,
      `          Value: ${JSON.stringify(value)}`,
    ]),
  ].join("\n");
}

function terraform({ tableName, config, tags }: TablePlan): string {
  const billing = config.billingMode === "PAY_PER_REQUEST"
    ? ['  billing_mode                = "PAY_PER_REQUEST"']
    : [
      '  billing_mode                = "PROVISIONED"',
      `  read_capacity               = ${config.dynamoDBReadThroughput}`,
      `  write_capacity              = ${config.dynamoDBWriteThroughput}`,
    ];
  // As terraform fmt has it.
  const width = Math.max(...[...tags.keys()].map((key) => JSON.stringify(key).length));
  return [
    'resource "aws_dynamodb_table" "kinesix_state" {',
    `  name                        = ${JSON.stringify(tableName)}`,
    `  hash_key                    = ${JSON.stringify(HASH_KEY)}`,
    `  range_key                   = ${JSON.stringify(RANGE_KEY)}`,
    ...billing,
    "  deletion_protection_enabled = true",
    ...[HASH_KEY, RANGE_KEY].flatMap((name) => [
      "",
      "  attribute {",
      `    name = ${JSON.stringify(name)}`,
      '    type = "S"',
      "  }",
    ]),
    "",
    "  point_in_time_recovery {",
    "    enabled = true",
    "  }",
    "",
    "  tags = {",
    ...[...tags].map(([key, value]) =>
      `    ${JSON.stringify(key).padEnd(width)} = ${JSON.stringify(value)}`
    ),
    "  }",
    "",
    "  lifecycle {",
    "    prevent_destroy = true",
    "  }",
    "}",
  ].join("\n");
}

function createTableInput({ tableName, config, tags }: TablePlan): string {
  const keys = [[HASH_KEY, "HASH"], [RANGE_KEY, "RANGE"]] as const;
  return JSON.stringify(
    {
      TableName: tableName,
      KeySchema: keys.map(([AttributeName, KeyType]) => ({ AttributeName, KeyType })),
      AttributeDefinitions: keys.map(([AttributeName]) => ({ AttributeName, AttributeType: "S" })),
      BillingMode: config.billingMode,
      ...config.billingMode === "PROVISIONED" && {
        ProvisionedThroughput: {
          ReadCapacityUnits: config.dynamoDBReadThroughput,
          WriteCapacityUnits: config.dynamoDBWriteThroughput,
        },
      },
      DeletionProtectionEnabled: true,
      Tags: [...tags].map(([Key, Value]) => ({ Key, Value })),
    },
    null,
    2,
  );
}
