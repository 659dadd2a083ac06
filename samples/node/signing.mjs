// Standard Webhooks signatures, without a library. Calls to the gateway and its events are signed in the same way.
import { createHmac, timingSafeEqual } from "node:crypto";

/** Returns the webhook-signature header. body: the very bytes that are sent, a Buffer or a string. */
export function sign(secret, id, timestamp, body) {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
}

/** Tells whether an event is genuine. headers: names in lower case, as Node.js has them; body: the very bytes that came. */
export function verify(secret, headers, body) {
  const { "webhook-id": id = "", "webhook-timestamp": timestamp = "", "webhook-signature": signatures = "" } = headers;
  if (!id || !/^[0-9]{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
  const expected = Buffer.from(sign(secret, id, timestamp, body));
  // While a secret is rotated there are several signatures, separated by spaces; one of them has to match.
  return signatures.split(" ").some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
