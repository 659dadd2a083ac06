// Reports a car to the gateway, by both calls. The environment comes from gateway.env.
import { setTimeout as sleep } from "node:timers/promises";
import { sign } from "./signing.mjs";

const { PARKING_GATEWAY_URL, PARKING_VENDOR_ID, PARKING_REQUEST_SECRET } = process.env;

/** Reports one fact; returns the status and the body of the answer. It may take minutes: the barrier does not wait for it. */
async function call(path, id, fields) {
  // The id names the fact (幂等键). A repeat has the same id and the same bytes, and a signature of its own time.
  const body = Buffer.from(JSON.stringify(fields));
  let result = { status: 0, answer: "no answer" };
  let wait = 0;
  for (let attempt = 1; attempt < 5; attempt++) {
    await sleep(wait * 1000);
    wait = 1 + Math.random() * (2 ** attempt - 1);
    const timestamp = Math.floor(Date.now() / 1000);
    try {
      const response = await fetch(`${PARKING_GATEWAY_URL}/v1/vendors/${PARKING_VENDOR_ID}/${path}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "webhook-id": id,
          "webhook-timestamp": String(timestamp),
          "webhook-signature": sign(PARKING_REQUEST_SECRET, id, timestamp, body),
        },
        body,
        redirect: "manual", // a POST that follows a redirect becomes a GET
        signal: AbortSignal.timeout(12_000),
      });
      result = { status: response.status, answer: await response.text() };
      if (response.status < 500 && ![409, 429].includes(response.status)) break; // a repeat would be answered the same
      wait = Math.max(wait, Number(response.headers.get("retry-after")) || 0);
    } catch {
      // no answer: the gateway may have acted or not, and the same id makes a repeat safe
    }
  }
  return result;
}

const now = new Date().toISOString(); // …Z, and truly UTC: Beijing time with a Z behind it would be 8 hours ahead
const visit = `visit-${Date.now()}`; // in production the visit's key in your database
const results = [
  await call("businesscircle/parkings", `${visit}-in`, {
    openid: "oUpF8uMuAJOM2pxb1Q", plate_number: "粤B888888", state: "IN", time: now,
  }),
  await call("vehicle/notifications", `${visit}-entry`, {
    trade_scene: "PARKING", plate_number: "粤B888888", parking_name: "欢乐海岸停车场", start_time: now, free_time: 1200,
  }),
];
for (const { status, answer } of results) {
  console.log(status, answer);
  if (status < 200 || status > 299) process.exitCode = 1;
}
