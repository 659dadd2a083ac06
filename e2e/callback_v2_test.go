//go:build e2e

package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"hash"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

type element = wechatpaysim.Element

// plateElements are the elements of a valid notice but for its sign.
func plateElements() []element {
	return []element{
		{Name: "mch_id", Value: fixture.MchID}, {Name: "sub_mch_id", Value: fixture.SubMchID}, {Name: "appid", Value: fixture.AppID},
		{Name: "sub_appid", Value: fixture.SubAppID}, {Name: "nonce_str", Value: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"},
		{Name: "sign_type", Value: "HMAC-SHA256"}, {Name: "plate_number", Value: fixture.Plate},
		{Name: "vehicle_event_type", Value: "BLOCKED"}, {Name: "vehicle_event_des", Value: "OVERDUE"},
		{Name: "vehicle_event_createtime", Value: fixture.Compact(time.Now())},
	}
}

// with returns the elements with one changed, added where there was none, or removed where value is "".
func with(elements []element, name, value string) []element {
	i := slices.IndexFunc(elements, func(e element) bool { return e.Name == name })
	switch {
	case i < 0:
		return append(elements, element{Name: name, Value: value})
	case value == "":
		return slices.Delete(elements, i, i+1)
	}
	elements[i].Value = value
	return elements
}

// sign returns the elements with their sign, by WeChat Pay's rule: sorted, without the empty ones, the key at the end.
func sign(elements []element, key string, mac hash.Hash) []element {
	sorted := slices.Clone(elements)
	slices.SortFunc(sorted, func(a, b element) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range sorted {
		if e.Value != "" {
			mac.Write([]byte(e.Name + "=" + e.Value + "&"))
		}
	}
	mac.Write([]byte("key=" + key))
	return append(elements, element{Name: "sign", Value: strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))})
}

func hmacSHA256(key string) hash.Hash { return hmac.New(sha256.New, []byte(key)) }

// writeElements writes a V2 document in escaped text.
func writeElements(elements []element) []byte {
	var b bytes.Buffer
	b.WriteString("<xml>")
	for _, e := range elements {
		b.WriteString("<" + e.Name + ">")
		_ = xml.EscapeText(&b, []byte(e.Value))
		b.WriteString("</" + e.Name + ">")
	}
	b.WriteString("</xml>")
	return b.Bytes()
}

// post2 is a V2 callback of these bytes.
func post2(g *gateway, body []byte) wechatpaysim.Callback {
	return wechatpaysim.Callback{
		URL: g.URL + "/v1/callbacks/vehicle/" + fixture.VendorID, Header: http.Header{"Content-Type": {"text/xml"}}, Body: body,
	}
}

// signedPlate builds a notice of changed elements, signed as WeChat Pay signs.
func signedPlate(change func([]element) []element) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(_ *testing.T, g *gateway) wechatpaysim.Callback {
		key := g.World.WeChatPay.APIv2Keys[0]
		return post2(g, writeElements(sign(change(plateElements()), key, hmacSHA256(key))))
	}
}

// changed is signedPlate with one element changed.
func changed(name, value string) func(*testing.T, *gateway) wechatpaysim.Callback {
	return signedPlate(func(d []element) []element { return with(d, name, value) })
}

// rewritten builds a valid notice and changes its text after signing.
func rewritten(change func(text string) string) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		c := signedPlate(func(d []element) []element { return d })(t, g)
		c.Body = []byte(change(string(c.Body)))
		return c
	}
}

func forged(kind wechatpaysim.Forgery) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(t *testing.T, g *gateway) wechatpaysim.Callback {
		c := plateState(fixture.VendorID, fixture.PlateState("BLOCKED", "OVERDUE", ""))(t, g)
		return built(t)(g.WeChatPay.Forge(c, kind))
	}
}

func TestPlateStateCallback(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneCallbacks)
	demo := []string{fixture.VendorID}
	now := time.Now()
	after := func(text string) func(string) string { return func(s string) string { return s + text } }
	before := func(text string) func(string) string { return func(s string) string { return text + s } }
	inside := func(text string) func(string) string {
		return func(s string) string { return strings.Replace(s, "<xml>", "<xml>"+text, 1) }
	}
	bombs := `<!DOCTYPE xml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">` +
		`<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]>`
	playCallbacks(t, g, true, []callbackScenario{
		// Accepted.
		{name: "NORMAL", build: plateState(fixture.VendorID, fixture.PlateState("NORMAL", "PROACTIVE", "AUTOPAY")), queued: demo},
		{name: "without sign_type", build: changed("sign_type", ""), queued: demo},
		{name: "with an element that was added", build: changed("a_new_element", "whatever & <more>"), queued: demo},
		{name: "with an empty element", build: signedPlate(func(d []element) []element { return append(d, element{Name: "deduct_mode"}) }), queued: demo},
		{name: "an unknown state", build: changed("vehicle_event_type", "SOMETHING_NEW"), queued: demo},
		{name: "without a state", build: changed("vehicle_event_type", ""), queued: demo},
		{name: "without sub_mch_id", build: changed("sub_mch_id", ""), queued: demo},
		{name: "another appid", build: changed("appid", "wx0000000000000000"), queued: demo},
		{name: "six days old", build: changed("vehicle_event_createtime", fixture.Compact(now.Add(-6*24*time.Hour+time.Minute))), queued: demo},
		{name: "23 hours ahead", build: changed("vehicle_event_createtime", fixture.Compact(now.Add(23*time.Hour))), queued: demo},
		{name: "with a declaration and white space", build: rewritten(func(s string) string {
			return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + strings.ReplaceAll(s, "><", ">\r\n  <") + "\n"
		}), queued: demo},
		{name: "in CDATA", build: rewritten(func(s string) string {
			return strings.Replace(s, fixture.Plate, "<![CDATA["+fixture.Plate+"]]>", 1)
		}), queued: demo},
		{name: "in character references", build: rewritten(func(s string) string {
			return strings.Replace(s, fixture.Plate, "&#31908;&#x42;888888", 1)
		}), queued: demo},
		{name: "as a type that API Gateway encodes", build: func(t *testing.T, g *gateway) wechatpaysim.Callback {
			c := changed("deduct_mode", "AUTOPAY")(t, g)
			c.Header.Del("Content-Type")
			return c
		}, queued: demo},
		{name: "signed with the newer key", build: func(_ *testing.T, g *gateway) wechatpaysim.Callback {
			key := g.World.Merchant.APIv2Keys[0]
			return post2(g, writeElements(sign(plateElements(), key, hmacSHA256(key))))
		}, queued: demo},
		{name: "the other vendor of the merchant", build: plateState(fixture.OtherVendorID, fixture.PlateState("BLOCKED", "PAUSE", "")), queued: []string{fixture.OtherVendorID}},
		{name: "a vendor that does not listen", build: plateState(quietVendor, wechatpaysim.PlateState{
			SubMchID: quietMchID, PlateNumber: fixture.Plate, EventType: "BLOCKED",
		}), logged: "not_subscribed"},

		// Form.
		{name: "nothing", build: rewritten(func(string) string { return "" }), reason: "malformed"},
		{name: "JSON", build: rewritten(func(string) string { return "{}" }), reason: "malformed"},
		{name: "another root", build: rewritten(func(s string) string { return strings.ReplaceAll(s, "xml>", "root>") }), reason: "malformed"},
		{name: "not closed", build: rewritten(func(s string) string { return strings.TrimSuffix(s, "</xml>") }), reason: "malformed"},
		{name: "a DTD", build: rewritten(before(`<!DOCTYPE xml>`)), reason: "malformed"},
		{name: "an external entity", build: rewritten(func(s string) string {
			return `<!DOCTYPE xml [<!ENTITY f SYSTEM "file:///etc/passwd">]>` + strings.Replace(s, fixture.Plate, "&f;", 1)
		}), reason: "malformed"},
		{name: "entity bombs", build: rewritten(func(s string) string { return bombs + strings.Replace(s, fixture.Plate, "&e;", 1) }), reason: "malformed"},
		{name: "an unknown entity", build: rewritten(inside("<a>&nbsp;</a>")), reason: "malformed"},
		{name: "nested", build: rewritten(inside("<a><b>1</b></a>")), reason: "malformed"},
		{name: "deep", build: rewritten(func(string) string {
			return "<xml>" + strings.Repeat("<a>", 9000) + strings.Repeat("</a>", 9000) + "</xml>"
		}), reason: "malformed"},
		{name: "many elements", build: rewritten(func(string) string { return "<xml>" + strings.Repeat("<a/>", 9000) + "</xml>" }), reason: "malformed"},
		{name: "a duplicate element", build: rewritten(inside("<sub_mch_id>1900000110</sub_mch_id>")), reason: "malformed"},
		{name: "the same element twice", build: rewritten(inside("<sub_mch_id>" + fixture.SubMchID + "</sub_mch_id>")), reason: "malformed"},
		{name: "an attribute", build: rewritten(func(s string) string { return strings.Replace(s, "<mch_id>", `<mch_id a="1">`, 1) }), reason: "malformed"},
		{name: "a namespace", build: rewritten(func(s string) string { return strings.Replace(s, "<xml>", `<xml xmlns="urn:x">`, 1) }), reason: "malformed"},
		{name: "a comment", build: rewritten(inside("<!-- -->")), reason: "malformed"},
		{name: "an instruction", build: rewritten(inside("<?a b?>")), reason: "malformed"},
		{name: "text between the elements", build: rewritten(inside("x")), reason: "malformed"},
		{name: "a byte after the root", build: rewritten(after("x")), reason: "malformed"},
		{name: "a document after the root", build: rewritten(after("<xml></xml>")), reason: "malformed"},
		{name: "a NUL after the root", build: rewritten(after("\x00")), reason: "malformed"},
		{name: "a byte order mark", build: rewritten(before("\ufeff")), reason: "malformed"},
		{name: "a control character", build: rewritten(inside("<a>\x01</a>")), reason: "malformed"},
		{name: "another encoding", build: rewritten(before(`<?xml version="1.0" encoding="GBK"?>`)), reason: "malformed"},
		{name: "over 64 KiB", build: rewritten(func(s string) string { return s + strings.Repeat(" ", 64<<10) }), reason: "malformed"},

		// Signature.
		{name: "one byte changed", build: forged(wechatpaysim.ForgeByte), reason: "bad_signature"},
		{name: "another key", build: forged(wechatpaysim.ForgeKey), reason: "bad_signature"},
		{name: "a probe", build: forged(wechatpaysim.ForgeProbe), reason: "probe"},
		{name: "no sign", build: rewritten(func(s string) string { return s[:strings.Index(s, "<sign>")] + "</xml>" }), reason: "bad_signature"},
		{name: "an empty sign", build: rewritten(func(s string) string {
			return s[:strings.Index(s, "<sign>")] + "<sign></sign></xml>"
		}), reason: "bad_signature"},
		{name: "a sign in lower case", build: rewritten(func(s string) string {
			from := strings.Index(s, "<sign>")
			return s[:from] + strings.ToLower(s[from:])
		}), reason: "bad_signature"},
		{name: "an element added after signing", build: rewritten(inside("<deduct_mode>AUTOPAY</deduct_mode>")), reason: "bad_signature"},
		{name: "MD5", build: func(_ *testing.T, g *gateway) wechatpaysim.Callback {
			return post2(g, writeElements(sign(with(plateElements(), "sign_type", "MD5"), g.World.WeChatPay.APIv2Keys[0], md5.New())))
		}, reason: "bad_signature"},
		{name: "MD5 that says nothing of it", build: func(_ *testing.T, g *gateway) wechatpaysim.Callback {
			return post2(g, writeElements(sign(with(plateElements(), "sign_type", ""), g.World.WeChatPay.APIv2Keys[0], md5.New())))
		}, reason: "bad_signature"},
		{name: "MD5 by name, HMAC-SHA256 by value", build: changed("sign_type", "MD5"), reason: "bad_signature"},
		{name: "sign_type in lower case", build: changed("sign_type", "hmac-sha256"), reason: "bad_signature"},
		{name: "signed with the APIv3 key", build: func(_ *testing.T, g *gateway) wechatpaysim.Callback {
			key := g.World.WeChatPay.APIv3Key
			return post2(g, writeElements(sign(plateElements(), key, hmacSHA256(key))))
		}, reason: "bad_signature"},

		// What is verified and cannot be taken.
		{name: "no plate", build: changed("plate_number", ""), reason: "malformed"},
		{name: "no mch_id", build: changed("mch_id", ""), reason: "malformed"},
		{name: "no time", build: changed("vehicle_event_createtime", ""), reason: "malformed"},
		{name: "a time in another form", build: changed("vehicle_event_createtime", "2022-06-01T10:43:39+08:00"), reason: "malformed"},
		{name: "over six days old", build: changed("vehicle_event_createtime", fixture.Compact(now.Add(-6*24*time.Hour-time.Minute))), reason: "stale"},
		{name: "over a day ahead", build: changed("vehicle_event_createtime", fixture.Compact(now.Add(24*time.Hour+time.Minute))), reason: "future"},
		{name: "another merchant", build: changed("mch_id", "10000099"), reason: "not_this_vendor"},
		{name: "another vendor's sub-merchant", build: changed("sub_mch_id", fixture.OtherSubMchID), reason: "not_this_vendor"},
		{name: "nobody's sub-merchant", build: changed("sub_mch_id", "1900009999"), reason: "not_this_vendor"},
		{name: "an unknown vendor", build: plateState(unknownVendor, fixture.PlateState("BLOCKED", "", "")), reason: "not_this_vendor"},
		{name: "a vendor id in capitals", build: plateState("DEMO-PARKING", fixture.PlateState("BLOCKED", "", "")), reason: "not_this_vendor"},
	})
}

// TestSwallowedElement: the V2 scheme signs names and values without escapes, so an element that was moved into the value
// before it leaves the signature whole. A vendor that has seen another's notice must not make it its own this way.
func TestSwallowedElement(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneCallbacks)
	key := g.World.WeChatPay.APIv2Keys[0]
	sorted := plateElements()
	sorted = with(sorted, "sub_mch_id", fixture.OtherSubMchID) // not the vendor's in the path
	slices.SortFunc(sorted, func(a, b element) int { return strings.Compare(a.Name, b.Name) })
	genuine := sign(slices.Clone(sorted), key, hmacSHA256(key))
	signature := genuine[len(genuine)-1].Value
	var rows []callbackScenario
	for i := 1; i < len(sorted); i++ {
		// Element i goes into the value of the one before it, which gives the same string to sign.
		swallowed := slices.Clone(sorted)
		swallowed[i-1].Value += "&" + swallowed[i].Name + "=" + swallowed[i].Value
		swallowed = slices.Delete(swallowed, i, i+1)
		name := sorted[i].Name + " in " + sorted[i-1].Name
		again := sign(slices.Clone(swallowed), key, hmacSHA256(key))
		if again[len(again)-1].Value != signature {
			t.Fatalf("%s: the signature does not hold, so nothing is tested", name)
		}
		reason := "malformed"
		switch {
		case sorted[i-1].Name == "sign_type": // names another signature type now
			reason = "bad_signature"
		}
		rows = append(rows, callbackScenario{
			name: name, reason: reason,
			build: func(*testing.T, *gateway) wechatpaysim.Callback { return post2(g, writeElements(again)) },
		})
	}
	playCallbacks(t, g, true, rows)
}

// TestPlateStateEvent: what a vendor is told, and that a redelivery has the same id while another event has another.
func TestPlateStateEvent(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneCallbacks)
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	state := wechatpaysim.PlateState{
		SubMchID: fixture.SubMchID, SubAppID: fixture.SubAppID, PlateNumber: fixture.Plate, EventType: "NORMAL", EventDes: "AUTOPAY",
		DeductMode: "AUTOPAY", CreateTime: at, Extra: []element{{Name: "a_new_element", Value: "新"}},
	}
	send := func(c wechatpaysim.Callback) message {
		t.Helper()
		delivery, err := g.WeChatPay.Send(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		messages := g.queue.take(t)
		if !delivery.Success || len(messages) != 1 {
			t.Fatalf("got success %v and %d messages, want one", delivery.Success, len(messages))
		}
		return messages[0]
	}
	c := plateState(fixture.VendorID, state)(t, g)
	first := send(c)
	want := map[string]any{
		"mchid": fixture.MchID, "sub_mchid": fixture.SubMchID, "plate_number": fixture.Plate, "password_free_available": true,
		"state": "NORMAL", "reason": "AUTOPAY", "deduct_mode": "AUTOPAY", "occurred_at": fixture.RFC3339(at),
		"wechatpay": map[string]any{
			"mch_id": fixture.MchID, "sub_mch_id": fixture.SubMchID, "appid": fixture.AppID, "sub_appid": fixture.SubAppID,
			"plate_number": fixture.Plate, "vehicle_event_type": "NORMAL", "vehicle_event_des": "AUTOPAY", "deduct_mode": "AUTOPAY",
			"vehicle_event_createtime": fixture.Compact(at), "a_new_element": "新",
		},
	}
	var got map[string]any
	if err := json.Unmarshal(first.Data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if first.Type != "vehicle.plate_state_changed" || first.Timestamp != fixture.RFC3339(at) {
		t.Errorf("got %s at %s, want vehicle.plate_state_changed at %s", first.Type, first.Timestamp, fixture.RFC3339(at))
	}

	if again := send(c); again.ID != first.ID {
		t.Errorf("the same bytes: got id %s, want %s", again.ID, first.ID)
	}
	if again := send(built(t)(g.WeChatPay.Renew(c))); again.ID != first.ID {
		t.Errorf("a new nonce: got id %s, want %s", again.ID, first.ID)
	}
	if other := send(plateState(fixture.OtherVendorID, state)(t, g)); other.ID == first.ID {
		t.Error("another vendor: got the same id")
	}
	state.CreateTime = at.Add(time.Second)
	if later := send(plateState(fixture.VendorID, state)(t, g)); later.ID == first.ID {
		t.Error("a later event: got the same id")
	}
	state.EventType = "BLOCKED"
	blocked := send(plateState(fixture.VendorID, state)(t, g))
	if available := member(t, blocked, "password_free_available"); available != false {
		t.Errorf("BLOCKED: got password_free_available %v, want false", available)
	}
}
