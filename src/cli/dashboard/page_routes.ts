/**
 * Owns: the files of the page, as a browser gets them.
 * Must not: know what they do.
 * Called by: `dashboard.ts`.
 *
 * The page is TypeScript, imported as text: so it is within a package, a bundle and an executable alike. Its types are taken out when
 * it is asked for.
 *
 * @module
 */

import uPlotScript from "uplot/dist/uPlot.esm.js" with { type: "text" };
import uPlotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import type { Route } from "../http/router.ts";
import actions from "./page/actions.ts" with { type: "text" };
import charts from "./page/charts.ts" with { type: "text" };
import details from "./page/details.ts" with { type: "text" };
import dom from "./page/dom.ts" with { type: "text" };
import feed from "./page/feed.ts" with { type: "text" };
import format from "./page/format.ts" with { type: "text" };
import icon from "./page/icon.svg" with { type: "text" };
import live from "./page/live.ts" with { type: "text" };
import page from "./page/main.ts" with { type: "text" };
import html from "./page/page.html" with { type: "text" };
import style from "./page/page.css" with { type: "text" };
import model from "./page/model.ts" with { type: "text" };
import picture from "./page/picture.ts" with { type: "text" };
import shardTable from "./page/shard_table.ts" with { type: "text" };

const SCRIPTS: Readonly<Record<string, string>> = {
  "actions.ts": actions,
  "charts.ts": charts,
  "details.ts": details,
  "dom.ts": dom,
  "feed.ts": feed,
  "format.ts": format,
  "live.ts": live,
  "main.ts": page,
  "model.ts": model,
  "picture.ts": picture,
  "shard_table.ts": shardTable,
};

/** Nothing from elsewhere, nothing inline: what a worker id or an error holds can never become code. */
const POLICY = [
  "default-src 'none'",
  ...["connect-src", "font-src", "img-src", "script-src", "style-src"].map((kind) =>
    `${kind} 'self'`
  ),
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** The routes to the page and its files. */
export function pageRoutes(): readonly Route[] {
  return [
    file("/", "text/html; charset=utf-8", () => html),
    file("/dashboard/page.css", "text/css; charset=utf-8", () => `${uPlotStyle}\n${style}`),
    file("/dashboard/icon.svg", "image/svg+xml", () => icon),
    file("/dashboard/uplot.js", JAVASCRIPT, () => uPlotScript),
    ...Object.entries(SCRIPTS).map(([name, text]) =>
      file(`/dashboard/${name}`, JAVASCRIPT, () => withoutTypes(text))
    ),
  ];
}

const JAVASCRIPT = "text/javascript; charset=utf-8";

function file(path: string, type: string, make: () => string | Promise<string>): Route {
  let made: string | Promise<string> | undefined;
  return {
    path,
    method: "GET",
    handle: async () => {
      made ??= make();
      return new Response(await made, {
        headers: { "Content-Type": type, "Content-Security-Policy": POLICY },
      });
    },
  };
}

async function withoutTypes(text: string): Promise<string> {
  const { transform } = await import("sucrase");
  const { code } = transform(text, { transforms: ["typescript"], disableESTransforms: true });
  // What the types are found by is not where a browser finds it.
  return code.replace('from "uplot"', 'from "./uplot.js"');
}
