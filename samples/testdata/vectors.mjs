// Reads lines "secret id timestamp base64(body)" and prints the sample's signature of each.
import { readFileSync } from "node:fs";
import { sign } from "./signing.mjs";

for (const line of readFileSync(0, "utf8").trimEnd().split("\n")) {
  const [secret, id, timestamp, body] = line.split(" ");
  console.log(sign(secret, id, Number(timestamp), Buffer.from(body, "base64")));
}
