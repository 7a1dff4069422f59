// The part of npm:dynalite that this project uses; the package has no types of its own.
import type { Server } from "node:http";

interface DynaliteOptions {
  readonly createTableMs?: number;
  readonly deleteTableMs?: number;
  readonly updateTableMs?: number;
}

export default function dynalite(options?: DynaliteOptions): Server;
