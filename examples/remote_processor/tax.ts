/** An order, as it is in the stream. */
export interface Order {
  readonly id: string;
  readonly total: number;
}

const RATE = 0.19;

/** The order with what has to be paid for it. */
export function withTax({ id, total }: Order): Order {
  return { id, total: total * (1 + RATE) };
}
