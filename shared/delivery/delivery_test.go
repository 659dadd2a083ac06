package delivery

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/trace"
)

func on() bool { return true }

// with returns the valid item with one change.
func with(edit func(*Item)) Item {
	i := Item{Message: plateMessage()}
	if edit != nil {
		edit(&i)
	}
	return i
}

// ping turns an item into a ping.
func ping(i *Item) { i.Message = event.Ping("acme", "nonce", start) }

// TestDeliver has one row for each thing that can become of an event.
func TestDeliver(t *testing.T) {
	now := start.Add(time.Minute) // the rig's
	status := func(n int) func(*rig) {
		return func(r *rig) { r.vendor.answer = always(Answer{Status: n}) }
	}
	first := func(reason string) func(*Item) { // after the first failed try
		return func(i *Item) {
			i.Tries, i.FirstTry, i.LastReason, i.Due = 1, now, reason, now.Add(FirstDelay)
		}
	}
	halfOpen := func(r *rig) {
		r.advance(-OpenFor)
		fail(t, r.deliverer.Circuit, "acme", OpenAfter)
		r.advance(OpenFor)
	}
	probing := func(r *rig) { // in another sandbox
		result, err := r.seen.Claim(t.Context(), probeOf("acme"), fingerprint(probeID), r.now.Add(probeLease))
		if err != nil || result.Outcome != idempotency.Claimed {
			t.Fatalf("got %v, %v, want the right to probe", result.Outcome, err)
		}
		r.seen.steps = nil
	}
	tests := []struct {
		name  string
		setup func(r *rig)
		item  func(*Item)
		want  Decision // Item is compared with the valid item changed by after
		after func(*Item)
		posts int
		steps string // of the record of events
	}{
		{name: "taken", want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 204"},
		{name: "taken with 200", setup: status(200), want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 200"},
		{name: "taken with 299", setup: status(299), want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 299"},
		{
			name: "due now", item: func(i *Item) { i.Due = now },
			want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 204",
		},
		{
			name: "not due", item: func(i *Item) { i.Due = now.Add(time.Second) },
			want:  Decision{Kind: Delay, After: time.Second, Reason: "not_due"},
			after: func(i *Item) { i.Due = now.Add(time.Second) },
		},
		{
			name: "not due for long", item: func(i *Item) { i.Tries, i.FirstTry, i.LastReason, i.Due = 13, start, "timeout", now.Add(6*time.Hour) },
			want:  Decision{Kind: Delay, After: 900 * time.Second, Reason: "not_due"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.LastReason, i.Due = 13, start, "timeout", now.Add(6*time.Hour) },
		},
		{
			name: "not due, and past 24 h", item: func(i *Item) { i.Tries, i.FirstTry, i.Due = 20, now.Add(-25*time.Hour), now.Add(time.Hour) },
			want:  Decision{Kind: Delay, After: 900 * time.Second, Reason: "not_due"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.Due = 20, now.Add(-25*time.Hour), now.Add(time.Hour) },
		},

		{
			name: "vendor unknown at first", setup: func(r *rig) { r.vendors.value = directory(t, `{"vendors":{}}`) },
			want:  Decision{Kind: Delay, After: 40 * time.Second, Reason: "vendor_unknown"},
			after: func(i *Item) { i.LastReason, i.Due = "vendor_unknown", now.Add(40*time.Second) },
		},
		{
			name: "vendor unknown", setup: func(r *rig) { r.vendors.value = directory(t, `{"vendors":{}}`) },
			item:  func(i *Item) { i.LastReason, i.Due = "vendor_unknown", now },
			want:  Decision{Kind: Park, Reason: "vendor_unknown"},
			after: func(i *Item) { i.LastReason, i.Due = "vendor_unknown", now },
		},
		{
			name: "vendor known after a refresh", setup: func(r *rig) {
				r.vendors.next = r.vendors.value
				r.vendors.value = directory(t, `{"vendors":{}}`)
			},
			want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 204",
		},
		{
			name: "vendor disabled", setup: func(r *rig) {
				r.vendors.value = directory(t, strings.Replace(vendors, `"webhook_url"`, `"disabled":true,"webhook_url"`, 1))
			},
			want: Decision{Kind: Park, Reason: "vendor_disabled"},
		},
		{
			name: "no webhook_url", setup: func(r *rig) {
				r.vendors.value = directory(t, strings.Replace(vendors, "https://vendor.example/hook", "", 1))
			},
			want: Decision{Kind: Park, Reason: "no_webhook_url"},
		},
		{
			name: "no webhook_secrets", setup: func(r *rig) {
				r.vendors.value = directory(t, strings.Replace(vendors, `"`+newerSecret+`","`+olderSecret+`"`, "", 1))
			},
			want: Decision{Kind: Park, Reason: "no_webhook_secret"},
		},

		{
			name: "refused", setup: status(500), want: Decision{Kind: Delay, After: FirstDelay, Reason: "http_500"},
			after: first("http_500"), posts: 1, steps: "claim, release",
		},
		{
			name: "redirected", setup: status(302), want: Decision{Kind: Delay, After: FirstDelay, Reason: "http_302"},
			after: first("http_302"), posts: 1, steps: "claim, release",
		},
		{
			name: "informed", setup: status(101), want: Decision{Kind: Delay, After: FirstDelay, Reason: "http_101"},
			after: first("http_101"), posts: 1, steps: "claim, release",
		},
		{
			name: "no answer", setup: func(r *rig) { r.vendor.answer = always(Answer{Failure: "tls_failed"}) },
			want:  Decision{Kind: Delay, After: FirstDelay, Reason: "tls_failed"},
			after: first("tls_failed"), posts: 1, steps: "claim, release",
		},
		{
			name: "gone", setup: status(410), want: Decision{Kind: Park, Reason: "gone"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 1, now, "http_410" }, posts: 1, steps: "claim, release",
		},
		{
			name: "a later failure", setup: status(404), item: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 2, start, "timeout" },
			want: Decision{Kind: Delay, After: 20 * time.Second, Reason: "http_404"},
			after: func(i *Item) {
				i.Tries, i.FirstTry, i.LastReason, i.Due = 3, start, "http_404", now.Add(20*time.Second)
			},
			posts: 1, steps: "claim, release",
		},
		{
			name: "a plate's state that does not say whose it is", item: func(i *Item) { i.Message.Data = jsontext.Value(`{"state":"NORMAL"}`) },
			want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 204",
		},
		{
			name:  "Retry-After of 429",
			setup: func(r *rig) { r.vendor.answer = always(Answer{Status: 429, RetryAfter: time.Hour}) },
			want:  Decision{Kind: Delay, After: MaxHop, Reason: "http_429"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.LastReason, i.Due = 1, now, "http_429", now.Add(time.Hour) },
			posts: 1, steps: "claim, release",
		},
		{
			name:  "Retry-After of 503, cut to 6 h",
			setup: func(r *rig) { r.vendor.answer = always(Answer{Status: 503, RetryAfter: 7 * time.Hour}) },
			want:  Decision{Kind: Delay, After: MaxHop, Reason: "http_503"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.LastReason, i.Due = 1, now, "http_503", now.Add(6*time.Hour) },
			posts: 1, steps: "claim, release",
		},
		{
			name:  "Retry-After of another status",
			setup: func(r *rig) { r.vendor.answer = always(Answer{Status: 500, RetryAfter: time.Hour}) },
			want:  Decision{Kind: Delay, After: MaxHop, Reason: "http_500"},
			after: func(i *Item) { first("http_500")(i); i.Due = now.Add(time.Hour) }, posts: 1, steps: "claim, release",
		},
		{
			name: "failed 24 h after the first try", setup: status(500),
			item:  func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 17, now.Add(-24*time.Hour), "timeout" },
			want:  Decision{Kind: Park, Reason: "gave_up: http_500"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 18, now.Add(-24*time.Hour), "http_500" },
			posts: 1, steps: "claim, release",
		},
		{
			name: "failed a moment before that", setup: status(500),
			item: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 17, now.Add(time.Second-24*time.Hour), "timeout" },
			want: Decision{Kind: Delay, After: time.Second, Reason: "http_500"},
			after: func(i *Item) {
				i.Tries, i.FirstTry, i.LastReason, i.Due = 18, now.Add(time.Second-24*time.Hour), "http_500", now.Add(time.Second)
			},
			posts: 1, steps: "claim, release",
		},
		{
			name: "taken long after 24 h",
			item: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 17, now.Add(-72*time.Hour), "timeout" },
			want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 204",
		},

		{
			name: "a ping fails", setup: status(500), item: ping,
			want:  Decision{Kind: Delay, After: FirstDelay, Reason: "http_500"},
			after: func(i *Item) { ping(i); first("http_500")(i) }, posts: 1, steps: "claim, release",
		},
		{
			name: "a ping fails 5 minutes after its first try", setup: status(500),
			item:  func(i *Item) { ping(i); i.Tries, i.FirstTry, i.LastReason = 7, now.Add(-5*time.Minute), "timeout" },
			want:  Decision{Kind: Park, Reason: "gave_up: http_500"},
			after: func(i *Item) { ping(i); i.Tries, i.FirstTry, i.LastReason = 8, now.Add(-5*time.Minute), "http_500" },
			posts: 1, steps: "claim, release",
		},
		{
			name: "a ping is asked to wait for an hour", setup: func(r *rig) { r.vendor.answer = always(Answer{Status: 503, RetryAfter: time.Hour}) },
			item: ping, want: Decision{Kind: Delay, After: 5 * time.Minute, Reason: "http_503"},
			after: func(i *Item) { ping(i); first("http_503")(i); i.Due = now.Add(5 * time.Minute) }, posts: 1, steps: "claim, release",
		},
		{
			name: "a ping to a vendor that is disabled", item: ping, setup: func(r *rig) {
				r.vendors.value = directory(t, strings.Replace(vendors, `"webhook_url"`, `"disabled":true,"webhook_url"`, 1))
			},
			want: Decision{Kind: Park, Reason: "vendor_disabled"}, after: ping,
		},
		{
			name: "a ping held for 5 minutes and never tried", setup: func(r *rig) { fail(t, r.deliverer.Circuit, "acme", OpenAfter) },
			item: func(i *Item) { ping(i); i.FirstTry = now.Add(-5 * time.Minute) },
			want: Decision{Kind: Delivered}, posts: 1, steps: "claim, claim, complete 204, release",
		},

		{
			name: "circuit open", setup: func(r *rig) { fail(t, r.deliverer.Circuit, "acme", OpenAfter) },
			want:  Decision{Kind: Delay, After: 35 * time.Second, Reason: "circuit_open"},
			after: func(i *Item) { i.FirstTry, i.Due = now, now.Add(35*time.Second) },
		},
		{
			name: "circuit open, after a try", setup: func(r *rig) { fail(t, r.deliverer.Circuit, "acme", OpenAfter) },
			item: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 5, now.Add(-time.Minute), "timeout" },
			want: Decision{Kind: Delay, After: 60 * time.Second, Reason: "circuit_open"},
			after: func(i *Item) {
				i.Tries, i.FirstTry, i.LastReason, i.Due = 5, now.Add(-time.Minute), "timeout", now.Add(time.Minute)
			},
		},
		{
			name: "circuit open, 24 h after the first try", setup: func(r *rig) { fail(t, r.deliverer.Circuit, "acme", OpenAfter) },
			item:  func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 5, now.Add(-24*time.Hour), "timeout" },
			want:  Decision{Kind: Park, Reason: "gave_up: timeout"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 5, now.Add(-24*time.Hour), "timeout" },
		},
		{
			name: "circuit open, held for 24 h and never tried", setup: func(r *rig) {
				fail(t, r.deliverer.Circuit, "acme", OpenAfter)
				status(500)(r)
			},
			item:  func(i *Item) { i.FirstTry = now.Add(-24 * time.Hour) },
			want:  Decision{Kind: Delay, After: FirstDelay, Reason: "http_500"},
			after: first("http_500"), posts: 1, steps: "claim, claim, release, release",
		},

		{name: "probe that is taken", setup: halfOpen, want: Decision{Kind: Delivered}, posts: 1, steps: "claim, claim, complete 204, release"},
		{
			name: "probe that fails", setup: func(r *rig) { halfOpen(r); status(500)(r) },
			want:  Decision{Kind: Delay, After: FirstDelay, Reason: "http_500"},
			after: first("http_500"), posts: 1, steps: "claim, claim, release, release",
		},
		{
			name: "after silence, beside another sandbox's probe", setup: func(r *rig) { enter(r.deliverer.Circuit, "acme").Silence(); probing(r) },
			want:  Decision{Kind: Delay, After: Timeout + FirstDelay, Reason: "circuit_open"},
			after: func(i *Item) { i.FirstTry, i.Due = now, now.Add(Timeout+FirstDelay) }, steps: "claim",
		},
		{
			name: "probe beside another sandbox's", setup: func(r *rig) { halfOpen(r); probing(r) },
			want:  Decision{Kind: Delay, After: Timeout + FirstDelay, Reason: "circuit_open"},
			after: func(i *Item) { i.FirstTry, i.Due = now, now.Add(Timeout+FirstDelay) }, steps: "claim",
		},
		{
			name: "probe beside another sandbox's, 24 h after the first try", setup: func(r *rig) { halfOpen(r); probing(r) },
			item:  func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 5, now.Add(-24*time.Hour), "timeout" },
			want:  Decision{Kind: Park, Reason: "gave_up: timeout"},
			after: func(i *Item) { i.Tries, i.FirstTry, i.LastReason = 5, now.Add(-24*time.Hour), "timeout" }, steps: "claim",
		},
		{
			name:  "probe beside another sandbox's, held for 24 h and never tried",
			setup: func(r *rig) { halfOpen(r); probing(r) },
			item:  func(i *Item) { i.FirstTry = now.Add(-24 * time.Hour) },
			want:  Decision{Kind: Delay, After: Timeout, Reason: "circuit_open"},
			after: func(i *Item) { i.FirstTry, i.Due = now.Add(-24*time.Hour), now.Add(Timeout) }, steps: "claim",
		},
		{
			name: "probe beside one of a sandbox that crashed", setup: func(r *rig) {
				halfOpen(r)
				r.advance(-probeLease - idempotency.Margin)
				probing(r)
				r.advance(probeLease + idempotency.Margin)
			},
			want: Decision{Kind: Delivered}, posts: 1, steps: "claim, claim, complete 204, release",
		},
		{
			name: "probe without the store", setup: func(r *rig) { halfOpen(r); r.seen.claimDown = on },
			want: Decision{Kind: Ours, Reason: "claim_unavailable"}, steps: "claim",
		},

		{
			name: "taken before", setup: func(r *rig) { r.deliver(t, with(nil)); r.vendor.posts, r.seen.steps = nil, nil },
			item: func(i *Item) { i.Message.Timestamp = "2026-11-22T18:00:09+08:00" }, // a redelivery of WeChat Pay's
			want: Decision{Kind: Delivered, Reason: "already_delivered"}, steps: "claim",
		},
		{
			name: "in another worker's hands", setup: func(r *rig) {
				key := idempotency.Key{VendorID: "acme", Route: "events", ID: plateMessage().ID}
				r.seen.records[key] = &seenRecord{lease: now.Add(7 * time.Second), print: fingerprint(plateMessage().ID)}
			},
			want:  Decision{Kind: Delay, After: 7 * time.Second, Reason: "in_progress"},
			after: func(i *Item) { i.Due = now.Add(7 * time.Second) }, steps: "claim",
		},

		{name: "vendors unavailable", setup: func(r *rig) { r.vendors.down = on }, want: Decision{Kind: Ours, Reason: "vendors_unavailable"}},
		{
			name: "claim unavailable", setup: func(r *rig) { r.seen.claimDown = on },
			want: Decision{Kind: Ours, Reason: "claim_unavailable"}, steps: "claim",
		},
		{
			name: "a record that is another's", setup: func(r *rig) {
				r.seen.records[idempotency.Key{VendorID: "acme", Route: "events", ID: plateMessage().ID}] = &seenRecord{done: true}
			},
			want: Decision{Kind: Ours, Reason: "claim_unavailable"}, steps: "claim",
		},
		{
			name: "plate states unavailable", setup: func(r *rig) { r.plates.unreadable = on },
			want: Decision{Kind: Ours, Reason: "platestate_unavailable"}, steps: "claim, release",
		},
		{
			name: "interrupted", setup: func(r *rig) { r.vendor.answer = always(Answer{Failure: "canceled", Interrupted: true}) },
			want: Decision{Kind: Ours, Reason: "interrupted"}, posts: 1, steps: "claim",
		},
		{
			name: "delivery not recorded", setup: func(r *rig) { r.seen.completeDown, r.plates.unwritable = on, on },
			want: Decision{Kind: Delivered}, posts: 1, steps: "claim, complete 204",
		},
		{
			name: "claim not released", setup: func(r *rig) { r.seen.releaseDown = on; status(500)(r) },
			want:  Decision{Kind: Delay, After: FirstDelay, Reason: "http_500"},
			after: first("http_500"), posts: 1, steps: "claim, release",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			if tt.setup != nil {
				tt.setup(r)
			}
			got := r.deliver(t, with(tt.item))
			if tt.want.Kind == Delay || tt.want.Kind == Park {
				tt.want.Item = with(tt.after)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if got := len(r.vendor.posts); got != tt.posts {
				t.Errorf("the vendor got %d posts, want %d", got, tt.posts)
			}
			if got := strings.Join(r.seen.steps, ", "); got != tt.steps {
				t.Errorf("steps: got %q, want %q", got, tt.steps)
			}
		})
	}
}

// TestHostileItems: what the gateway did not make is parked before anything is asked or sent for it.
func TestHostileItems(t *testing.T) {
	now := start.Add(time.Minute)
	tests := []struct {
		name string
		edit func(*Item)
	}{
		{"id of another form", func(i *Item) { i.Message.ID = "visit.1" }},
		{"id with a line break", func(i *Item) { i.Message.ID += "\n" }},
		{"vendor that no message group takes", func(i *Item) { i.Message.VendorID = "acme inc" }},
		{"vendor with a separator", func(i *Item) { i.Message.VendorID = "acme#events" }},
		{"unknown type", func(i *Item) { i.Message.Type = "vehicle.parked" }},
		{"negative tries", func(i *Item) { i.Tries = -1 }},
		{"tries without a first", func(i *Item) { i.Tries = 1 }},
		{"first try in the future", func(i *Item) { i.Tries, i.FirstTry = 1, now.Add(time.Hour) }},
		{"due later than any plan says", func(i *Item) { i.Due = now.Add(MaxDelay + time.Hour) }},
		{"data that is no object", func(i *Item) { i.Message.Data = jsontext.Value(`[]`) }},
		{"data with a duplicate", func(i *Item) {
			i.Message.Type, i.Message.Data = event.BusinessCircleCardActivated, jsontext.Value(`{"a":1,"a":2}`)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			got := r.deliver(t, with(tt.edit))
			if got.Kind != Park || got.Reason != ReasonMalformed {
				t.Errorf("got %v %q, want parked malformed", got.Kind, got.Reason)
			}
			if len(r.vendor.posts) != 0 {
				t.Error("the vendor got a post")
			}
			for _, record := range r.seen.records {
				t.Errorf("a claim is left: %+v", record)
			}
		})
	}
}

// TestNoTimeLeft: a try begins only while what comes of it can be acted on.
func TestNoTimeLeft(t *testing.T) {
	for left, want := range map[time.Duration]Kind{reserve: Delivered, reserve - 1: Ours, -time.Second: Ours} {
		r := newRig(t)
		got := r.deliverer.Deliver(until{t.Context(), r.now.Add(left)}, with(nil))
		if got.Kind != want {
			t.Errorf("with %v left: got %v, want %v", left, got.Kind, want)
		}
	}
	r := newRig(t)
	if got := r.deliverer.Deliver(context.WithoutCancel(t.Context()), with(nil)); got.Kind != Delivered {
		t.Errorf("without a deadline: got %v, want delivered", got.Kind)
	}
}

// TestInvocationEnds: a vendor that has not had its time is not charged.
func TestInvocationEnds(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.vendor.answer = func(context.Context, int) Answer {
		cancel()
		return Answer{Failure: "timeout"}
	}
	if got := r.deliverer.Deliver(until{ctx, r.now.Add(30 * time.Second)}, with(nil)); got.Kind != Ours {
		t.Errorf("got %v, want failed", got.Kind)
	}
	if r.deliverer.Circuit.vendors["acme"] != nil {
		t.Error("the circuit counted it")
	}
}

// TestRequest checks what a vendor is sent.
func TestRequest(t *testing.T) {
	r := newRig(t)
	of := trace.Begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	item := with(func(i *Item) { i.Message.Origin.RequestID = "JKJaXmPLvHcESHA=" })
	if got := r.deliverer.Deliver(until{trace.With(t.Context(), of), r.now.Add(time.Minute)}, item); got.Kind != Delivered {
		t.Fatalf("got %v, want delivered", got.Kind)
	}
	p := r.vendor.posts[0]
	if got, want := p.url, "https://vendor.example/hook"; got != want {
		t.Errorf("got URL %s, want %s", got, want)
	}
	want := `{"type":"vehicle.plate_state_changed","timestamp":"2026-11-22T18:00:00+08:00","data":` +
		strings.TrimSuffix(plateData, "}") + `,"superseded":false}}`
	if p.body != want {
		t.Errorf("body\n got %s\nwant %s", p.body, want)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "wechat-parking-gateway",
		"Webhook-Id": plateMessage().ID, "Webhook-Timestamp": "1795341660",
		"Traceparent": of.String(), "Request-Id": "JKJaXmPLvHcESHA=",
	} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if len(p.header) != 7 {
		t.Errorf("got %d headers, want 7", len(p.header))
	}
	verify(t, p, newerSecret, r.now)
	verify(t, p, olderSecret, r.now)
	if got := strings.Count(p.header.Get("Webhook-Signature"), "v1,"); got != 2 {
		t.Errorf("got %d signatures, want one for each secret", got)
	}
}

// TestOtherTypes: the data of every other type goes on as it is, and asks nobody about plates.
func TestOtherTypes(t *testing.T) {
	r := newRig(t)
	r.plates.unreadable, r.plates.unwritable = on, on
	got := r.deliver(t, with(func(i *Item) {
		i.Message.Type, i.Message.Data = "wechatpay.MALL_NEW.THING", jsontext.Value(`{"amount":12345678901234567890}`)
	}))
	want := `{"type":"wechatpay.MALL_NEW.THING","timestamp":"2026-11-22T18:00:00+08:00","data":{"amount":12345678901234567890}}`
	if got.Kind != Delivered || r.vendor.posts[0].body != want {
		t.Errorf("got %v, body %s, want %s", got.Kind, r.vendor.posts[0].body, want)
	}
}

// TestPing: a ping is delivered to a vendor that lists no events, asks nobody about plates, and is sent once.
func TestPing(t *testing.T) {
	r := newRig(t)
	r.plates.unreadable, r.plates.unwritable = on, on
	r.vendors.value = directory(t, strings.Replace(vendors, `"webhook_url"`, `"events":[],"webhook_url"`, 1))
	for _, want := range []string{"", "already_delivered"} {
		if got := r.deliver(t, with(ping)); got.Kind != Delivered || got.Reason != want {
			t.Errorf("got %v %q, want delivered %q", got.Kind, got.Reason, want)
		}
	}
	if len(r.vendor.posts) != 1 {
		t.Fatalf("the vendor got %d posts, want one", len(r.vendor.posts))
	}
	want := `{"type":"gateway.ping","timestamp":"2026-11-22T18:00:00+08:00","data":` + string(event.Ping("acme", "nonce", start).Data) + `}`
	if got := r.vendor.posts[0].body; got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
	verify(t, r.vendor.posts[0], newerSecret, r.now)
}

// TestSuperseded sends states of one plate out of order.
func TestSuperseded(t *testing.T) {
	r := newRig(t)
	state := func(id, occurredAt, plateNumber string) Item {
		return with(func(i *Item) {
			i.Message.ID = event.V2ID(id, "acme")
			data := strings.Replace(plateData, "2026-11-22T18:00:00+08:00", occurredAt, 1)
			i.Message.Data = jsontext.Value(strings.Replace(data, "粤B12345", plateNumber, 1))
		})
	}
	var got []bool
	for _, item := range []Item{
		state("1", "2026-11-22T18:00:10+08:00", "粤B12345"),
		state("2", "2026-11-22T18:00:05+08:00", "粤B12345"),
		state("3", "2026-11-22T10:00:10Z", "粤B12345"), // the same moment as the first
		state("4", "2026-11-22T18:00:20+08:00", "粤B12345"),
		state("5", "2026-11-22T18:00:10+08:00", "粤B12345"),
		state("6", "2026-11-22T18:00:00+08:00", "粤B99999"),
	} {
		if d := r.deliver(t, item); d.Kind != Delivered {
			t.Fatalf("got %v, want delivered", d.Kind)
		}
		var body struct {
			Data struct {
				Superseded bool `json:"superseded"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(r.vendor.posts[len(r.vendor.posts)-1].body), &body); err != nil {
			t.Fatal(err)
		}
		got = append(got, body.Data.Superseded)
	}
	if want := []bool{false, true, false, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("superseded: got %v, want %v", got, want)
	}
}

// TestOnlySentStatesSupersede: an event that the vendor refused supersedes nothing.
func TestOnlySentStatesSupersede(t *testing.T) {
	r := newRig(t)
	r.vendor.answer = always(Answer{Status: http.StatusInternalServerError})
	r.deliver(t, with(nil))
	if len(r.plates.newest) != 0 {
		t.Errorf("got %v, want no state noted", r.plates.newest)
	}
}

// TestCircuitOfOneVendor: three failures keep the fourth event from being sent, and after 30 s one probe goes out.
func TestCircuitOfOneVendor(t *testing.T) {
	r := newRig(t)
	r.vendor.answer = always(Answer{Failure: "timeout"})
	next := func(id string) Decision {
		return r.deliver(t, with(func(i *Item) { i.Message.ID = event.V2ID(id, "acme") }))
	}
	for _, id := range []string{"1", "2", "3"} {
		if got := next(id).Reason; got != "timeout" {
			t.Fatalf("event %s: got %q, want timeout", id, got)
		}
	}
	if got := next("4"); got.Reason != "circuit_open" || got.Item.Tries != 0 {
		t.Errorf("got %q and %d tries, want circuit_open and none charged", got.Reason, got.Item.Tries)
	}
	r.advance(OpenFor)
	r.vendor.answer = always(Answer{Status: 200})
	for _, id := range []string{"5", "6"} {
		if got := next(id); got.Kind != Delivered {
			t.Errorf("event %s: got %v, want delivered", id, got.Kind)
		}
	}
	if got := len(r.vendor.posts); got != 5 {
		t.Errorf("the vendor got %d posts, want 5", got)
	}
}

// TestOneProbeOfAllSandboxes: of two sandboxes whose circuits are to be probed, one waits for the vendor. The other's turn
// comes afterwards, and a success closes the circuit of each.
func TestOneProbeOfAllSandboxes(t *testing.T) {
	r := newRig(t)
	other := *r.deliverer
	other.Circuit = NewCircuit(r.Now)
	circuits := []*Circuit{r.deliverer.Circuit, other.Circuit}
	for _, c := range circuits {
		fail(t, c, "acme", OpenAfter)
	}
	r.advance(OpenFor)
	deliver := func(d *Deliverer, id string) Decision {
		return d.Deliver(until{t.Context(), r.now.Add(30 * time.Second)}, with(func(i *Item) { i.Message.ID = event.V2ID(id, "acme") }))
	}
	var beside Decision
	r.vendor.answer = func(_ context.Context, n int) Answer {
		if n == 1 {
			beside = deliver(&other, "2")
			return Answer{Failure: "timeout"}
		}
		return Answer{Status: http.StatusOK}
	}
	if got := deliver(r.deliverer, "1").Reason; got != "timeout" {
		t.Fatalf("got %q, want the first probe to time out", got)
	}
	if beside.Kind != Delay || beside.Reason != "circuit_open" || beside.Item.Tries != 0 {
		t.Errorf("got %v (%s) and %d tries, want delayed (circuit_open) and none charged", beside.Kind, beside.Reason, beside.Item.Tries)
	}
	r.advance(Timeout)
	if got := deliver(&other, "3").Kind; got != Delivered {
		t.Errorf("the other sandbox's turn: got %v, want delivered", got)
	}
	r.advance(OpenFor - Timeout)
	if got := deliver(r.deliverer, "4").Kind; got != Delivered {
		t.Errorf("the first sandbox's second turn: got %v, want delivered", got)
	}
	for i, c := range circuits {
		if c.vendors["acme"] != nil {
			t.Errorf("circuit %d is not closed", i)
		}
	}
	if got := len(r.vendor.posts); got != 3 {
		t.Errorf("the vendor got %d posts, want 3", got)
	}
}

func TestKindString(t *testing.T) {
	for kind, want := range map[Kind]string{Delivered: "delivered", Delay: "delayed", Park: "parked", Ours: "failed", 0: "Kind(0)"} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
