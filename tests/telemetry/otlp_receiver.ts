// Owns: a collector: OTLP over HTTP, in JSON, and what it was sent.
// Must not: assert anything.
// Called by: open_telemetry_test.ts.

type Attributes = readonly {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}[];

interface DataPoint {
  readonly attributes: Attributes;
  readonly asInt?: string;
  readonly asDouble?: number;
  readonly count?: string;
  readonly sum?: number;
}

/** A metric as it is sent. */
export interface OtlpMetric {
  readonly name: string;
  readonly unit: string;
  readonly sum?: { readonly dataPoints: readonly DataPoint[]; readonly isMonotonic: boolean };
  readonly gauge?: { readonly dataPoints: readonly DataPoint[] };
  readonly histogram?: { readonly dataPoints: readonly DataPoint[] };
}

/** A span as it is sent. */
export interface OtlpSpan {
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Attributes;
  readonly events: readonly { readonly name: string; readonly attributes: Attributes }[];
  readonly status: { readonly code?: number };
}

/** A collector on loopback. */
export class OtlpReceiver implements AsyncDisposable {
  readonly spans: OtlpSpan[] = [];
  /** The last export of each metric that came. */
  readonly metrics: Map<string, OtlpMetric> = new Map();
  readonly paths: Set<string> = new Set();
  readonly #scopes: readonly string[];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** @param scopes Whose metrics and spans are kept. */
  constructor(scopes: readonly string[] = ["kinesix"]) {
    this.#scopes = scopes;
    this.#server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      async (request) => {
        const { pathname } = new URL(request.url);
        this.paths.add(pathname);
        this.#take(await request.json());
        return Response.json({});
      },
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  #take(body: {
    readonly resourceMetrics?: readonly {
      readonly scopeMetrics: readonly Scoped<{ readonly metrics: readonly OtlpMetric[] }>[];
    }[];
    readonly resourceSpans?: readonly {
      readonly scopeSpans: readonly Scoped<{ readonly spans: readonly OtlpSpan[] }>[];
    }[];
  }): void {
    const metrics = body.resourceMetrics?.flatMap(({ scopeMetrics }) => scopeMetrics) ?? [];
    for (const { scope, metrics: own } of metrics) {
      if (!this.#scopes.includes(scope.name)) continue;
      own.forEach((metric) => this.metrics.set(metric.name, metric));
    }
    const spans = body.resourceSpans?.flatMap(({ scopeSpans }) => scopeSpans) ?? [];
    this.spans.push(
      ...spans.filter(({ scope }) => this.#scopes.includes(scope.name)).flatMap((s) => s.spans),
    );
  }
}

type Scoped<T> = T & { readonly scope: { readonly name: string } };

/** Attributes as an object; numbers as numbers. */
export function attributesOf(attributes: Attributes): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [plain] = Object.values(value);
      return [key, "intValue" in value ? Number(plain) : plain];
    }),
  );
}

/** The value of a point. */
export function valueOf(point: DataPoint | undefined): number {
  return Number(point?.asInt ?? point?.asDouble ?? NaN);
}
