// Package demovendor is a parking vendor as the gateway sees it. [Vendor] signs its calls and [Receiver] verifies the
// webhooks that it gets with the standard-webhooks library, not with the gateway's own code, so that a mistake in the one
// cannot hide in the other. A receiver can also be down, slow or hostile, when it is told to.
//
// Only local/ and cmd/ may import this package. The rules are those of Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
package demovendor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Vendor calls one gateway. It is safe for concurrent use.
type Vendor struct {
	id      string
	baseURL string
	webhook *standardwebhooks.Webhook
	client  *http.Client
	now     func() time.Time
}

// New returns the vendor called id, which signs with secret (whsec_…) and calls the gateway at baseURL.
func New(id, secret, baseURL string, now func() time.Time) (*Vendor, error) {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, fmt.Errorf("demovendor: the secret is not a Standard Webhooks secret: %w", err)
	}
	return &Vendor{id: id, baseURL: baseURL, webhook: webhook, client: &http.Client{Timeout: 12 * time.Second}, now: now}, nil
}

// ID returns the vendor's id.
func (v *Vendor) ID() string { return v.id }

// Answer is what the gateway answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Took   time.Duration
}

// Parkings and Entry are the vendor's two routes, below /v1/vendors/{vendor_id}/.
const (
	Parkings = "businesscircle/parkings"
	Entry    = "vehicle/notifications"
)

// Path returns the path of a route for this vendor.
func (v *Vendor) Path(route string) string { return "/v1/vendors/" + v.id + "/" + route }

// Request returns a signed call; the webhook-id names the fact that it reports.
func (v *Vendor) Request(ctx context.Context, route, webhookID string, body []byte) (*http.Request, error) {
	req, err := v.sign(ctx, http.MethodPost, v.Path(route), webhookID, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

func (v *Vendor) sign(ctx context.Context, method, path, webhookID string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, v.baseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("demovendor: %w", err)
	}
	now := v.now()
	signature, err := v.webhook.Sign(webhookID, now, body)
	if err != nil {
		return nil, fmt.Errorf("demovendor: signing: %w", err)
	}
	req.Header.Set("Webhook-Id", webhookID)
	req.Header.Set("Webhook-Timestamp", fmt.Sprint(now.Unix()))
	req.Header.Set("Webhook-Signature", signature)
	return req, nil
}

// InfoPath returns the path at which the vendor reads what is configured for it.
func (v *Vendor) InfoPath() string { return "/v1/vendors/" + v.id }

// Info asks what is configured for the vendor.
func (v *Vendor) Info(ctx context.Context, webhookID string) (Answer, error) {
	req, err := v.sign(ctx, http.MethodGet, v.InfoPath(), webhookID, nil)
	if err != nil {
		return Answer{}, err
	}
	return v.Do(req)
}

// Call makes a signed call.
func (v *Vendor) Call(ctx context.Context, route, webhookID string, body []byte) (Answer, error) {
	req, err := v.Request(ctx, route, webhookID, body)
	if err != nil {
		return Answer{}, err
	}
	return v.Do(req)
}

// Do sends a request as it is, which tests may have changed since it was signed.
func (v *Vendor) Do(req *http.Request) (Answer, error) {
	started := time.Now()
	res, err := v.client.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("demovendor: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("demovendor: reading the answer: %w", err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: body, Took: time.Since(started)}, nil
}
