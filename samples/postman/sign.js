// Signs a request of Postman, Apifox or another tool with Postman's API, just before it is sent. Put it into the
// collection's pre-request script (前置操作), and set the variables gateway_url, vendor_id and request_secret.
const cryptoJS = require("crypto-js");

const id = pm.variables.replaceIn("{{$guid}}"); // a new fact each time; to repeat a fact, write its id here
const timestamp = Math.floor(Date.now() / 1000).toString();
// The variables in the body are put in now, so that what is signed is what is sent.
const body = pm.request.body && pm.request.body.raw ? pm.variables.replaceIn(pm.request.body.raw) : "";
if (body) pm.request.body.update(body);

const key = cryptoJS.enc.Base64.parse(pm.variables.get("request_secret").slice("whsec_".length));
const signed = cryptoJS.enc.Utf8.parse(`${id}.${timestamp}.${body}`);
const signature = cryptoJS.enc.Base64.stringify(cryptoJS.HmacSHA256(signed, key));

pm.request.headers.upsert({ key: "webhook-id", value: id });
pm.request.headers.upsert({ key: "webhook-timestamp", value: timestamp });
pm.request.headers.upsert({ key: "webhook-signature", value: "v1," + signature });
