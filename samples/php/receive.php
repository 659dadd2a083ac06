<?php
// Receives and verifies the gateway's events. The environment comes from gateway.env.
require __DIR__ . '/signing.php';

function answer(int $status, string $line): void
{
    http_response_code($status); // nothing but the status counts
    error_log($line);
    exit;
}

$body = file_get_contents('php://input'); // the raw bytes; in Laravel $request->getContent()
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
if (!verify(
    getenv('PARKING_WEBHOOK_SECRET'),
    $id,
    $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '',
    $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '',
    $body
)) {
    answer(401, 'refused: not signed by the gateway');
}

$event = json_decode($body, true);
// In production a table whose unique key is webhook-id; here a file for each, which fopen makes once only.
$seen = __DIR__ . '/seen/' . sha1($id);
if (is_file($seen)) {
    answer(204, "duplicate $id");
}
@mkdir(dirname($seen));
if (!@fopen($seen, 'x')) {
    answer(500, "failed: $id could not be stored"); // the gateway sends it again
}
// Here: store it, in one transaction with its id: an id without its event makes the next delivery a duplicate, and the
// event is lost. Then answer, and work on it afterwards: there are 10 seconds in all.
answer(204, "verified $id {$event['type']}");
