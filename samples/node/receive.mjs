// Receives and verifies the gateway's events. The environment comes from gateway.env; PORT is 9000 unless it is set.
import { createServer } from "node:http";
import { verify } from "./signing.mjs";

const secret = process.env.PARKING_WEBHOOK_SECRET;
const port = Number(process.env.PORT ?? 9000);

// In production a table whose unique key is webhook-id: a restart forgets this, and a second server does not see it.
const seen = new Set();

/** Reads the raw bytes. With Express that is express.raw({ type: "application/json" }), before express.json(). */
async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    if ((size += chunk.length) > 1 << 20) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function receive(request) {
  const body = await read(request);
  if (body === null) return [413, "refused: too long"];
  if (!verify(secret, request.headers, body)) return [401, "refused: not signed by the gateway"];
  const id = request.headers["webhook-id"];
  const event = JSON.parse(body);
  if (seen.has(id)) return [204, `duplicate ${id}`];
  seen.add(id);
  // Here: store it, in one transaction with its id: an id without its event makes the next delivery a duplicate, and the
  // event is lost. Then answer, and work on it afterwards: there are 10 seconds in all.
  return [204, `verified ${id} ${event.type}`];
}

createServer(async (request, response) => {
  let status, line;
  try {
    [status, line] = await receive(request);
  } catch (error) {
    [status, line] = [500, `failed: ${error.message}`]; // the gateway sends the event again
  }
  console.log(line);
  response.writeHead(status).end(); // nothing but the status counts
}).listen(port, "127.0.0.1");
