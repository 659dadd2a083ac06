"""Receives and verifies the gateway's events. The environment comes from gateway.env; PORT is 9000 unless it is set."""
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from signing import verify

SECRET = os.environ["PARKING_WEBHOOK_SECRET"]
PORT = int(os.environ.get("PORT", "9000"))

# In production a table whose unique key is webhook-id: a restart forgets this, and a second server does not see it.
seen, lock = set(), threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 7:
            return self.answer(413, "refused: no length, or too long")
        body = self.rfile.read(int(length))  # the raw bytes, before any JSON parser sees them
        if not verify(SECRET, self.headers, body):
            return self.answer(401, "refused: not signed by the gateway")
        webhook_id, event = self.headers["webhook-id"], json.loads(body)
        with lock:
            duplicate = webhook_id in seen
            seen.add(webhook_id)
        if duplicate:
            return self.answer(204, f"duplicate {webhook_id}")
        # Here: store it, in one transaction with its id: an id without its event makes the next delivery a duplicate, and the
        # event is lost. Then answer, and work on it afterwards: there are 10 seconds in all.
        self.answer(204, f"verified {webhook_id} {event['type']}")

    def answer(self, status, line):
        print(line, flush=True)
        self.send_response(status)  # nothing but the status counts
        self.end_headers()

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
