"""Standard Webhooks signatures, without a library. Calls to the gateway and its events are signed in the same way."""
import base64
import hashlib
import hmac
import re
import time


def sign(secret, webhook_id, timestamp, body):
    """Return the webhook-signature header. body: the very bytes that are sent."""
    key = base64.b64decode(secret[len("whsec_"):])
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def verify(secret, headers, body):
    """Tell whether an event is genuine. headers: any mapping that ignores case; body: the very bytes that came."""
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or not re.fullmatch("[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > 300:
        return False
    expected = sign(secret, webhook_id, timestamp, body).encode()
    # While a secret is rotated there are several signatures, separated by spaces; one of them has to match.
    given = headers.get("webhook-signature", "").encode().split(b" ")
    return any(hmac.compare_digest(expected, signature) for signature in given)
