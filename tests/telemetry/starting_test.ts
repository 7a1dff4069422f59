// A worker answers HTTP while it is still on its way into its cluster, and a port that cannot be had is told before anything is done.
import { assertEquals, assertMatch } from "@std/assert";
import { CliProcess } from "../cli/cli_testing.ts";
import { Clinic } from "../cli/doctor_testing.ts";
import { eventually } from "./stack.ts";

function worker(clinic: Clinic, http: string): CliProcess {
  return new CliProcess([
    ...["run", "--app=A", "--stream=S", "--worker-id=w1", `--http=${http}`, ...clinic.endpoints],
    ...["--processor=data:text/javascript,export default { process() {} };", "--heartbeat=500ms"],
  ]);
}

Deno.test("starting: whoever probes a worker whose state table does not answer yet is told that it starts", async () => {
  const gate = Promise.withResolvers<void>();
  await using clinic = await Clinic.start({ dynamoDB: () => gate.promise });
  await using process = worker(clinic, "127.0.0.1:0");
  const line = await eventually(
    () => process.stderr.find((line) => line.startsWith("listening on ")),
    (line) => line !== undefined,
    20_000,
  );
  const url = /^listening on (\S+): /.exec(line ?? "")?.[1] ?? "";
  const codes: number[] = [];
  for (
    const path of [
      "/healthz",
      "/readyz",
      "/healthz?scope=cluster",
      "/metrics",
      "/",
      "/dashboard/live",
    ]
  ) {
    const response = await fetch(url + path);
    codes.push(response.status);
    const text = await response.text();
    if (path === "/readyz") assertMatch(text, /"workerId":null.*the worker is starting/);
    if (path === "/dashboard/live") assertMatch(text, /Cannot show the cluster yet: the worker/);
  }
  assertEquals(codes, [200, 503, 503, 200, 200, 503]);
  gate.resolve();
  const ready = await eventually(
    async () => {
      const response = await fetch(`${url}/readyz`);
      return { code: response.status, ...await response.json() };
    },
    ({ code }) => code === 200,
    20_000,
  );
  assertEquals([ready.workerId, ready.phase], ["w1", "running"]);
  process.kill("SIGTERM");
  assertEquals(await process.ended(), 0);
});

Deno.test("starting: a port that another program has is told before the stream or the state table is asked for anything", async () => {
  const asked: string[] = [];
  await using clinic = await Clinic.start({
    dynamoDB: (operation) => void asked.push(operation),
    kinesis: ({ operation }, proceed) => {
      asked.push(operation);
      return proceed();
    },
  });
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using process = worker(clinic, `127.0.0.1:${taken.addr.port}`);
  assertEquals(await process.ended(), 1);
  assertMatch(
    process.stderr.join("\n"),
    /Cannot listen on --http .* another program listens there/,
  );
  assertEquals(asked, []);
});
