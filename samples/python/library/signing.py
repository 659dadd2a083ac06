"""Standard Webhooks signatures, with the library standardwebhooks."""
from datetime import datetime, timezone

from standardwebhooks import Webhook, WebhookVerificationError


def sign(secret, webhook_id, timestamp, body):
    """Return the webhook-signature header. body: the very bytes that are sent."""
    # The library replaces the time's zone by UTC. Give it UTC: datetime.now() in China would be signed 8 hours ahead.
    at = datetime.fromtimestamp(timestamp, timezone.utc)
    return Webhook(secret).sign(webhook_id, at, body.decode())


def verify(secret, headers, body):
    """Tell whether an event is genuine. headers: a mapping; body: the very bytes that came."""
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: a signature that cannot be read
        return False
    return True
