<?php
// Reports a car to the gateway, by both calls. The environment comes from gateway.env.
require __DIR__ . '/signing.php';

/** Reports one fact; returns the status and the body of the answer. It may take minutes: not for the barrier's request. */
function call(string $path, string $id, array $fields): array
{
    $url = getenv('PARKING_GATEWAY_URL') . '/v1/vendors/' . getenv('PARKING_VENDOR_ID') . "/$path";
    // The id names the fact (幂等键). A repeat has the same id and the same bytes, and a signature of its own time.
    $body = json_encode($fields, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
    $result = [0, 'no answer'];
    $wait = 0;
    for ($attempt = 1; $attempt < 5; $attempt++) {
        sleep($wait);
        $wait = random_int(1, 2 ** $attempt);
        $timestamp = time();
        $context = stream_context_create(['http' => [
            'method' => 'POST',
            'header' => [
                'Content-Type: application/json',
                "webhook-id: $id",
                "webhook-timestamp: $timestamp",
                'webhook-signature: ' . sign(getenv('PARKING_REQUEST_SECRET'), $id, $timestamp, $body),
            ],
            'content' => $body,
            'timeout' => 12,
            'ignore_errors' => true, // the body of a refusal says why
            'follow_location' => 0,
        ]]);
        $http_response_header = [];
        $answer = @file_get_contents($url, false, $context);
        if ($answer !== false && preg_match('#^HTTP/\S+ (\d{3})#', $http_response_header[0] ?? '', $match)) {
            $status = (int) $match[1];
            $result = [$status, $answer];
            if ($status < 500 && $status !== 409 && $status !== 429) {
                break; // a repeat would be answered the same
            }
            foreach ($http_response_header as $line) {
                if (preg_match('/^Retry-After: *(\d+)/i', $line, $match)) {
                    $wait = max($wait, (int) $match[1]);
                }
            }
        } // else no answer: the gateway may have acted or not, and the same id makes a repeat safe
    }
    return $result;
}

$now = (new DateTime('now', new DateTimeZone('+08:00')))->format(DATE_ATOM); // 2026-11-30T21:03:00+08:00
$visit = 'visit-' . hrtime(true); // in production the visit's key in your database
$results = [
    call('businesscircle/parkings', "$visit-in", [
        'openid' => 'oUpF8uMuAJOM2pxb1Q', 'plate_number' => '粤B888888', 'state' => 'IN', 'time' => $now,
    ]),
    call('vehicle/notifications', "$visit-entry", [
        'trade_scene' => 'PARKING', 'plate_number' => '粤B888888', 'parking_name' => '欢乐海岸停车场',
        'start_time' => $now, 'free_time' => 1200,
    ]),
];
$failed = 0;
foreach ($results as [$status, $answer]) {
    echo "$status $answer\n";
    $failed |= intdiv($status, 100) !== 2;
}
exit($failed);
