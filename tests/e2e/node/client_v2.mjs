// The TypeScript SDK v2 as a client to script; with `mode: "auto"` it speaks 2026-07-28. See runner.mjs.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { run } from "./runner.mjs";

await run(async (job) => {
  const capabilities = job.elicit ? { elicitation: { form: {}, url: {} } } : {};
  const options = { capabilities, versionNegotiation: { mode: job.mode ?? "auto" } };
  const client = new Client({ name: "client-v2", version: "1.0.0" }, options);
  if (job.elicit) client.setRequestHandler("elicitation/create", async () => job.elicit);
  const transport = job.command
    ? new StdioClientTransport({ command: job.command[0], args: job.command.slice(1), env: { ...process.env, ...job.env } })
    : new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers: job.headers } });
  await client.connect(transport, { timeout: job.timeout });
  return {
    client,
    protocol: () => client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null,
    callTool: (params, options) => client.callTool(params, options),
  };
});
