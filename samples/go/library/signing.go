// Standard Webhooks signatures, with the library of the Standard Webhooks project.
package main

import (
	"net/http"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// sign returns the webhook-signature header. body is the very bytes that are sent.
func sign(secret, id string, timestamp int64, body []byte) (string, error) {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return "", err
	}
	return webhook.Sign(id, time.Unix(timestamp, 0), body)
}

// verify returns nil for a genuine event. body is the very bytes that came.
func verify(secret string, header http.Header, body []byte) error {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return webhook.Verify(body, header)
}
