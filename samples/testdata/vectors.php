<?php
// Reads lines "secret id timestamp base64(body)" and prints the sample's signature of each.
require __DIR__ . '/signing.php';

foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $line) {
    [$secret, $id, $timestamp, $body] = explode(' ', $line);
    echo sign($secret, $id, (int) $timestamp, base64_decode($body)), "\n";
}
