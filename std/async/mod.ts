export * from "./abortable.ts";
export * from "./delay.ts";
export * from "./retry.ts";
