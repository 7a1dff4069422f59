/**
 * Owns: the commands about a local stack: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import type { Command } from "../command.ts";
import { JSON_SWITCH, numberFlag, STREAM } from "../common_flags.ts";
import { type Flag, oneOf, wholeNumber } from "../flags.ts";

/** `kinesix local`. */
export const LOCAL: Command = {
  name: "local",
  summary: "run a local Kinesis and a local DynamoDB until stopped",
  details: [
    "Both listen on this machine only and keep everything in memory. Any credentials will do.",
  ],
  examples: ["kinesix local --stream TestStream --shards 4"],
  flags: [
    portFlag("kinesis-port", "4567"),
    portFlag("dynamodb-port", "8000"),
    { ...STREAM, doc: "a stream to create", isRequired: false, isInEnvironment: false },
    {
      name: "shards",
      placeholder: "N",
      doc: "the shards of that stream",
      accepts: wholeNumber(1, 500),
      defaultValue: "1",
    },
    { ...JSON_SWITCH, doc: "print the endpoints as one line of JSON" },
  ],
  settings: [],
  load: () => import("../local.ts").then((module) => module.local),
};

/** `kinesix demo`. */
export const DEMO: Command = {
  name: "demo",
  summary: "show the whole of it on this machine in less than a minute",
  details: [
    "Starts a local Kinesis and DynamoDB, puts records, processes them with several worker processes,",
    "stops one of them half-way and starts another, and checks that nothing was lost or out of order.",
  ],
  examples: ["kinesix demo", "kinesix demo --shards 8 --workers 3 --json"],
  flags: [
    numberFlag("shards", "the shards of the stream", [1, 64, 4]),
    numberFlag("records", "the records to put and process", [1, 1_000_000, 20_000]),
    numberFlag("workers", "the worker processes", [1, 16, 2]),
    { ...JSON_SWITCH, doc: "print the summary as one line of JSON" },
  ],
  settings: [],
  load: () => import("../demo.ts").then((module) => module.demo),
};

/** `kinesix completions`. */
export const COMPLETIONS: Command = {
  name: "completions",
  summary: "print what a shell needs to complete commands, flags and values at the tab key",
  details: [],
  args: [{ name: "SHELL", doc: "bash, zsh or fish", accepts: oneOf("bash", "zsh", "fish") }],
  examples: [
    "source <(kinesix completions bash)   # in ~/.bashrc",
    "source <(kinesix completions zsh)    # in ~/.zshrc, after compinit",
    "kinesix completions fish > ~/.config/fish/completions/kinesix.fish",
  ],
  flags: [],
  settings: [],
  load: () => import("../completions.ts").then((module) => module.completions),
};

function portFlag(name: string, defaultValue: string): Flag {
  return {
    name,
    placeholder: "P",
    doc: "a port; 0 takes a free one",
    accepts: wholeNumber(0, 65_535),
    defaultValue,
  };
}
