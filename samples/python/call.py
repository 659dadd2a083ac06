"""Reports a car to the gateway, by both calls. The environment comes from gateway.env."""
import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from signing import sign

URL = f"{os.environ['PARKING_GATEWAY_URL']}/v1/vendors/{os.environ['PARKING_VENDOR_ID']}/"
SECRET = os.environ["PARKING_REQUEST_SECRET"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None  # a POST that follows a redirect becomes a GET


opener = urllib.request.build_opener(NoRedirect)


def call(path, webhook_id, fields):
    """Report one fact; return the status and the body of the answer. It may take minutes: not for the barrier's thread."""
    # The id names the fact (幂等键). A repeat has the same id and the same bytes, and a signature of its own time.
    body = json.dumps(fields, ensure_ascii=False).encode()
    status, answer, wait = 0, "no answer", 0
    for attempt in range(1, 5):
        time.sleep(wait)
        wait = random.uniform(1, 2 ** attempt)
        timestamp = int(time.time())
        request = urllib.request.Request(URL + path, body, {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(SECRET, webhook_id, timestamp, body),
        })
        try:
            with opener.open(request, timeout=12) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refusal:
            status, answer = refusal.code, refusal.read().decode()
            if status < 500 and status not in (409, 429):
                break  # a repeat would be refused again: act on "code"
            after = refusal.headers.get("Retry-After", "")
            wait = max(wait, int(after) if after.isdecimal() else 0)
        except (OSError, http.client.HTTPException):
            pass  # no answer: the gateway may have acted or not, and the same id makes a repeat safe
    return status, answer


now = datetime.now(timezone(timedelta(hours=8))).isoformat(timespec="seconds")  # 2026-11-30T21:03:00+08:00
visit = f"visit-{time.time_ns()}"  # in production the visit's key in your database
results = [
    call("businesscircle/parkings", visit + "-in", {
        "openid": "oUpF8uMuAJOM2pxb1Q", "plate_number": "粤B888888", "state": "IN", "time": now,
    }),
    call("vehicle/notifications", visit + "-entry", {
        "trade_scene": "PARKING", "plate_number": "粤B888888", "parking_name": "欢乐海岸停车场",
        "start_time": now, "free_time": 1200,
    }),
]
for status, answer in results:
    print(status, answer)
sys.exit(any(status // 100 != 2 for status, _ in results))
