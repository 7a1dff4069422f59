/**
 * Owns: the work list from one module to all that it needs, and the files that they become.
 * Must not: evaluate anything; fetch by itself.
 * Called by: `graph.ts`.
 *
 * @module
 */

import { invariant } from "../../errors.ts";
import { sha256 } from "./integrity.ts";
import { LoadError, naming } from "./load_error.ts";
import type { GraphModule, ModuleGraph } from "./module_graph.ts";
import type { ModuleSource, VerifiedModule } from "./module_source.ts";
import { OWN_PACKAGE, ownPackageCode } from "./own_package.ts";
import { type ParsedImport, type ParsedModule, parseImports, rewrite } from "./rewrite.ts";
import { bundleHint, checkLocked, importTarget, type Target } from "./specifier.ts";
import { transpile } from "./transpile.ts";

/** A module to load, and who needs it. */
export interface Job {
  /** A URL, or a `jsr:` name. */
  readonly asked: string;
  readonly importer: { readonly url: string; readonly place: string | null } | null;
}

/** A module that was loaded. */
interface Node {
  readonly job: Job;
  readonly module: VerifiedModule;
  readonly parsed: ParsedModule;
  /** What its imports lead to, by their text. */
  readonly targets: ReadonlyMap<string, Target>;
}

/** What a builder starts from: a name alone, or a graph that it adds to. */
export type Beginning =
  & Pick<ModuleGraph, "id">
  & Partial<Pick<ModuleGraph, "modules" | "redirects">>;

const PARALLEL_MAX = 16;

/** Collects the modules of a graph. */
export class GraphBuilder {
  readonly #source: ModuleSource;
  readonly #id: string;
  /** By URL, those of the graph that is added to. */
  readonly #known: ReadonlyMap<string, GraphModule>;
  readonly #redirects: Map<string, string>;
  readonly #nodes = new Map<string, Node>();
  /** By what was asked for. */
  readonly #failures = new Map<string, LoadError>();
  readonly #asked = new Set<string>();

  constructor(source: ModuleSource, { id, modules = [], redirects = {} }: Beginning) {
    this.#source = source;
    this.#id = id;
    this.#known = new Map(modules.map((module) => [module.url, module]));
    this.#redirects = new Map(Object.entries(redirects));
  }

  /** A module that hands on what a package exports, so that a package can be a processor. */
  async addPackageEntry(entry: URL): Promise<string> {
    const name = JSON.stringify(entry.href);
    const text = `export * from ${name}; export { default } from ${name};`;
    const module: VerifiedModule = {
      url: entry.href,
      bytes: new TextEncoder().encode(text),
      contentType: "text/javascript",
      etag: null,
      isFromCache: false,
      sha256: await sha256(text),
    };
    await this.#add({ asked: entry.href, importer: null }, module);
    this.#asked.add(entry.href);
    return entry.href;
  }

  /**
   * Loads a module and all that it needs, wave by wave: a recursion would wait for itself when modules import each
   * other.
   *
   * @throws {LoadError} If one that is needed cannot be had.
   */
  async loadAll(first: Job): Promise<void> {
    const { modulesMax } = this.#source.context.limits;
    for (let wave = this.#missing([first]); wave.length > 0; wave = this.#missing(this.#jobs())) {
      if (this.#nodes.size + wave.length > modulesMax) {
        throw new LoadError(
          `it has more than ${modulesMax} modules, the most that a processor may have; ` +
            bundleHint(first.asked),
        );
      }
      for (let i = 0; i < wave.length; i += PARALLEL_MAX) {
        await Promise.all(wave.slice(i, i + PARALLEL_MAX).map((job) => this.#load(job)));
      }
      this.#throwIfNeeded(first.asked);
    }
    this.#throwIfNeeded(first.asked);
  }

  /** The graph of what was loaded. */
  async finish(asked: string): Promise<Omit<ModuleGraph, "place">> {
    this.#spreadFailures();
    const nodes = [...this.#nodes].filter(([url]) => !this.#failures.has(url));
    const fileNames = new Map([...this.#known].map(([url, { fileName }]) => [url, fileName]));
    for (const [url, { parsed }] of nodes) {
      const extension = parsed.kind === "json" ? "json" : "mjs";
      fileNames.set(url, `${fileNames.size}-${baseName(url)}.${extension}`);
    }
    const modules: GraphModule[] = [];
    for (const [url, { module, parsed, targets }] of nodes) {
      const code = await rewrite(parsed, {
        id: this.#id,
        fileOf: (specifier) => this.#fileOf(targets.get(specifier), fileNames),
      });
      modules.push({
        url,
        sha256: module.sha256,
        bytes: module.bytes.length,
        etag: module.etag,
        isFromCache: module.isFromCache,
        fileName: fileNames.get(url) ?? "",
        code,
      });
    }
    return {
      id: this.#id,
      standInFor: null,
      isFrozen: this.#source.lock?.isFrozen ?? false,
      url: this.#finalUrl(asked),
      version: await versionOf(modules),
      modules: [...modules, ...await this.#ownPackage(nodes.map(([, node]) => node))],
      redirects: Object.fromEntries(this.#redirects),
      failures: Object.fromEntries(
        [...this.#failures].map(([url, error]) => [url, error.message]),
      ),
    };
  }

  #fileOf(target: Target | undefined, fileNames: ReadonlyMap<string, string>): string {
    invariant(target, "every import leads somewhere");
    switch (target.kind) {
      case "own":
        return `./${OWN_FILE}`;
      case "module":
        return `./${fileNames.get(this.#finalUrl(target.url))}`;
      case "package":
        return target.specifier;
      default:
        return target satisfies never;
    }
  }

  async #ownPackage(nodes: readonly Node[]): Promise<readonly GraphModule[]> {
    const isUsed = nodes.some(({ targets }) =>
      [...targets.values()].some(({ kind }) => kind === "own")
    );
    if (!isUsed || this.#known.has(OWN_PACKAGE)) return [];
    const code = await ownPackageCode();
    return [{
      url: OWN_PACKAGE,
      sha256: await sha256(code),
      bytes: code.length,
      etag: null,
      isFromCache: false,
      fileName: OWN_FILE,
      code,
    }];
  }

  /** The jobs of all imports of the modules so far. */
  #jobs(): readonly Job[] {
    return [...this.#nodes].flatMap(([url, { parsed, targets }]) =>
      parsed.imports.flatMap(({ specifier, place }) => {
        const target = targets.get(specifier);
        return target?.kind === "module" ? [{ asked: target.url, importer: { url, place } }] : [];
      })
    );
  }

  #missing(jobs: readonly Job[]): readonly Job[] {
    return jobs.filter(({ asked }) => {
      if (this.#asked.has(asked) || this.#known.has(this.#finalUrl(asked))) return false;
      this.#asked.add(asked);
      return true;
    });
  }

  async #load(job: Job): Promise<void> {
    try {
      const module = await this.#source.load(job.asked, job.importer?.url ?? null);
      if (module.url !== job.asked) this.#redirects.set(job.asked, module.url);
      if (!this.#nodes.has(module.url)) await this.#add(job, module);
    } catch (error) {
      if (!(error instanceof LoadError)) throw error;
      this.#failures.set(job.asked, this.#withChain(error, job));
    }
  }

  async #add(job: Job, module: VerifiedModule): Promise<void> {
    const transpiled = await transpile(module.url, module.bytes, module.contentType);
    const parsed = await parseImports(module.url, transpiled);
    const targets = new Map<string, Target>();
    for (const one of parsed.imports) {
      try {
        targets.set(one.specifier, this.#targetOf(one, module.url));
      } catch (error) {
        if (!(error instanceof LoadError)) throw error;
        if (!one.isLate || error.isDistrusted) throw error;
        // It is told when the import runs, which finds out again.
      }
    }
    this.#nodes.set(module.url, { job, module, parsed, targets });
  }

  #targetOf({ specifier, type, place }: ParsedImport, base: string): Target {
    if (type !== null && type !== "json") {
      throw new LoadError(
        `${naming(base)}:${place} cannot import "${
          naming(specifier)
        }": of the types after "with" ` +
          `only json is supported, not ${naming(type)}`,
      );
    }
    const target = importTarget(specifier, base);
    if (this.#source.lock?.isFrozen) checkLocked(target, specifier, { base, place });
    return target;
  }

  /** Throws if something that runs with the first module cannot be had, or if something is not what was trusted. */
  #throwIfNeeded(first: string): void {
    const distrusted = [...this.#failures.values()].find((error) => error.isDistrusted);
    if (distrusted) throw distrusted;
    const needed = [first];
    const seen = new Set(needed);
    for (const asked of needed) {
      const failure = this.#failures.get(asked);
      if (failure) throw failure;
      const node = this.#nodes.get(this.#finalUrl(asked));
      for (const one of node?.parsed.imports ?? []) {
        const target = node?.targets.get(one.specifier);
        if (one.isLate || target?.kind !== "module") continue;
        this.#checkType(one, target.url, node?.module.url ?? first);
        if (seen.has(target.url)) continue;
        seen.add(target.url);
        needed.push(target.url);
      }
    }
  }

  #checkType(one: ParsedImport, asked: string, importer: string): void {
    const kind = this.#nodes.get(this.#finalUrl(asked))?.parsed.kind;
    if (kind === undefined || (kind === "json") === (one.type === "json")) return;
    const reason = kind === "json"
      ? `it is JSON; write with { type: "json" } behind it`
      : `it is not JSON, as with { type: "json" } says`;
    throw new LoadError(
      `${naming(importer)}:${one.place} cannot import "${naming(one.specifier)}": ${reason}`,
    );
  }

  /** A module that needs one that cannot be had cannot be had either. */
  #spreadFailures(): void {
    for (let before = -1; before < this.#failures.size;) {
      before = this.#failures.size;
      for (const [url, { parsed, targets }] of this.#nodes) {
        for (const { specifier, isLate } of parsed.imports) {
          const target = targets.get(specifier);
          const failure = !isLate && target?.kind === "module"
            ? this.#failures.get(target.url) ?? this.#failures.get(this.#finalUrl(target.url))
            : undefined;
          if (failure) this.#failures.set(url, failure);
        }
      }
    }
  }

  #withChain(error: LoadError, job: Job): LoadError {
    const chain: string[] = [];
    for (let importer = job.importer; importer !== null;) {
      chain.push(
        `\n  imported by ${naming(importer.url)}${importer.place ? `:${importer.place}` : ""}`,
      );
      importer = this.#nodes.get(importer.url)?.job.importer ?? null;
      if (chain.length > CHAIN_MAX) break;
    }
    const { isUnreachable, isDistrusted } = error;
    return new LoadError(error.message + chain.join(""), {
      cause: error.cause,
      isUnreachable,
      isDistrusted,
    });
  }

  #finalUrl(asked: string): string {
    return this.#redirects.get(asked) ?? asked;
  }
}

const CHAIN_MAX = 20;
const OWN_FILE = "kinesix.mjs";

function baseName(url: string): string {
  const path = new URL(url).protocol === "data:" ? "data" : new URL(url).pathname;
  const name = path.split("/").at(-1)?.replace(/\.[a-z]+$/i, "").replaceAll(
    /[^A-Za-z0-9_-]+/g,
    "_",
  );
  return name?.slice(0, 40) || "module";
}

async function versionOf(modules: readonly GraphModule[]): Promise<string> {
  const lines = modules.map(({ url, sha256 }) => `${sha256} ${url}\n`).sort();
  return (await sha256(lines.join(""))).slice(0, 12);
}
