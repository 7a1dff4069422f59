/**
 * What the executable may do: no more than it needs, and it never asks.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { CliProcess, works } from "../cli/cli_testing.ts";
import { binaryTest, startWorker } from "./binary.ts";
import { startStack } from "../cli/worker_testing.ts";

/** Tries what must not be possible, and says how that ended. */
const BURGLAR = `
const tries = {
  run: () => new Deno.Command("/bin/true").outputSync(),
  ffi: () => Deno.dlopen("/nonexistent.so", {}),
  sys: () => Deno.networkInterfaces(),
};
console.log("tty", String(Deno.stdin.isTerminal() && Deno.stdout.isTerminal()));
for (const [name, run] of Object.entries(tries)) {
  try { run(); console.log(name, "allowed"); } catch (error) { console.log(name, error.name); }
}
throw new Error("tried everything");`;

binaryTest("it never asks for a permission, not even on a terminal", async (binary) => {
  const processor = `data:text/javascript,${encodeURIComponent(BURGLAR)}`;
  const command = `'${binary}' run --app A --stream S --processor '${processor}'`;
  await using call = new CliProcess(["-qefc", command, "/dev/null"], {
    program: { command: "script", args: [] },
  });
  // If it asks, it waits.
  const patience = setTimeout(() => call.kill("SIGKILL"), 10_000);
  const code = await call.ended();
  clearTimeout(patience);
  assertEquals(code, 1, call.stdout.join("\n"));
  const said = call.stdout.map((line) => line.trim());
  assertEquals(said.slice(0, 4), [
    "tty true",
    "run NotCapable",
    "ffi NotCapable",
    "sys NotCapable",
  ]);
  assertMatch(said.slice(4).join("\n"), /^error: Cannot .*: tried everything/s);
}, works("script", "-qefc", "true", "/dev/null"));

/** Stands before a service and notes whose signature each request has. */
function watch(target: string): AsyncDisposable & { url: string; accessKeys: Set<string> } {
  const accessKeys = new Set<string>();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const { method, headers } = request;
      accessKeys.add(
        /Credential=([^/]+)\//.exec(headers.get("authorization") ?? "")?.[1] ?? "none",
      );
      const { pathname } = new URL(request.url);
      return await fetch(target + pathname, { method, headers, body: await request.arrayBuffer() });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    accessKeys,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Where a worker on AWS finds who it is; each gives the access key "AKIDTEST". */
const SOURCES: Readonly<Record<string, (place: Place) => Readonly<Record<string, string>>>> = {
  "the environment": () => ({ AWS_ACCESS_KEY_ID: "AKIDTEST", AWS_SECRET_ACCESS_KEY: "secret" }),
  "a profile": ({ folder }) => {
    Deno.mkdirSync(`${folder}/.aws`);
    Deno.writeTextFileSync(
      `${folder}/.aws/credentials`,
      "[p]\naws_access_key_id = AKIDTEST\naws_secret_access_key = secret\n",
    );
    return { HOME: folder, AWS_PROFILE: "p" };
  },
  "a role of a profile": ({ folder, url }) => {
    Deno.mkdirSync(`${folder}/.aws`);
    Deno.writeTextFileSync(
      `${folder}/.aws/config`,
      "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/worker\nsource_profile = base\n" +
        "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = secret\n",
    );
    return { HOME: folder, AWS_PROFILE: "p", AWS_ENDPOINT_URL_STS: url };
  },
  "single sign-on": ({ folder, url }) => {
    Deno.mkdirSync(`${folder}/.aws/sso/cache`, { recursive: true });
    Deno.writeTextFileSync(
      `${folder}/.aws/config`,
      "[profile p]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = worker\n" +
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.com/start\n",
    );
    // The name of the file is the SHA-1 of the session's name.
    Deno.writeTextFileSync(
      `${folder}/.aws/sso/cache/a0f1490a20d0211c997b44bc357e1972deab8ae3.json`,
      JSON.stringify({ accessToken: "token", expiresAt: inAnHour().toISOString() }),
    );
    return { HOME: folder, AWS_PROFILE: "p", AWS_ENDPOINT_URL_SSO: url };
  },
  "a container": ({ url }) => ({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/container` }),
  "a web identity": ({ folder, url }) => {
    Deno.writeTextFileSync(`${folder}/token`, "token");
    return {
      AWS_WEB_IDENTITY_TOKEN_FILE: `${folder}/token`,
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/worker",
      AWS_ENDPOINT_URL_STS: url,
    };
  },
};

/** What a source of credentials may use. */
interface Place {
  readonly folder: string;
  readonly url: string;
}

function inAnHour(): Date {
  return new Date(Date.now() + 3_600_000);
}

/** Answers as a container's agent, as single sign-on and as the Security Token Service do. */
async function giveCredentials(request: Request): Promise<Response> {
  const expiration = inAnHour();
  const until = expiration.toISOString();
  const { pathname } = new URL(request.url);
  if (pathname === "/container") {
    return Response.json({
      AccessKeyId: "AKIDTEST",
      SecretAccessKey: "secret",
      Token: "token",
      Expiration: until,
    });
  }
  if (pathname === "/federation/credentials") {
    const credentials = {
      accessKeyId: "AKIDTEST",
      secretAccessKey: "secret",
      sessionToken: "token",
    };
    return Response.json({ roleCredentials: { ...credentials, expiration: expiration.getTime() } });
  }
  const action = new URLSearchParams(await request.text()).get("Action");
  return new Response(
    `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
      <${action}Result><Credentials><AccessKeyId>AKIDTEST</AccessKeyId>
      <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
      <Expiration>${until}</Expiration></Credentials></${action}Result>
    </${action}Response>`,
    { headers: { "content-type": "text/xml" } },
  );
}

for (const [source, prepare] of Object.entries(SOURCES)) {
  binaryTest(`both clients of AWS work with credentials from ${source}`, async (binary) => {
    const folder = await Deno.makeTempDir({ prefix: "kinesix-credentials-" });
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => Deno.remove(folder, { recursive: true }));
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      giveCredentials,
    );
    cleanup.defer(() => server.shutdown());
    await using stack = await startStack(1);
    await using kinesis = watch(stack.kinesisEndpoint);
    await using dynamoDB = watch(stack.dynamoDBEndpoint);
    await using worker = startWorker({
      program: { command: binary, args: [] },
      stack: { kinesisEndpoint: kinesis.url, dynamoDBEndpoint: dynamoDB.url },
      processor: "data:text/javascript,export default { process() {} }",
      env: {
        AWS_REGION: "us-east-1",
        ...prepare({ folder, url: `http://127.0.0.1:${server.addr.port}` }),
      },
    });
    await worker.untilTold("shard_claimed");
    await worker.stop();
    assertEquals([[...kinesis.accessKeys], [...dynamoDB.accessKeys]], [["AKIDTEST"], ["AKIDTEST"]]);
  });
}
