//go:build e2e

package e2e

import (
	"bytes"
	"testing"
	"time"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/transcript"
	"wechat-parking-gateway/local/visit"
)

// TestVisit: the visit that make run and make demo play goes as it must, to its last step.
func TestVisit(t *testing.T) {
	t.Parallel()
	g := get(t, deliveringStack)
	var told bytes.Buffer
	tell := transcript.New(&told, false, time.Now)
	err := visit.Play(t.Context(), visit.Stage{
		Vendor: g.Vendor, Webhooks: g.Webhooks, WeChatPay: g.WeChatPay, BaseURL: g.URL,
		WebhookURL: g.World.Vendors.Vendors[fixture.VendorID].WebhookURL, Waiting: g.Waiting, Tell: tell, Now: time.Now,
	})
	if err != nil {
		t.Errorf("got %v\n%s", err, told.String())
	}
	if steps, failed := tell.Steps(); steps < 9 || failed != 0 {
		t.Errorf("got %d steps, %d of them wrong, want at least 9 and none", steps, failed)
	}
}
