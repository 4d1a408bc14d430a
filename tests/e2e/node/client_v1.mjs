// The TypeScript SDK v1 (2025-11-25 and older) as a client to script. One JSON object in, one out; see runner.mjs.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { run } from "./runner.mjs";

await run(async (job) => {
  const capabilities = job.elicit ? { elicitation: {} } : {};
  const client = new Client({ name: "client-v1", version: "1.0.0" }, { capabilities });
  if (job.elicit) client.setRequestHandler(ElicitRequestSchema, async () => job.elicit);
  const transport = job.command
    ? new StdioClientTransport({ command: job.command[0], args: job.command.slice(1), env: { ...process.env, ...job.env } })
    : new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers: job.headers } });
  await client.connect(transport, { timeout: job.timeout });
  return {
    client,
    protocol: () => transport.protocolVersion ?? null,
    callTool: (params, options) => client.callTool(params, undefined, options),
  };
});
