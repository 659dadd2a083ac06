//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/lambdahost"
	"wechat-parking-gateway/local/wechatpaysim"
)

// mutations is how many mutated events TestMutations sends.
const mutations = 1000

// mutator changes messages at random, from a seed.
type mutator struct{ *rand.Rand }

// tokens are what a parser may stumble over.
var tokens = []string{
	`"`, `\`, `{`, `}`, `[`, `]`, `,`, `:`, `null`, `true`, `-0`, `1e999`, `99999999999999999999`, `\u0000`, `\ud800`, "\x00", "\xff", "\u2028",
	`<![CDATA[`, `]]>`, `<!DOCTYPE x>`, `<!--`, `<?x?>`, `&lt;`, `&x;`, `&#0;`, `&#x110000;`, `</xml>`, `<xml>`, `<a/>`, "\r\n", " ", "🚗", "粤", "..", "%", "=",
	strings.Repeat("A", 300), strings.Repeat("<a>", 200), strings.Repeat("[", 500),
}

// text changes a text in one to three places.
func (m mutator) text(b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + m.IntN(3) {
		if len(b) == 0 {
			return []byte(tokens[m.IntN(len(tokens))])
		}
		at := m.IntN(len(b))
		end := min(len(b), at+1+m.IntN(8))
		switch m.IntN(6) {
		case 0:
			b[at] ^= 1 << m.IntN(8)
		case 1:
			b = slices.Delete(b, at, end)
		case 2:
			b = slices.Insert(b, at, []byte(tokens[m.IntN(len(tokens))])...)
		case 3:
			b = slices.Insert(b, at, b[at:end]...)
		case 4:
			b = b[:at]
		default:
			b = slices.Replace(b, at, end, []byte(tokens[m.IntN(len(tokens))])...)
		}
	}
	return b
}

// value returns some JSON value.
func (m mutator) value() any {
	return []any{nil, true, 0, -1, 1e300, "", "x", tokens[m.IntN(len(tokens))], []any{}, []any{nil}, map[string]any{}, map[string]any{"a": []any{1}}}[m.IntN(12)]
}

// event changes one member of an event, or of an object in it.
func (m mutator) event(e map[string]any) {
	names := make([]string, 0, len(e))
	for name := range e {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[m.IntN(len(names))]
	switch inner := e[name].(type) {
	case map[string]any:
		if len(inner) > 0 && m.IntN(4) > 0 {
			m.event(inner)
			return
		}
	case string:
		if m.IntN(2) == 0 {
			e[name] = string(m.text([]byte(inner)))
			return
		}
	}
	switch m.IntN(3) {
	case 0:
		delete(e, name)
	case 1:
		e[name+tokens[m.IntN(len(tokens))]] = e[name]
	default:
		e[name] = m.value()
	}
}

// generic turns an event into plain maps.
func generic(e map[string]any) map[string]any {
	b, err := json.Marshal(e)
	if err != nil {
		panic("e2e: " + err.Error())
	}
	var plain map[string]any
	if err := json.Unmarshal(b, &plain); err != nil {
		panic("e2e: " + err.Error())
	}
	return plain
}

// TestMutations: whatever arrives, signed or not, the functions answer it by the contract and live on.
func TestMutations(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry, laneCallbacks)
	g.warm(t)
	for _, function := range functions {
		g.stays(t, function)
	}
	marks := map[string]int{laneParkings: g.heard.mark(laneParkings), laneEntry: g.heard.mark(laneEntry)}
	m := mutator{rand.New(rand.NewPCG(20170926, 114339))}
	errorsOfFunctions, statuses := 0, make(map[int]int)
	for n := range mutations {
		function, payload := m.payload(t, g)
		suite.private.add(privateIn(payload)...)
		a, err := g.invokeBytes(t, function, payload)
		if errors.Is(err, lambdahost.ErrReported) {
			errorsOfFunctions++ // not an event any more
			continue
		}
		if err != nil {
			t.Fatalf("mutation %d, %s: %v: %q", n, function, err, payload)
		}
		statuses[a.status]++
		checkMutant(t, n, function, a, payload)
	}
	t.Logf("%d were no events; statuses of the others: %v", errorsOfFunctions, statuses)
	g.queue.take(t)
	for route, mark := range marks {
		for _, r := range g.heard.since(route, mark) {
			if !r.Accepted {
				t.Logf("%s: WeChat Pay would not take what the gateway took: %s", route, r.Reason)
			}
		}
	}
	// They work as before.
	g.warm(t)
}

// checkMutant: nothing that a caller sends is a failure of the gateway's.
func checkMutant(t *testing.T, n int, function string, a answer, payload []byte) {
	t.Helper()
	// A route that the event names wrongly is one that the function does not have: a deployment is wrong, not a caller.
	if a.status >= 500 && slices.Contains(routeKeys, routeKeyOf(payload)) {
		t.Errorf("mutation %d, %s: got %d %s for %q", n, function, a.status, a.body, payload)
	}
	if a.status >= 400 && function != notifyCallback {
		var p struct{ Code string }
		if err := json.Unmarshal(a.body, &p); err != nil || statusOfCode[p.Code] != a.status {
			t.Errorf("mutation %d, %s: got %d %s, want a problem of the list", n, function, a.status, a.body)
		}
	}
}

var routeKeys = []string{
	"POST /v1/vendors/{vendor_id}/" + demovendor.Parkings, "POST /v1/vendors/{vendor_id}/" + demovendor.Entry,
	"POST /v1/callbacks/vehicle/{vendor_id}", "POST /v1/callbacks/businesscircle",
}

// routeKeyOf returns the event's route key, as far as the event can be read.
func routeKeyOf(payload []byte) string {
	var e struct {
		RouteKey string `json:"routeKey"`
	}
	_ = json.Unmarshal(payload, &e)
	return e.RouteKey
}

// payload makes a mutated event: of a message that was changed before it was signed, after it was signed, of the event
// itself, or of the event's text.
func (m mutator) payload(t *testing.T, g *gateway) (function string, payload []byte) {
	t.Helper()
	how := m.IntN(4)
	var event map[string]any
	switch kind := m.IntN(4); kind {
	case 0, 1:
		c := g.newCall([]string{demovendor.Parkings, demovendor.Entry}[kind])
		if how == 0 {
			c.body = bytes.ToValidUTF8(m.text(c.body), nil) // an event is JSON and carries nothing else unencoded
		}
		event, function = c.event(strings.ToLower)
	case 2:
		c := signedPlate(func(d []element) []element { return d })(t, g)
		if how == 0 {
			c = signedPlate(func(d []element) []element {
				i := m.IntN(len(d))
				d[i].Value = xmlText(m.text([]byte(d[i].Value)))
				return d
			})(t, g)
		}
		event, function = callbackEvent(c, strings.ToLower), notifyCallback
	default:
		c := payment(t, g)
		switch {
		case how == 0 && m.IntN(2) == 0:
			resource := map[string]any{"mchid": fixture.SubMchID, "more": m.value()}
			m.event(resource)
			c = built(t)(g.WeChatPay.BuildEvent(g.circleURL(), wechatpaysim.Event{Type: "MALL_TRANSACTION.SUCCESS", Resource: resource}))
		case how == 0:
			c.Body = bytes.ToValidUTF8(m.text(c.Body), nil)
			c = built(t)(g.WeChatPay.Resign(c))
		}
		event, function = callbackEvent(c, strings.ToLower), notifyCallback
	}
	event = generic(event)
	switch how {
	case 1:
		body, _ := event["body"].(string)
		event["body"] = string(m.text([]byte(body)))
	case 2:
		m.event(event)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if how == 3 {
		payload = m.text(payload)
	}
	return function, payload
}

// xmlText leaves out what XML cannot carry.
func xmlText(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r == '\ufffe' || r == '\uffff' {
			return -1
		}
		return r
	}, string(b))
}
