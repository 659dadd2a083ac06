// Standard Webhooks signatures, without a library. Calls to the gateway and its events are signed in the same way.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sign returns the webhook-signature header. body is the very bytes that are sent.
func sign(secret, id string, timestamp int64, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return "", errors.New("the secret is not whsec_ and base64")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// verify returns nil for a genuine event. body is the very bytes that came.
func verify(secret string, header http.Header, body []byte) error {
	id := header.Get("webhook-id")
	timestamp, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if id == "" || err != nil {
		return errors.New("a header is missing or malformed")
	}
	if age := time.Since(time.Unix(timestamp, 0)); age.Abs() > 5*time.Minute {
		return errors.New("signed too long ago, or in the future")
	}
	expected, err := sign(secret, id, timestamp, body)
	if err != nil {
		return err
	}
	// While a secret is rotated there are several signatures, separated by spaces; one of them has to match.
	for _, signature := range strings.Split(header.Get("webhook-signature"), " ") {
		if hmac.Equal([]byte(signature), []byte(expected)) {
			return nil
		}
	}
	return errors.New("no signature matches")
}
