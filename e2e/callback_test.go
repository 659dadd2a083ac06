//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// callbackScenario is one callback of WeChat Pay's, or of somebody's who would like to be it.
type callbackScenario struct {
	name  string
	build func(t *testing.T, g *gateway) wechatpaysim.Callback
	// reason is why it is refused, "" when it is accepted.
	reason string
	status int // of a refusal; V2 answers 200 where it is 0
	// queued are the vendors that hear of it, in the order of their ids.
	queued []string
	// logged is the reason in the log of an accepted callback.
	logged string
}

const (
	acceptedXML    = "<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
	refusedXML     = "<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[%]]></return_msg></xml>"
	refusedMessage = `{"code":"FAIL","message":"%"}`
)

// playCallbacks plays the rows. Whatever a row sends, the function stays in its sandbox, calls nobody, and only what the
// row says is on the queue.
func playCallbacks(t *testing.T, g *gateway, v2 bool, rows []callbackScenario) {
	t.Helper()
	if n := g.queue.depth(t); n != 0 {
		t.Fatalf("%d messages are on the queue before the test, want none", n)
	}
	valid := callbackScenario{name: "valid", build: payment, queued: []string{fixture.VendorID}}
	if v2 {
		valid.build = plateState(fixture.VendorID, fixture.PlateState("BLOCKED", "OVERDUE", ""))
	}
	valid.play(t, g, v2)
	g.stays(t, notifyCallback)
	for _, row := range append(rows, valid) {
		t.Run(row.name, func(t *testing.T) { row.play(t, g, v2) })
	}
}

func (s callbackScenario) play(t *testing.T, g *gateway, v2 bool) {
	t.Helper()
	c := s.build(t, g)
	suite.private.add(privateIn(c.Body)...)
	delivery, err := g.WeChatPay.Send(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if delivery.Header.Get("Request-Id") == "" {
		t.Error("the answer has no Request-Id")
	}
	if want := s.reason == ""; delivery.Success != want {
		t.Errorf("WeChat Pay took the answer for success %v, want %v (%s)", delivery.Success, want, delivery.Why)
	}
	wantStatus, wantBody, wantType := s.expected(v2)
	if delivery.Status != wantStatus || string(delivery.Body) != wantBody || delivery.Header.Get("Content-Type") != wantType {
		t.Errorf("got %d %s %s, want %d %s %s", delivery.Status, delivery.Header.Get("Content-Type"), delivery.Body, wantStatus, wantType, wantBody)
	}
	messages := g.queue.take(t)
	var vendors []string
	for _, m := range messages {
		vendors = append(vendors, m.VendorID)
	}
	if got, want := strings.Join(vendors, " "), strings.Join(s.queued, " "); got != want {
		t.Errorf("got events for %q, want for %q", got, want)
	}
	reason := s.reason + s.logged
	if reason == "" {
		return
	}
	suite.seen.met("reason", reason)
	if line := suite.log.request(t, delivery.Header.Get("Request-Id")); !strings.Contains(line, `"reason":"`+reason+`"`) {
		t.Errorf("the log does not give the reason %s: %s", reason, line)
	}
}

// expected is the answer, byte for byte.
func (s callbackScenario) expected(v2 bool) (status int, body, contentType string) {
	switch {
	case v2 && s.reason == "":
		return 200, acceptedXML, "text/xml; charset=utf-8"
	case v2:
		return max(s.status, 200), strings.Replace(refusedXML, "%", s.reason, 1), "text/xml; charset=utf-8"
	case s.reason == "":
		return 204, "", ""
	}
	return s.status, strings.Replace(refusedMessage, "%", s.reason, 1), "application/json"
}

// plateState builds the V2 notice of a plate's state, sent to a vendor's address.
func plateState(vendor string, p wechatpaysim.PlateState) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		t.Helper()
		return built(t)(g.WeChatPay.BuildPlateState(g.URL+"/v1/callbacks/vehicle/"+vendor, p))
	}
}

// circleURL is where V3 callbacks go.
func (g *gateway) circleURL() string { return g.URL + "/v1/callbacks/businesscircle" }

// built fails the test when a callback could not be built.
func built(t *testing.T) func(wechatpaysim.Callback, error) wechatpaysim.Callback {
	return func(c wechatpaysim.Callback, err error) wechatpaysim.Callback {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// edit changes the body's text after signing; it must hold old once.
func edit(t *testing.T, c wechatpaysim.Callback, old, new string) wechatpaysim.Callback {
	t.Helper()
	if n := bytes.Count(c.Body, []byte(old)); n != 1 {
		t.Fatalf("the body holds %q %d times, want once", old, n)
	}
	c.Body = bytes.Replace(c.Body, []byte(old), []byte(new), 1)
	return c
}

// member returns a member of a message's data.
func member(t *testing.T, m message, name string) any {
	t.Helper()
	var data map[string]any
	if err := json.Unmarshal(m.Data, &data); err != nil {
		t.Fatal(err)
	}
	return data[name]
}
