// Publishes what a file says with the CloudEvents client of npm, as a service would, and prints the answers.
//
//     node publish.mjs URL REQUESTS
//
// REQUESTS and what is printed are as publish.py has them. It judges nothing: that is the test's business.
import { readFile } from "node:fs/promises";
import { CloudEvent, Mode, emitterFor, httpTransport } from "cloudevents";

const [url, path] = process.argv.slice(2);

function event({ attributes, data, bytes }) {
  return new CloudEvent({ ...attributes, data: bytes ? Buffer.from(data, "utf8") : JSON.parse(data) });
}

async function batch(events) {
  // The client reads batches and writes none; each event is as it writes it.
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(events) });
  return { status: answer.status, body: await answer.json() };
}

async function send({ mode, events }) {
  const built = events.map(event);
  if (mode === "batch") return batch(built);
  const modes = { binary: Mode.BINARY, structured: Mode.STRUCTURED };
  // The client's transport keeps the status to itself; what went wrong stands in the body, too.
  const answer = await emitterFor(httpTransport(url), { mode: modes[mode] })(built[0]);
  return { status: null, body: JSON.parse(answer.body) };
}

const answers = [];
for (const request of JSON.parse(await readFile(path, "utf8"))) answers.push(await send(request));
console.log(JSON.stringify(answers));
