// Drives an MCP client by a JSON job, from the first argument or standard input, and prints one JSON object.
//
// job: {url | command, headers, env, token, timeout, mode, elicit, steps: [...]}; a step is {list: "tools"|"prompts"|
// "resources"}, {call: NAME, arguments, timeout, progress: true}, {prompt: NAME, arguments}, {read: URI} or {wait: MS}.
// answer: {protocol, steps: [{result | error: {message, code, data}, progress?}], error?}. A failing step does not stop
// the next one. Exit code 0 unless connecting failed.
// With `interactive: true` (job as argument) it prints {protocol} and then takes each step as a line of standard input
// and answers it with a line, until the input ends.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

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

async function attempt(step, opened, job) {
  try {
    return await perform(step, opened, job);
  } catch (error) {
    return { error: told(error) };
  }
}

function print(value) {
  console.log(JSON.stringify(value));
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
    if (job.interactive) {
      print({ protocol: answer.protocol });
      for await (const line of createInterface({ input: process.stdin })) {
        print(await attempt(JSON.parse(line), opened, job));
      }
    } else {
      for (const step of job.steps ?? []) answer.steps.push(await attempt(step, opened, job));
    }
  } catch (error) {
    answer.error = told(error);
    process.exitCode = 1;
  }
  if (!job.interactive || answer.error) print(answer);
  await opened?.client.close().catch(() => undefined);
  setTimeout(() => process.exit(), 1000).unref();
}
