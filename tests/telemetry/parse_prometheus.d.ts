// Owns: the types of a parser that has none.

/** A family of series. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly metrics: readonly {
    readonly value?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly buckets?: Readonly<Record<string, string>>;
  }[];
}

/** Reads the text format. */
export default function parsePrometheus(text: string): readonly Family[];
