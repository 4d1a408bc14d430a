// Drives an MCP client by a JSON job, from the first argument or standard input, and prints one JSON object.
//
// job: {url | command, headers, env, token, timeout, mode, elicit, steps: [...]}; a step is {list: "tools"|"prompts"|
// "resources"}, {call: NAME, arguments, timeout, progress: true}, {prompt: NAME, arguments}, {read: URI} or {wait: MS}.
// answer: {protocol, steps: [{result | error: {message, code, data}, progress?}], error?}. A failing step does not stop
// the next one. Exit code 0 unless connecting failed.
import { readFileSync } from "node:fs";

function told(error) {
  return { message: String(error?.message ?? error), code: error?.code ?? null, data: error?.data ?? null };
}

async function perform(step, opened, job) {
  const { client } = opened;
  const options = { timeout: step.timeout ?? job.timeout };
  if (step.wait !== undefined) return { result: await new Promise((done) => setTimeout(() => done(null), step.wait)) };
  if (step.list === "tools") return { result: await client.listTools(undefined, options) };
  if (step.list === "prompts") return { result: await client.listPrompts(undefined, options) };
  if (step.list === "resources") return { result: await client.listResources(undefined, options) };
  if (step.prompt) return { result: await client.getPrompt({ name: step.prompt, arguments: step.arguments }, options) };
  if (step.read) return { result: await client.readResource({ uri: step.read }, options) };
  const progress = [];
  if (step.progress) {
    options.onprogress = (note) => progress.push(note);
    options.resetTimeoutOnProgress = true;
  }
  const result = await opened.callTool({ name: step.call, arguments: step.arguments ?? {} }, options);
  return step.progress ? { result, progress } : { result };
}

export async function run(open) {
  const job = JSON.parse(process.argv[2] ?? readFileSync(0, "utf8"));
  job.timeout ??= 30000;
  job.headers = { ...(job.token ? { Authorization: `Bearer ${job.token}` } : {}), ...job.headers };
  const answer = { protocol: null, steps: [] };
  let opened;
  try {
    opened = await open(job);
    answer.protocol = opened.protocol();
    for (const step of job.steps ?? []) {
      try {
        answer.steps.push(await perform(step, opened, job));
      } catch (error) {
        answer.steps.push({ error: told(error) });
      }
    }
  } catch (error) {
    answer.error = told(error);
    process.exitCode = 1;
  }
  console.log(JSON.stringify(answer));
  await opened?.client.close().catch(() => undefined);
  setTimeout(() => process.exit(), 1000).unref();
}
