"""Reads lines "secret id timestamp base64(body)" and prints the sample's signature of each."""
import base64
import sys

from signing import sign

for line in sys.stdin:
    secret, webhook_id, timestamp, body = line.rstrip("\n").split(" ")
    print(sign(secret, webhook_id, int(timestamp), base64.b64decode(body)))
