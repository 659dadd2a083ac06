//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/cmd/parkctl/deadletter"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
)

// badAddresses are webhook_urls that must never be called, by the vendor that has them, with the reason that an operator
// sees.
var badAddresses = map[string]struct{ url, reason string }{
	"plain-http":     {"http://parking.example.com/webhooks", "not_https"},
	"other-port":     {"https://parking.example.com:8443/webhooks", "bad_port"},
	"not-a-url":      {"parking.example.com", "bad_url"},
	"loopback":       {"https://127.0.0.1/webhooks", "forbidden_address"},
	"loopback-name":  {"https://localhost/webhooks", "bad_url"},
	"metadata":       {"https://169.254.169.254/latest/meta-data", "forbidden_address"},
	"private":        {"https://10.0.0.1/webhooks", "forbidden_address"},
	"mapped-in-ipv6": {"https://[::ffff:10.0.0.1]/webhooks", "forbidden_address"},
}

// sealedStack delivers as a deployed stack does, loopback refused.
var sealedStack = sync.OnceValues(func() (*gateway, error) {
	return start(func(w *fixture.World) {
		for id, address := range badAddresses {
			w.Vendors.Vendors[id] = listener(address.url)
		}
	}, stack.Options{EnvFor: func(string) map[string]string { return map[string]string{"WEBHOOK_ALLOW_LOOPBACK": ""} }})
})

// listener is a vendor that hears of payments at the sample merchant.
func listener(url string) *fixture.Vendor {
	return &fixture.Vendor{
		RequestSecrets: []string{fixture.NewSecret()}, WebhookSecrets: []string{fixture.NewSecret()}, WebhookURL: url,
		Events: []string{"businesscircle.transaction_succeeded"},
		Merchants: []fixture.VendorMerchant{{
			SubMchID: fixture.SubMchID, BusinessCircle: &fixture.BusinessCircle{BrandID: fixture.BrandID, AppID: fixture.CircleAppID},
		}},
	}
}

// TestForbiddenAddresses: one payment goes to vendors whose addresses may not be called. Each event waits with a reason
// that an operator understands, and nobody is called.
func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	g := get(t, sealedStack)
	if d, err := g.WeChatPay.Send(t.Context(), payment(t, g)); err != nil || !d.Success {
		t.Fatalf("got %v, %v, want success", d, err)
	}
	for id, address := range badAddresses {
		suite.log.wait(t, `"vendor_id":"`+id+`"`, `"decision":"delayed"`, `"reason":"`+address.reason+`"`)
	}
	suite.log.wait(t, `"vendor_id":"`+fixture.VendorID+`"`, `"decision":"delayed"`, `"reason":"not_https"`)
	if n := len(g.Webhooks.Deliveries()); n != 0 {
		t.Errorf("got %d webhooks on loopback, want none", n)
	}
}

// parkingStack has vendors whose events go to the dead-letter queue, beside a healthy one.
var parkingStack = sync.OnceValues(func() (*gateway, error) {
	return start(func(w *fixture.World) {
		disabled, nowhere := listener("https://parking.example.com/webhooks"), listener("")
		disabled.Disabled = true
		w.Vendors.Vendors["disabled"], w.Vendors.Vendors["nowhere"] = disabled, nowhere
	}, stack.Options{})
})

// TestParked: what cannot be delivered lies on the dead-letter queue with its reason, and holds up nobody else.
func TestParked(t *testing.T) {
	t.Parallel()
	g := get(t, parkingStack)
	if d, err := g.WeChatPay.Send(t.Context(), payment(t, g)); err != nil || !d.Success {
		t.Fatalf("got %v, %v, want success", d, err)
	}
	heard := g.heardBy(t, g.Webhooks, 1)
	if heard[0].Verdict != nil || heard[0].Type != "businesscircle.transaction_succeeded" {
		t.Errorf("the healthy vendor: got %s, %v", heard[0].Type, heard[0].Verdict)
	}
	if err := g.Webhooks.Inject(demovendor.Fault{Kind: demovendor.FaultStatus, Status: 410, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if d, err := g.WeChatPay.Send(t.Context(), payment(t, g)); err != nil || !d.Success {
		t.Fatalf("got %v, %v, want success", d, err)
	}
	got := g.deadLetters(t, 5)
	want := []string{"demo-parking gone", "disabled vendor_disabled", "disabled vendor_disabled", "nowhere no_webhook_url", "nowhere no_webhook_url"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// misbehaviours are answers that are failures, or successes that try to do harm.
var misbehaviours = []struct {
	name   string
	fault  demovendor.Fault
	reason string // "" where the event counts as delivered
}{
	{"redirect to a forbidden address", demovendor.Fault{Kind: demovendor.FaultRedirect, Location: "http://169.254.169.254/"}, "http_307"},
	{"endless body of a failure", demovendor.Fault{Kind: demovendor.FaultEndless, Status: 500}, "http_500"},
	{"endless body of a success", demovendor.Fault{Kind: demovendor.FaultEndless, Status: 200}, ""},
	{"connection ended", demovendor.Fault{Kind: demovendor.FaultClose}, "connection_lost"},
}

var harmStack = sync.OnceValues(func() (*gateway, error) { return start(nil, stack.Options{}) })

// TestMisbehavingVendor: each misbehaviour is recorded with a reason, and the event arrives when the vendor behaves.
func TestMisbehavingVendor(t *testing.T) {
	t.Parallel()
	g := get(t, harmStack)
	for _, m := range misbehaviours {
		t.Run(m.name, func(t *testing.T) {
			before := len(g.Webhooks.Deliveries())
			m.fault.Times = 1
			if err := g.Webhooks.Inject(m.fault); err != nil {
				t.Fatal(err)
			}
			if d, err := g.WeChatPay.Send(t.Context(), payment(t, g)); err != nil || !d.Success {
				t.Fatalf("got %v, %v, want success", d, err)
			}
			id := g.heardBy(t, g.Webhooks, before+1)[before].ID
			if m.reason == "" {
				suite.log.wait(t, `"event_id":"`+id+`"`, `"decision":"delivered"`)
				return
			}
			suite.log.wait(t, `"event_id":"`+id+`"`, `"decision":"delayed"`, `"reason":"`+m.reason+`"`)
			suite.log.wait(t, `"event_id":"`+id+`"`, `"decision":"delivered"`)
		})
	}
}

// TestDeadLetterReplay: a dead letter that an operator sends again reaches the vendor under the id that it always had.
func TestDeadLetterReplay(t *testing.T) {
	t.Parallel()
	g := get(t, replayStack)
	if err := g.Webhooks.Inject(demovendor.Fault{Kind: demovendor.FaultStatus, Status: 410, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if d, err := g.WeChatPay.Send(t.Context(), payment(t, g)); err != nil || !d.Success {
		t.Fatalf("got %v, %v, want success", d, err)
	}
	id := g.heardBy(t, g.Webhooks, 1)[0].ID
	suite.log.wait(t, `"event_id":"`+id+`"`, `"decision":"parked"`, `"reason":"gone"`)
	events, dead := g.Stack.Queues()
	queues := deadletter.Queues{API: sqs.NewFromConfig(g.AWS), EventsURL: events, DeadLetterURL: dead}
	var seen []string
	err := queues.Walk(t.Context(), func(l deadletter.Letter) (bool, error) {
		seen = append(seen, l.EventID+" "+l.Reason)
		return true, queues.Replay(t.Context(), l)
	})
	if err != nil || !slices.Equal(seen, []string{id + " gone"}) {
		t.Fatalf("got %q, %v, want the one that is gone", seen, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if again, err := g.Webhooks.Wait(ctx, id); err != nil || again.Status != 204 {
		t.Errorf("got %d, %v, want the event once more", again.Status, err)
	}
	if n, err := g.DeadLetters(t.Context()); err != nil || n != 0 {
		t.Errorf("got %d dead letters, %v, want none", n, err)
	}
}

var replayStack = sync.OnceValues(func() (*gateway, error) { return start(nil, stack.Options{}) })

// patience is how long an event may take, a retry included.
const patience = 20 * time.Second

// heardBy waits until a vendor has got n webhooks.
func (g *gateway) heardBy(t *testing.T, r *demovendor.Receiver, n int) []demovendor.Delivery {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if all := r.Deliveries(); len(all) >= n {
			return all
		}
		if time.Now().After(until) {
			t.Fatalf("got %d webhooks, want %d", len(r.Deliveries()), n)
		}
	}
}

// deadLetters takes n letters from the dead-letter queue: vendor and reason, sorted.
func (g *gateway) deadLetters(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for until := time.Now().Add(patience); len(all) < n && time.Now().Before(until); {
		letters, err := g.TakeDeadLetters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			all = append(all, fmt.Sprintf("%s %s", l.VendorID, l.Reason))
		}
	}
	slices.Sort(all)
	return all
}

// wait waits for a log line that holds all of parts.
func (l *functionLog) wait(t *testing.T, parts ...string) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if l.holds(parts) {
			return
		}
		if time.Now().After(until) {
			t.Errorf("no log line holds %q", parts)
			return
		}
	}
}

func (l *functionLog) holds(parts []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	})
}
