//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// payment is a member's payment in the mall, which the fixture's vendor hears of.
func payment(t *testing.T, g *gateway) wechatpaysim.Callback {
	t.Helper()
	return built(t)(g.WeChatPay.BuildMallTransaction(g.circleURL(), fixture.Payment(time.Now())))
}

// paid builds a payment with something changed.
func paid(change func(*wechatpaysim.MallTransaction)) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		p := fixture.Payment(time.Now())
		change(&p)
		return built(t)(g.WeChatPay.BuildMallTransaction(g.circleURL(), p))
	}
}

// event is any event with a resource.
func event(eventType string, resource any) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		return built(t)(g.WeChatPay.BuildEvent(g.circleURL(), wechatpaysim.Event{Type: eventType, Resource: resource}))
	}
}

// forgedPayment is a payment forged.
func forgedPayment(kind wechatpaysim.Forgery) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		return built(t)(g.WeChatPay.Forge(payment(t, g), kind))
	}
}

// resigned is a payment whose body was changed before it was signed: genuine, and not of the documented form.
func resigned(change func(body []byte) []byte) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		c := payment(t, g)
		c.Body = change(bytes.Clone(c.Body))
		return built(t)(g.WeChatPay.Resign(c))
	}
}

// envelope is resigned for one member of the envelope, or of the resource where the name begins with it and a full stop.
// A nil value takes the member away.
func envelope(name string, value any) func(*testing.T, *gateway) wechatpaysim.Callback {
	return resigned(func(body []byte) []byte {
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			panic("e2e: " + err.Error())
		}
		in := members
		if inner, ok := strings.CutPrefix(name, "resource."); ok {
			in, name = members["resource"].(map[string]any), inner
		}
		in[name] = value
		if value == nil {
			delete(in, name)
		}
		b, err := json.Marshal(members)
		if err != nil {
			panic("e2e: " + err.Error())
		}
		return b
	})
}

// headers is a payment whose headers were changed after signing.
func headers(change func(http.Header)) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		c := payment(t, g)
		c.Header = c.Header.Clone()
		change(c.Header)
		return c
	}
}

func setHeader(name, value string) func(*testing.T, *gateway) wechatpaysim.Callback {
	return headers(func(h http.Header) {
		h.Set(name, value)
		if value == "" {
			h.Del(name)
		}
	})
}

func addHeader(name string) func(*testing.T, *gateway) wechatpaysim.Callback {
	return headers(func(h http.Header) { h.Add(name, h.Get(name)) })
}

var resourceNonce = regexp.MustCompile(`"nonce":"[^"]*"`)

func TestBusinessCircleCallback(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneCallbacks)
	demo := []string{fixture.VendorID}
	now := time.Now()
	unix := func(offset time.Duration) string { return strconv.FormatInt(now.Add(offset).Unix(), 10) }
	playCallbacks(t, g, false, []callbackScenario{
		// Accepted.
		{name: "a refund", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			return built(t)(g.WeChatPay.BuildMallRefund(g.circleURL(), fixture.Refund(now)))
		}, queued: demo},
		{name: "an activation, without associated data", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			return built(t)(g.WeChatPay.BuildCardActivated(g.circleURL(), fixture.Activation()))
		}, queued: demo},
		{name: "signed with the platform certificate", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			return built(t)(g.WeChatPay.SignWith(payment(t, g), g.World.Identity.CertificateSerial))
		}, queued: demo},
		{name: "another appid and openid", build: paid(func(p *wechatpaysim.MallTransaction) {
			p.AppID, p.OpenID = "wx0000000000000000", "oSomebodyElse0000000"
		}), queued: demo},
		{name: "two vendors of one merchant", build: paid(func(p *wechatpaysim.MallTransaction) { p.MchID = chainMchID1 }), queued: []string{chainVendor, curiousVendor}},
		{name: "one vendor of two", build: paid(func(p *wechatpaysim.MallTransaction) { p.MchID = chainMchID2 }), queued: []string{chainVendor}},
		{name: "a type that is not known and listed", build: event(newEventType, map[string]any{"mchid": chainMchID1, "x": []int{1}}), queued: []string{curiousVendor}},
		{name: "sub_mchid before mchid", build: event("MALL_TRANSACTION.SUCCESS", map[string]any{"mchid": fixture.MchID, "sub_mchid": fixture.SubMchID}), queued: demo},
		{name: "members that were added", build: envelope("a_new_member", map[string]any{"a": 1}), queued: demo},
		{name: "without summary and original_type", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			return built(t)(g.WeChatPay.BuildEvent(g.circleURL(), wechatpaysim.Event{
				Type: "MALL_TRANSACTION.SUCCESS", AssociatedData: "mall_transaction", Resource: fixture.Payment(now),
			}))
		}, queued: demo},
		{name: "without Wechatpay-Signature-Type", build: setHeader("Wechatpay-Signature-Type", ""), queued: demo},
		{name: "as a type that API Gateway encodes", build: setHeader("Content-Type", "application/octet-stream"), queued: demo},
		{name: "header names in other letters", build: headers(func(h http.Header) {
			for _, name := range []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} {
				h[strings.ToUpper(name)] = h[name]
				delete(h, name)
			}
		}), queued: demo},
		{name: "nobody listens to the type", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			p := fixture.Payment(now)
			p.MchID = fixture.OtherSubMchID
			return built(t)(g.WeChatPay.BuildMallTransaction(g.circleURL(), p))
		}, logged: "not_subscribed"},
		{name: "a type that is not known and nobody lists", build: event("MALL_OTHER.EVENT", map[string]any{"mchid": fixture.SubMchID}), logged: "not_subscribed"},
		{name: "a vendor without products", build: paid(func(p *wechatpaysim.MallTransaction) { p.MchID = bareMchID }), logged: "not_subscribed"},

		// Headers.
		{name: "no Wechatpay-Timestamp", build: setHeader("Wechatpay-Timestamp", ""), reason: "missing_header", status: 400},
		{name: "no Wechatpay-Nonce", build: setHeader("Wechatpay-Nonce", ""), reason: "missing_header", status: 400},
		{name: "no Wechatpay-Signature", build: setHeader("Wechatpay-Signature", ""), reason: "missing_header", status: 400},
		{name: "no Wechatpay-Serial", build: setHeader("Wechatpay-Serial", ""), reason: "missing_header", status: 400},
		{name: "no headers", build: headers(func(h http.Header) { clear(h) }), reason: "missing_header", status: 400},
		// API Gateway joins what came twice with a comma.
		{name: "Wechatpay-Timestamp twice", build: addHeader("Wechatpay-Timestamp"), reason: "malformed", status: 400},
		{name: "Wechatpay-Nonce twice", build: addHeader("Wechatpay-Nonce"), reason: "malformed", status: 400},
		{name: "Wechatpay-Signature twice", build: addHeader("Wechatpay-Signature"), reason: "malformed", status: 400},
		{name: "Wechatpay-Serial twice", build: addHeader("Wechatpay-Serial"), reason: "malformed", status: 400},
		{name: "a timestamp that is none", build: setHeader("Wechatpay-Timestamp", "now"), reason: "malformed", status: 400},
		{name: "a timestamp with a sign", build: setHeader("Wechatpay-Timestamp", "-1"), reason: "malformed", status: 400},
		{name: "a nonce with a space", build: setHeader("Wechatpay-Nonce", "a b"), reason: "malformed", status: 400},

		// Time, key, base64, signature.
		{name: "stale", build: forgedPayment(wechatpaysim.ForgeStale), reason: "stale", status: 401},
		{name: "future", build: forgedPayment(wechatpaysim.ForgeFuture), reason: "future", status: 401},
		{name: "306 s old by the header", build: setHeader("Wechatpay-Timestamp", unix(-306*time.Second)), reason: "stale", status: 401},
		{name: "290 s old by the header, which was signed otherwise", build: setHeader("Wechatpay-Timestamp", unix(-290*time.Second)), reason: "bad_signature", status: 401},
		{name: "unknown serial", build: forgedPayment(wechatpaysim.ForgeSerial), reason: "unknown_key", status: 401},
		{name: "a serial in other letters", build: headers(func(h http.Header) { h.Set("Wechatpay-Serial", strings.ToLower(h.Get("Wechatpay-Serial"))) }), reason: "unknown_key", status: 401},
		{name: "a serial of 4,000 characters", build: setHeader("Wechatpay-Serial", strings.Repeat("A", 4000)), reason: "unknown_key", status: 401},
		{name: "the certificate's serial on the public key's signature", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			return setHeader("Wechatpay-Serial", g.World.Identity.CertificateSerial)(t, g)
		}, reason: "bad_signature", status: 401},
		{name: "bad base64", build: forgedPayment(wechatpaysim.ForgeBase64), reason: "bad_base64", status: 401},
		{name: "base64 without padding", build: headers(func(h http.Header) {
			h.Set("Wechatpay-Signature", strings.TrimRight(h.Get("Wechatpay-Signature"), "="))
		}), reason: "bad_base64", status: 401},
		{name: "base64 with more bits than bytes", build: setHeader("Wechatpay-Signature", "AB=="), reason: "bad_base64", status: 401},
		{name: "a signature of another length", build: setHeader("Wechatpay-Signature", "AAAA"), reason: "bad_signature", status: 401},
		{name: "one byte changed", build: forgedPayment(wechatpaysim.ForgeByte), reason: "bad_signature", status: 401},
		{name: "another key", build: forgedPayment(wechatpaysim.ForgeKey), reason: "bad_signature", status: 401},
		{name: "a probe", build: forgedPayment(wechatpaysim.ForgeProbe), reason: "probe", status: 401},
		{name: "a probe with bad base64", build: setHeader("Wechatpay-Signature", "WECHATPAY/SIGNTEST/%"), reason: "probe", status: 401},
		{name: "a probe of an unknown serial", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			c := forgedPayment(wechatpaysim.ForgeProbe)(t, g)
			c.Header.Set("Wechatpay-Serial", "5A00")
			return c
		}, reason: "probe", status: 401},
		{name: "a byte after the body", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			c := payment(t, g)
			c.Body = append(bytes.Clone(c.Body), '\n')
			return c
		}, reason: "bad_signature", status: 401},

		// Form, of what is signed.
		{name: "over 64 KiB", build: resigned(func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), 64<<10)...) }), reason: "malformed", status: 400},
		{name: "no body", build: resigned(func([]byte) []byte { return nil }), reason: "malformed", status: 400},
		{name: "an array", build: resigned(func([]byte) []byte { return []byte("[]") }), reason: "malformed", status: 400},
		{name: "null", build: resigned(func([]byte) []byte { return []byte("null") }), reason: "malformed", status: 400},
		{name: "an object after the object", build: resigned(func(b []byte) []byte { return append(b, "{}"...) }), reason: "malformed", status: 400},
		{name: "a key twice", build: resigned(func(b []byte) []byte { return append([]byte(`{"id":"x",`), b[1:]...) }), reason: "malformed", status: 400},
		{name: "no id", build: envelope("id", nil), reason: "malformed", status: 400},
		{name: "an empty id", build: envelope("id", ""), reason: "malformed", status: 400},
		{name: "an id that is a number", build: envelope("id", 1), reason: "malformed", status: 400},
		{name: "an id of 1,000 characters", build: envelope("id", strings.Repeat("x", 1000)), reason: "malformed", status: 400},
		{name: "no create_time", build: envelope("create_time", nil), reason: "malformed", status: 400},
		{name: "a create_time without offset", build: envelope("create_time", "2015-05-20T13:29:35"), reason: "malformed", status: 400},
		{name: "no event_type", build: envelope("event_type", nil), reason: "malformed", status: 400},
		{name: "no resource", build: envelope("resource", nil), reason: "malformed", status: 400},
		{name: "a resource that is null", build: resigned(func(b []byte) []byte {
			return append(b[:bytes.Index(b, []byte(`"resource":`))], `"resource":null}`...)
		}), reason: "malformed", status: 400},
		{name: "a resource that is a string", build: envelope("resource", "x"), reason: "malformed", status: 400},
		{name: "another algorithm", build: envelope("resource.algorithm", "AEAD_SM4_GCM"), reason: "malformed", status: 400},
		{name: "no algorithm", build: envelope("resource.algorithm", nil), reason: "malformed", status: 400},

		// Decryption.
		{name: "another APIv3 key", build: forgedPayment(wechatpaysim.ForgeEncryption), reason: "undecryptable", status: 400},
		{name: "a nonce of 11 bytes", build: resigned(func(b []byte) []byte { return resourceNonce.ReplaceAll(b, []byte(`"nonce":"abcdefghijk"`)) }), reason: "undecryptable", status: 400},
		{name: "a nonce of 13 bytes", build: resigned(func(b []byte) []byte { return resourceNonce.ReplaceAll(b, []byte(`"nonce":"abcdefghijklm"`)) }), reason: "undecryptable", status: 400},
		{name: "no nonce", build: envelope("resource.nonce", nil), reason: "undecryptable", status: 400},
		{name: "another nonce", build: resigned(func(b []byte) []byte { return resourceNonce.ReplaceAll(b, []byte(`"nonce":"abcdefghijkl"`)) }), reason: "undecryptable", status: 400},
		{name: "no ciphertext", build: envelope("resource.ciphertext", nil), reason: "undecryptable", status: 400},
		{name: "a ciphertext that is not base64", build: envelope("resource.ciphertext", "%%%"), reason: "undecryptable", status: 400},
		{name: "a ciphertext shorter than its tag", build: envelope("resource.ciphertext", "AAAA"), reason: "undecryptable", status: 400},
		{name: "other associated data", build: envelope("resource.associated_data", "x"), reason: "undecryptable", status: 400},
		{name: "no associated data", build: envelope("resource.associated_data", nil), reason: "undecryptable", status: 400},
		{name: "a resource that is an array inside", build: event("MALL_TRANSACTION.SUCCESS", []int{1}), reason: "malformed", status: 400},
		{name: "a resource that is a string inside", build: event("MALL_TRANSACTION.SUCCESS", "x"), reason: "malformed", status: 400},
		{name: "a resource that is null inside", build: event("MALL_TRANSACTION.SUCCESS", nil), reason: "malformed", status: 400},
		{name: "an mchid that is a number", build: event("MALL_TRANSACTION.SUCCESS", map[string]any{"mchid": 1900000109}), reason: "malformed", status: 400},

		// Owner.
		{name: "nobody's merchant", build: paid(func(p *wechatpaysim.MallTransaction) { p.MchID = "1900009999" }), reason: "not_this_vendor", status: 403},
		{name: "the service provider's own mchid", build: paid(func(p *wechatpaysim.MallTransaction) { p.MchID = fixture.MchID }), reason: "not_this_vendor", status: 403},
		{name: "no mchid", build: event("MALL_TRANSACTION.SUCCESS", map[string]any{"openid": fixture.OpenID}), reason: "not_this_vendor", status: 403},
		{name: "an empty mchid", build: paid(func(p *wechatpaysim.MallTransaction) { p.MchID = "" }), reason: "not_this_vendor", status: 403},
	})
}

// TestBusinessCircleEvents: the decrypted resource reaches the vendor as it is, under an id that a redelivery keeps.
func TestBusinessCircleEvents(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneCallbacks)
	at := time.Now().Truncate(time.Second)
	extra := map[string]any{"mchid": chainMchID1, "amount": json.Number("12345678901234567890"), "nested": map[string]any{"a": []any{nil, true, "粤<&>"}}}
	for _, row := range []struct {
		event     wechatpaysim.Event
		eventType string
		vendors   []string
	}{
		{wechatpaysim.Event{Type: "MALL_TRANSACTION.SUCCESS", AssociatedData: "mall_transaction", Resource: fixture.Payment(at)}, "businesscircle.transaction_succeeded", []string{fixture.VendorID}},
		{wechatpaysim.Event{Type: "MALL_REFUND.SUCCESS", AssociatedData: "mall_refund", Resource: fixture.Refund(at)}, "businesscircle.refund_succeeded", []string{fixture.VendorID}},
		{wechatpaysim.Event{Type: "MALL_AUTH.ACTIVATE_CARD", Resource: fixture.Activation()}, "businesscircle.card_activated", []string{fixture.VendorID}},
		{wechatpaysim.Event{Type: "MALL_TRANSACTION.SUCCESS", Resource: extra}, "businesscircle.transaction_succeeded", []string{chainVendor, curiousVendor}},
		{wechatpaysim.Event{Type: newEventType, Resource: extra}, "wechatpay." + newEventType, []string{curiousVendor}},
	} {
		t.Run(row.event.Type, func(t *testing.T) {
			row.event.CreateTime = at
			var plain bytes.Buffer
			e := json.NewEncoder(&plain)
			e.SetEscapeHTML(false)
			if err := e.Encode(row.event.Resource); err != nil {
				t.Fatal(err)
			}
			c := built(t)(g.WeChatPay.BuildEvent(g.circleURL(), row.event))
			first := deliver(t, g, c, len(row.vendors))
			ids := map[string]bool{}
			for i, m := range first {
				if m.VendorID != row.vendors[i] || m.Type != row.eventType || m.Timestamp != fixture.RFC3339(at) {
					t.Errorf("got %s for %s at %s, want %s for %s at %s", m.Type, m.VendorID, m.Timestamp, row.eventType, row.vendors[i], fixture.RFC3339(at))
				}
				if diff := cmp.Diff(strings.TrimSpace(plain.String()), string(m.Data)); diff != "" {
					t.Errorf("data (-want +got):\n%s", diff)
				}
				ids[m.ID] = true
			}
			if len(ids) != len(first) {
				t.Errorf("got %d ids for %d vendors", len(ids), len(first))
			}
			for what, again := range map[string]wechatpaysim.Callback{
				"the same bytes":   c,
				"new headers":      built(t)(g.WeChatPay.Resign(c)),
				"a new encryption": built(t)(g.WeChatPay.Renew(c)),
			} {
				for i, m := range deliver(t, g, again, len(first)) {
					if m.ID != first[i].ID {
						t.Errorf("%s: got id %s, want %s", what, m.ID, first[i].ID)
					}
				}
			}
			other := built(t)(g.WeChatPay.BuildEvent(g.circleURL(), row.event)) // a new envelope
			if again := deliver(t, g, other, len(first)); again[0].ID == first[0].ID {
				t.Error("another envelope: got the same id")
			}
		})
	}
}

// deliver sends a callback that must be accepted and returns the n messages that come of it.
func deliver(t *testing.T, g *gateway, c wechatpaysim.Callback, n int) []message {
	t.Helper()
	delivery, err := g.WeChatPay.Send(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	messages := g.queue.take(t)
	if !delivery.Success || len(messages) != n {
		t.Fatalf("got success %v (%s) and %d messages, want %d", delivery.Success, delivery.Why, len(messages), n)
	}
	return messages
}
