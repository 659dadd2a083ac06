#!/bin/sh
# Makes one signed call: sh call.sh METHOD PATH ID [BODY]
# Needs curl and openssl; the environment comes from gateway.env.
# For trials: while it runs, the key stands in this machine's list of processes.
set -eu
method=$1 path=$2 id=$3 body=${4-}
timestamp=$(date +%s)
key=$(printf %s "${PARKING_REQUEST_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
signature=$(printf %s "$id.$timestamp.$body" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
set -- --request "$method" --header "webhook-id: $id" --header "webhook-timestamp: $timestamp" \
    --header "webhook-signature: v1,$signature"
if [ -n "$body" ]; then
    set -- "$@" --header 'Content-Type: application/json' --data-binary "$body"
fi
curl --silent --show-error --max-time 12 --write-out '\nHTTP %{http_code}\n' "$@" \
    "$PARKING_GATEWAY_URL/v1/vendors/$PARKING_VENDOR_ID$path"
