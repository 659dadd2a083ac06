// Standard Webhooks signatures, with the library standardwebhooks.
import { Webhook, WebhookVerificationError } from "standardwebhooks";

/** Returns the webhook-signature header. body: the very bytes that are sent, a Buffer or a string. */
export function sign(secret, id, timestamp, body) {
  return new Webhook(secret).sign(id, new Date(timestamp * 1000), body);
}

/** Tells whether an event is genuine. body: the very bytes that came, a Buffer or a string. */
export function verify(secret, headers, body) {
  try {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}
