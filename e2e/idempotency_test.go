//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// routes are the vendors' routes with where their calls arrive and which lane they take.
func (g *gateway) routes() map[string]string {
	return map[string]string{demovendor.Parkings: wechatpaysim.RouteParkings, demovendor.Entry: g.entryURI}
}

// TestReplay: the same id and the same request give the stored answer, byte for byte, and WeChat Pay is not called again;
// the same id with another request is a mismatch. Ids are told apart by vendor and by route.
func TestReplay(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry)
	for route, uri := range g.routes() {
		t.Run(route, func(t *testing.T) {
			mark := g.heard.mark(uri)
			c := g.newCall(route)
			first := c.do(t)
			if first.status != success[route] || first.header.Get("Idempotency-Replayed") != "" {
				t.Fatalf("got status %d, replayed %q, want %d and not replayed", first.status, first.header.Get("Idempotency-Replayed"), success[route])
			}
			repeat := func(what string, change func(*call)) {
				t.Helper()
				again := *c
				change(&again)
				replayed(t, what, first, again.do(t))
			}
			repeat("the same", func(*call) {})
			repeat("signed later", func(c *call) { c.at = c.at.Add(10 * time.Second) })
			repeat("in another order", set("plate_number", fixture.Plate))
			repeat("with white space", func(c *call) { c.pad(len(c.body) + 100) })
			if route == demovendor.Parkings {
				repeat("the time in UTC", func(c *call) {
					at, err := time.Parse(time.RFC3339, c.fields()["time"].(string))
					if err != nil {
						t.Fatal(err)
					}
					c.set("time", at.UTC().Format(time.RFC3339))
				})
				repeat("without the ids that are known", all(without("sub_mchid"), without("brandid"), without("appid")))
			} else {
				repeat("free_time as a number", set("free_time", 1200))
				repeat("without what is filled in", all(without("appid"), without("mch_id"), without("version"), without("notify_url"), set("nonce_str", "x")))
			}
			if heard := g.heard.since(uri, mark); len(heard) != 1 {
				t.Fatalf("WeChat Pay heard %d calls, want 1", len(heard))
			}

			other := *c
			other.set("plate_number", "粤B888889")
			vendorScenario{status: 422, code: "idempotency_mismatch"}.check(t, other.do(t), nil)
			invalid := *c
			invalid.set("plate_number", "x")
			vendorScenario{status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}}.check(t, invalid.do(t), nil)
			if heard := g.heard.since(uri, mark); len(heard) != 1 {
				t.Errorf("WeChat Pay heard %d calls, want 1", len(heard))
			}
			repeat("after a mismatch", func(*call) {})

			// The id is this vendor's, on this route.
			elsewhere := g.newCall(route)
			elsewhere.as(chainVendor)
			elsewhere.id = c.id
			if route == demovendor.Parkings {
				elsewhere.body = []byte(`{"brandid":2001,"openid":"oUpF8uMuAJOM2pxb1Q","plate_number":"粤B888888","state":"IN","time":"2022-06-01T10:43:39+08:00"}`)
			} else {
				elsewhere.set("sub_mch_id", chainMchID1)
				elsewhere.set("sub_appid", chainApp1)
				elsewhere.set("notify_url", nil)
			}
			if a := elsewhere.do(t); a.status != success[route] || a.header.Get("Idempotency-Replayed") != "" {
				t.Errorf("another vendor's id: got status %d, replayed %q: %s", a.status, a.header.Get("Idempotency-Replayed"), a.body)
			}
			otherRoute := demovendor.Entry
			if route == demovendor.Entry {
				otherRoute = demovendor.Parkings
			}
			crossing := g.newCall(otherRoute)
			crossing.id = c.id
			if a := crossing.do(t); a.status != success[otherRoute] || a.header.Get("Idempotency-Replayed") != "" {
				t.Errorf("the id on the other route: got status %d, replayed %q: %s", a.status, a.header.Get("Idempotency-Replayed"), a.body)
			}
		})
	}
}

// replayed holds a repeat's answer against the first one.
func replayed(t *testing.T, what string, first, again answer) {
	t.Helper()
	if again.status != first.status || string(again.body) != string(first.body) || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
		t.Errorf("%s: got %d %s, want the stored %d %s", what, again.status, again.body, first.status, first.body)
	}
	if got := again.header.Get("Idempotency-Replayed"); got != "true" {
		t.Errorf("%s: got Idempotency-Replayed %q, want true", what, got)
	}
	if again.requestID() == "" || again.requestID() == first.requestID() {
		t.Errorf("%s: got Request-Id %q, want one of its own", what, again.requestID())
	}
}

// TestWhileRunning: while a call is at WeChat Pay, its twin is told to wait and another request under its id is refused.
func TestWhileRunning(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry)
	for route, uri := range g.routes() {
		t.Run(route, func(t *testing.T) {
			mark := g.heard.mark(uri)
			arrived, release := g.heard.hold(t, uri)
			c := g.newCall(route)
			type result struct {
				answer
				err error
			}
			done := make(chan result, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			go func() {
				a, err := c.try(ctx)
				done <- result{a, err}
			}()
			select {
			case <-arrived:
			case <-ctx.Done():
				t.Fatal("the call never reached WeChat Pay")
			}
			twin := *c
			a := twin.do(t)
			vendorScenario{status: 409, code: "in_progress"}.check(t, a, nil)
			if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 20 {
				t.Errorf("got Retry-After %q, want 1 to 20 s, in which the first call has ended", a.header.Get("Retry-After"))
			}
			other := *c
			other.set("plate_number", "粤B888889")
			vendorScenario{status: 422, code: "idempotency_mismatch"}.check(t, other.do(t), nil)
			release()
			first := <-done
			if first.err != nil || first.status != success[route] {
				t.Fatalf("got status %d, %v, want %d: %s", first.status, first.err, success[route], first.body)
			}
			replayed(t, "the twin, later", first.answer, twin.do(t))
			if heard := g.heard.since(uri, mark); len(heard) != 1 {
				t.Errorf("WeChat Pay heard %d calls, want 1", len(heard))
			}
		})
	}
}

// TestTwins: of 20 identical calls at one time, WeChat Pay hears exactly one.
func TestTwins(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry)
	const twins = 20
	for route, uri := range g.routes() {
		t.Run(route, func(t *testing.T) {
			mark := g.heard.mark(uri)
			c := g.newCall(route)
			answers, failures := make([]answer, twins), make([]error, twins)
			var racing sync.WaitGroup
			start := make(chan struct{})
			for i := range twins {
				racing.Go(func() {
					twin := *c
					<-start
					answers[i], failures[i] = twin.try(t.Context())
				})
			}
			close(start)
			racing.Wait()
			if err := errors.Join(failures...); err != nil {
				t.Fatal(err)
			}
			if heard := g.heard.since(uri, mark); len(heard) != 1 || !heard[0].Accepted {
				t.Errorf("WeChat Pay heard %d calls, want 1", len(heard))
			}
			fresh := 0
			for _, a := range answers {
				switch {
				case a.status == success[route] && a.header.Get("Idempotency-Replayed") == "":
					fresh++
				case a.status == success[route]:
				default:
					vendorScenario{status: 409, code: "in_progress"}.check(t, a, nil)
				}
			}
			if fresh != 1 {
				t.Errorf("got %d fresh answers, want 1", fresh)
			}
		})
	}
}

// TestFreedAndStored: an id is free again after what may go otherwise the next time, and bound to its answer after what
// will not.
func TestFreedAndStored(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry)
	for route, uri := range g.routes() {
		for _, row := range []struct {
			name   string
			fault  wechatpaysim.Fault
			status int
			stored bool
		}{
			{"400", status(1, 400, "", ""), 422, true},
			{"403", status(1, 403, "", ""), 403, false},
			{"429", status(1, 429, "", ""), 429, false},
			{"rejected signature", status(1, 401, "", ""), 502, false},
			{"unverifiable", fault(wechatpaysim.FaultWrongSignature, always), 502, false},
			{"unavailable", status(always, 503, "", ""), 503, false},
			{"no answer", fault(wechatpaysim.FaultResetAfterRead, always), 504, false},
		} {
			t.Run(route+" "+row.name, func(t *testing.T) {
				row.fault.Route = uri
				if route == demovendor.Entry && row.fault.Status == 401 {
					row.fault.Times = len(g.World.Merchant.APIv2Keys) // each of them signs once
				}
				if err := g.WeChatPay.Inject(row.fault); err != nil {
					t.Fatal(err)
				}
				c := g.newCall(route)
				first := c.do(t)
				if first.status != row.status {
					t.Fatalf("got status %d, want %d: %s", first.status, row.status, first.body)
				}
				mark := g.heard.mark(uri)
				if row.stored {
					again := c.do(t)
					replayed(t, "the repeat", first, again)
					checkProblem(t, again)
					if heard := g.heard.since(uri, mark); len(heard) != 0 {
						t.Errorf("WeChat Pay heard %d calls, want none", len(heard))
					}
					return
				}
				// Freed: another request may have the id as well.
				other := *c
				other.set("plate_number", "粤B888889")
				vendorScenario{status: success[route], heard: 1}.check(t, other.do(t), g.heard.since(uri, mark))
				replayed(t, "its repeat", answer{status: success[route], body: other.do(t).body, header: contentType(route)}, other.do(t))
			})
		}
	}
}

func contentType(route string) http.Header {
	h := http.Header{}
	if route == demovendor.Entry {
		h.Set("Content-Type", "application/json")
	}
	return h
}

// TestRefusedBeforeTheClaim: a refusal of the gateway's own writes nothing, so the corrected request may keep its id.
func TestRefusedBeforeTheClaim(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry)
	for route, uri := range g.routes() {
		for name, change := range map[string]func(*call){
			"fields": set("plate_number", "x"), "JSON": body("{"), "content type": header("Content-Type", "text/plain"),
			"merchant": set(map[string]string{demovendor.Parkings: "sub_mchid", demovendor.Entry: "sub_mch_id"}[route], "1"),
		} {
			t.Run(route+" "+name, func(t *testing.T) {
				c := g.newCall(route)
				wrong := *c
				change(&wrong)
				if a := wrong.do(t); a.status < 400 || !json.Valid(a.body) {
					t.Fatalf("got status %d, want a refusal", a.status)
				}
				mark := g.heard.mark(uri)
				a := c.do(t)
				vendorScenario{status: success[route], heard: 1}.check(t, a, g.heard.since(uri, mark))
				if a.header.Get("Idempotency-Replayed") != "" {
					t.Error("got a replay, want a fresh answer")
				}
			})
		}
	}
}
