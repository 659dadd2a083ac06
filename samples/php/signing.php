<?php
// Standard Webhooks signatures, without a library. Calls to the gateway and its events are signed in the same way.

/** Returns the webhook-signature header. $body: the very bytes that are sent. */
function sign(string $secret, string $id, int $timestamp, string $body): string
{
    $key = base64_decode(substr($secret, strlen('whsec_')), true);
    return 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
}

/** Tells whether an event is genuine. $body: the very bytes that came. */
function verify(string $secret, string $id, string $timestamp, string $signatures, string $body): bool
{
    if ($id === '' || !preg_match('/\A[0-9]{1,12}\z/', $timestamp) || abs(time() - (int) $timestamp) > 300) {
        return false;
    }
    $expected = sign($secret, $id, (int) $timestamp, $body);
    // While a secret is rotated there are several signatures, separated by spaces; one of them has to match.
    foreach (explode(' ', $signatures) as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}
