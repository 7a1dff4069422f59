// The types of jsr:@std/cli/parse-args that this project uses, over the same code from npm.
import * as impl from "npm:deno-std@1.4.0/cli/parse_args.js";

export interface ParseOptions {
  readonly "--"?: boolean;
  readonly alias?: Readonly<Record<string, string | readonly string[]>>;
  readonly boolean?: readonly string[];
  readonly string?: readonly string[];
  readonly collect?: readonly string[];
  readonly negatable?: readonly string[];
  readonly stopEarly?: boolean;
  readonly unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

export type Args = { readonly _: readonly (string | number)[] } & Readonly<Record<string, unknown>>;

export const parseArgs: (args: string[], options?: ParseOptions) => Args = impl
  .parseArgs as never;
