/**
 * Owns: a checkout that uses the packages of https://jsr.io itself, instead of the stand-ins in `std/`.
 * Called by: the workflows, before anything else; it changes the checkout.
 */

const ROOT = new URL("../", import.meta.url);

/** A configuration without the stand-ins, as `deno fmt` leaves it. */
export function withoutLinks(config: string): string {
  const { links, ...rest } = JSON.parse(config);
  if (!Array.isArray(links)) {
    throw new Error("Cannot take the links out of deno.json: there are none");
  }
  return `${JSON.stringify(rest, null, 2)}\n`;
}

if (import.meta.main) {
  const config = new URL("deno.json", ROOT);
  await Deno.writeTextFile(config, withoutLinks(await Deno.readTextFile(config)));
  await Deno.remove(new URL("std/", ROOT), { recursive: true });
}
