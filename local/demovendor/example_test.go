package demovendor_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"wechat-parking-gateway/local/demovendor"
)

// ExampleReceiver takes the vendor down, so that a webhook is lost, and up again, so that it arrives.
func ExampleReceiver() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	receiver, err := demovendor.NewReceiver(time.Now, secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(receiver)
	defer server.Close()
	defer receiver.Close()

	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	deliver := func() {
		const body = `{"type":"vehicle.plate_state_changed","timestamp":"2026-11-22T10:00:00+08:00","data":{"state":"BLOCKED"}}`
		now := time.Now()
		signature, _ := webhook.Sign("evt_1", now, []byte(body))
		req, _ := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(body))
		req.Header = http.Header{
			"Content-Type": {"application/json"}, "Webhook-Id": {"evt_1"},
			"Webhook-Timestamp": {fmt.Sprint(now.Unix())}, "Webhook-Signature": {signature},
		}
		res, err := server.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = res.Body.Close()
		fmt.Println("answered", res.StatusCode)
	}
	if err := receiver.TakeDown(demovendor.FaultStatus); err != nil {
		fmt.Println(err)
		return
	}
	deliver()
	receiver.BringUp()
	deliver()
	event, err := receiver.Wait(context.Background(), "evt_1")
	fmt.Println(event.Type, string(event.Data), err)
	fmt.Println(receiver.Tries("evt_1"), "tries,", len(receiver.Duplicates()), "duplicates")
	// Output:
	// answered 503
	// answered 204
	// vehicle.plate_state_changed {"state":"BLOCKED"} <nil>
	// 2 tries, 0 duplicates
}
