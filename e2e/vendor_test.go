//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// vendorScenario is one change of a call that is accepted, and what becomes of it.
type vendorScenario struct {
	name   string
	change func(c *call)
	status int
	code   string   // of the problem, "" for a success
	errors []string // "pointer code", in order
	// contains and lacks are words that the answer's body must and must not hold.
	contains, lacks []string
	// heard is how many calls reach WeChat Pay, all of which it must accept.
	heard int
}

// success is the status of an accepted call.
var success = map[string]int{demovendor.Parkings: 204, demovendor.Entry: 200}

// play plays the rows on one route. A row that is refused must reach nobody; after all of them the function must still
// run in the sandbox that it started in, and accept the call that the rows were made of.
func play(t *testing.T, g *gateway, route string, rows []vendorScenario) {
	t.Helper()
	uri, function := wechatpaysim.RouteParkings, parkingSync
	if route == demovendor.Entry {
		uri, function = g.entryURI, vehicleNotify
	}
	if a := g.newCall(route).do(t); a.status != success[route] {
		t.Fatalf("the call that the rows are made of: got status %d, want %d: %s", a.status, success[route], a.body)
	}
	g.stays(t, function)
	for _, row := range append(rows, vendorScenario{name: "and it works as before", status: success[route], heard: 1}) {
		t.Run(row.name, func(t *testing.T) {
			c := g.newCall(route)
			if row.change != nil {
				row.change(c)
			}
			mark := g.heard.mark(uri)
			a := c.do(t)
			row.check(t, a, g.heard.since(uri, mark))
		})
	}
	if n := g.queue.depth(t); n != 0 {
		t.Errorf("vendors' calls put %d messages on the events queue, want none", n)
	}
}

func (s vendorScenario) check(t *testing.T, a answer, heard []wechatpaysim.Request) {
	t.Helper()
	if a.status != s.status {
		t.Errorf("got status %d, want %d: %s", a.status, s.status, a.body)
	}
	if a.requestID() == "" {
		t.Error("the answer has no Request-Id")
	}
	if len(heard) != s.heard {
		t.Errorf("WeChat Pay heard %d calls, want %d", len(heard), s.heard)
	}
	for _, r := range heard {
		if !r.Accepted {
			t.Errorf("WeChat Pay did not take the call: %s: %s", r.Code, r.Reason)
		}
	}
	for _, word := range s.contains {
		if !strings.Contains(string(a.body), word) {
			t.Errorf("the answer lacks %q: %s", word, a.body)
		}
	}
	for _, word := range s.lacks {
		if strings.Contains(string(a.body), word) {
			t.Errorf("the answer holds %q: %s", word, a.body)
		}
	}
	if s.code == "" {
		return
	}
	p := checkProblem(t, a)
	if *p.Code != s.code {
		t.Errorf("got code %s, want %s: %s", *p.Code, s.code, a.body)
	}
	var got []string
	if p.Errors != nil {
		for _, e := range *p.Errors {
			got = append(got, *e.Pointer+" "+*e.Code)
		}
	}
	if diff := cmp.Diff(s.errors, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// What changes of calls look like.
func set(name string, value any) func(*call)      { return func(c *call) { c.set(name, value) } }
func without(name string) func(*call)             { return set(name, nil) }
func replace(old, new string) func(*call)         { return func(c *call) { c.replace(old, new) } }
func body(text string) func(*call)                { return func(c *call) { c.body = []byte(text) } }
func as(vendor string) func(*call)                { return func(c *call) { c.as(vendor) } }
func sentAt(offset time.Duration) func(*call)     { return func(c *call) { c.at = c.at.Add(offset) } }
func signed(change func(http.Header)) func(*call) { return func(c *call) { c.signed = change } }
func id(text string) func(*call)                  { return func(c *call) { c.id = text } }

// header sets a header after signing; without values it is taken away, with several it is sent several times.
func header(name string, values ...string) func(*call) {
	return signed(func(h http.Header) {
		h.Del(name)
		for _, v := range values {
			h.Add(name, v)
		}
	})
}

// twice sends a header twice with its right value.
func twice(name string) func(*call) {
	return signed(func(h http.Header) { h.Add(name, h.Get(name)) })
}

// all makes several changes.
func all(changes ...func(*call)) func(*call) {
	return func(c *call) {
		for _, change := range changes {
			change(c)
		}
	}
}

// anyRoute are the rows that both routes answer alike: everything before the fields, and the order of it all.
func anyRoute(route string) []vendorScenario {
	ok := success[route]
	return []vendorScenario{
		// 413, which needs no signature.
		{name: "64 KiB", change: func(c *call) { c.pad(64 << 10) }, status: ok, heard: 1},
		{name: "64 KiB and a byte", change: func(c *call) { c.pad(64<<10 + 1) }, status: 413, code: "body_too_large", contains: []string{"65537", "65536"}},
		{name: "1 MiB", change: func(c *call) { c.pad(1 << 20) }, status: 413, code: "body_too_large"},
		{name: "too large and unsigned", change: all(func(c *call) { c.pad(70_000) }, header("Webhook-Signature")), status: 413, code: "body_too_large"},

		// 401: the headers.
		{name: "no webhook-id", change: header("Webhook-Id"), status: 401, code: "missing_header", contains: []string{"webhook-id"}},
		{name: "no webhook-timestamp", change: header("Webhook-Timestamp"), status: 401, code: "missing_header", contains: []string{"webhook-timestamp"}},
		{name: "no webhook-signature", change: header("Webhook-Signature"), status: 401, code: "missing_header", contains: []string{"webhook-signature"}},
		{name: "no header at all", change: signed(func(h http.Header) { clear(h) }), status: 401, code: "missing_header"},
		{name: "empty webhook-signature", change: header("Webhook-Signature", ""), status: 401, code: "missing_header"},
		{name: "webhook-id sent twice", change: twice("Webhook-Id"), status: 401, code: "malformed_header"},
		{name: "webhook-timestamp sent twice", change: twice("Webhook-Timestamp"), status: 401, code: "malformed_header"},
		{name: "webhook-signature sent twice", change: twice("Webhook-Signature"), status: 401, code: "malformed_header"},
		{name: "id of 64 characters", change: func(c *call) { c.id = (c.id + strings.Repeat("x", 64))[:64] }, status: ok, heard: 1},
		{name: "id of 65 characters", change: id(strings.Repeat("x", 65)), status: 401, code: "malformed_header", contains: []string{"64"}},
		{name: "id of an event", change: id("evt_1"), status: 401, code: "malformed_header", contains: []string{"evt_"}},
		{name: "id that begins like an event's in capitals", change: func(c *call) { c.id = "EVT_" + c.id }, status: ok, heard: 1},
		{name: "id with a full stop", change: id("a.b"), status: 401, code: "malformed_header"},
		{name: "id with a space", change: id("a b"), status: 401, code: "malformed_header"},
		{name: "id with a hash", change: id("a#b"), status: 401, code: "malformed_header"},
		{name: "id of Han characters", change: id("入场"), status: 401, code: "malformed_header"},
		{name: "timestamp with a fraction", change: header("Webhook-Timestamp", "1700000000.5"), status: 401, code: "malformed_header"},
		{name: "timestamp with a zero in front", change: func(c *call) { header("Webhook-Timestamp", "0"+strconv.FormatInt(c.at.Unix(), 10))(c) }, status: 401, code: "malformed_header"},
		{name: "timestamp with a sign", change: func(c *call) { header("Webhook-Timestamp", "+"+strconv.FormatInt(c.at.Unix(), 10))(c) }, status: 401, code: "malformed_header"},
		{name: "negative timestamp", change: header("Webhook-Timestamp", "-1"), status: 401, code: "malformed_header"},
		{name: "timestamp as RFC 3339", change: header("Webhook-Timestamp", "2022-06-01T10:43:39+08:00"), status: 401, code: "malformed_header"},
		{name: "timestamp in milliseconds", change: func(c *call) { header("Webhook-Timestamp", strconv.FormatInt(c.at.UnixMilli(), 10))(c) }, status: 401, code: "malformed_header"},
		{name: "timestamp 0", change: header("Webhook-Timestamp", "0"), status: 401, code: "timestamp_out_of_range"},
		{name: "signature without version", change: signed(func(h http.Header) {
			h.Set("Webhook-Signature", strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,"))
		}), status: 401, code: "malformed_header"},
		{name: "signature of a later version alone", change: header("Webhook-Signature", "v2,AAAA"), status: 401, code: "malformed_header"},
		{name: "signature that is not base64", change: header("Webhook-Signature", "v1,%%%"), status: 401, code: "malformed_header"},
		{name: "signature of 31 bytes", change: header("Webhook-Signature", "v1,"+strings.Repeat("AAAA", 10)+"AA=="), status: 401, code: "malformed_header"},
		{name: "signature with two spaces", change: signed(func(h http.Header) {
			h.Set("Webhook-Signature", h.Get("Webhook-Signature")+"  "+h.Get("Webhook-Signature"))
		}), status: 401, code: "malformed_header"},
		{name: "17 signatures", change: signed(func(h http.Header) {
			h.Set("Webhook-Signature", strings.TrimSpace(strings.Repeat(h.Get("Webhook-Signature")+" ", 17)))
		}), status: 401, code: "malformed_header"},

		// 401: the clock, told apart for anyone.
		{name: "4:50 old", change: sentAt(-290 * time.Second), status: ok, heard: 1},
		{name: "4:50 ahead", change: sentAt(290 * time.Second), status: ok, heard: 1},
		{name: "5:05 old", change: sentAt(-305 * time.Second), status: 401, code: "timestamp_out_of_range", contains: []string{"+08:00", "300"}},
		{name: "5:10 ahead", change: sentAt(310 * time.Second), status: 401, code: "timestamp_out_of_range", contains: []string{"+08:00"}},
		{name: "old and of nobody", change: all(as(unknownVendor), sentAt(-time.Hour)), status: 401, code: "timestamp_out_of_range"},

		// 401: who it is. What is not known and what does not verify look alike.
		{name: "another vendor's secret", change: func(c *call) { c.secret = c.gateway.World.RequestSecret(fixture.OtherVendorID) }, status: 401, code: "not_authenticated"},
		{name: "the vendor's webhook secret", change: func(c *call) {
			c.secret = c.gateway.World.Vendors.Vendors[fixture.VendorID].WebhookSecrets[0]
		}, status: 401, code: "not_authenticated"},
		{name: "unknown vendor", change: as(unknownVendor), status: 401, code: "not_authenticated", lacks: []string{"unknown", unknownVendor}},
		{name: "vendor id in capitals", change: func(c *call) { c.vendor = "Demo-Parking" }, status: 401, code: "not_authenticated"},
		{name: "vendor id of 300 characters", change: func(c *call) { c.vendor = strings.Repeat("v", 300) }, status: 401, code: "not_authenticated"},
		{name: "disabled vendor, bad signature", change: all(as(disabledVendor), func(c *call) { c.secret = fixture.NewSecret() }), status: 401, code: "not_authenticated"},
		{name: "body changed after signing", change: func(c *call) {
			original := *c
			c.signed = func(h http.Header) {
				signedBefore, _ := original.headers()
				h.Set("Webhook-Signature", signedBefore.Get("Webhook-Signature"))
			}
			c.replace("粤B888888", "粤B888889")
		}, status: 401, code: "not_authenticated"},
		{name: "id changed after signing", change: header("Webhook-Id", "another"), status: 401, code: "not_authenticated"},
		{name: "right signature second", change: signed(func(h http.Header) {
			h.Set("Webhook-Signature", "v1,"+strings.Repeat("A", 43)+"= v1a,later "+h.Get("Webhook-Signature"))
		}), status: ok, heard: 1},
		{name: "second request secret", change: func(c *call) {
			c.as(chainVendor)
			c.secret = c.gateway.World.Vendors.Vendors[chainVendor].RequestSecrets[1]
			c.body = []byte(`{}`)
		}, status: 422, code: "invalid_fields", errors: requiredErrors(route)},

		// 403: what a good signature does not help.
		{name: "disabled vendor", change: as(disabledVendor), status: 403, code: "vendor_disabled"},

		// 415.
		{name: "no content type", change: header("Content-Type"), status: 415, code: "unsupported_media_type", contains: []string{"application/json"}},
		{name: "text", change: header("Content-Type", "text/plain"), status: 415, code: "unsupported_media_type"},
		{name: "XML", change: header("Content-Type", "application/xml"), status: 415, code: "unsupported_media_type"},
		{name: "a form", change: header("Content-Type", "application/x-www-form-urlencoded"), status: 415, code: "unsupported_media_type"},
		{name: "JSON in GBK", change: header("Content-Type", "application/json; charset=gbk"), status: 415, code: "unsupported_media_type"},
		{name: "content type sent twice", change: twice("Content-Type"), status: 415, code: "unsupported_media_type"},
		{name: "content type that is none", change: header("Content-Type", "json"), status: 415, code: "unsupported_media_type"},
		{name: "another JSON", change: header("Content-Type", "application/merge-patch+json"), status: 415, code: "unsupported_media_type"},
		{name: "JSON in UTF-8", change: header("Content-Type", "application/json; charset=UTF-8"), status: ok, heard: 1},
		{name: "JSON in other letters", change: header("Content-Type", "Application/JSON"), status: ok, heard: 1},

		// 400.
		{name: "no body", change: body(""), status: 400, code: "malformed_json"},
		{name: "white space", change: body(" \n"), status: 400, code: "malformed_json"},
		{name: "half an object", change: body(`{"state":"IN"`), status: 400, code: "malformed_json"},
		{name: "a single quote", change: body(`{'state':'IN'}`), status: 400, code: "malformed_json"},
		{name: "a comma at the end", change: body(`{"state":"IN",}`), status: 400, code: "malformed_json"},
		{name: "a comment", change: body(`{"state":"IN"} // in`), status: 400, code: "malformed_json"},
		{name: "a form's text", change: body(`state=IN&brandid=1000`), status: 400, code: "malformed_json"},
		{name: "XML text", change: body(`<xml><state>IN</state></xml>`), status: 400, code: "malformed_json"},
		{name: "NaN", change: body(`{"brandid":NaN}`), status: 400, code: "malformed_json"},
		{name: "a line break in a string", change: body("{\"state\":\"I\nN\"}"), status: 400, code: "malformed_json"},
		{name: "half a surrogate pair", change: body(`{"plate_number":"\ud83d"}`), status: 400, code: "malformed_json"},
		{name: "a byte order mark", change: func(c *call) { c.body = append([]byte("\ufeff"), c.body...) }, status: 400, code: "malformed_json"},
		{name: "a byte after the object", change: func(c *call) { c.body = append(c.body, 'x') }, status: 400, code: "malformed_json"},
		{name: "an object after the object", change: func(c *call) { c.body = append(c.body, "{}"...) }, status: 400, code: "malformed_json"},
		{name: "a NUL after the object", change: func(c *call) { c.body = append(c.body, 0) }, status: 400, code: "malformed_json"},
		{name: "white space around the object", change: func(c *call) { c.body = []byte("\r\n\t " + string(c.body) + "\n") }, status: ok, heard: 1},
		{name: "10,000 arrays", change: body(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), status: 400, code: "wrong_type"},
		{name: "30,000 arrays, not closed", change: body(strings.Repeat("[", 30_000)), status: 400, code: "malformed_json"},
		{name: "an array", change: body(`[]`), status: 400, code: "wrong_type"},
		{name: "a string", change: body(`"IN"`), status: 400, code: "wrong_type"},
		{name: "null", change: body(`null`), status: 400, code: "wrong_type"},
		{name: "a key twice", change: func(c *call) { c.body = append([]byte(`{"plate_number":"粤A00000",`), c.body[1:]...) }, status: 400, code: "duplicate_key"},
		{name: "a key twice, once escaped", change: func(c *call) { c.body = append([]byte(`{"plate\u005fnumber":"粤A00000",`), c.body[1:]...) }, status: 400, code: "duplicate_key"},
		{name: "a key twice in an unknown field", change: func(c *call) { c.body = append([]byte(`{"more":{"a":1,"a":2},`), c.body[1:]...) }, status: 400, code: "duplicate_key"},
		{name: "a key twice, deep", change: func(c *call) { c.body = append([]byte(`{"more":[{"b":{"a":1,"a":2}}],`), c.body[1:]...) }, status: 400, code: "duplicate_key"},
		{name: "a plate that is a number", change: set("plate_number", 888888), status: 400, code: "wrong_type", contains: []string{"/plate_number"}},
		{name: "a plate that is null", change: replace(`"粤B888888"`, `null`), status: 400, code: "wrong_type", contains: []string{"/plate_number", "null"}},
		{name: "a plate that is an object", change: set("plate_number", map[string]any{"plate": "x"}), status: 400, code: "wrong_type", contains: []string{"/plate_number"}},
		{name: "an openid that is a boolean", change: set("openid", true), status: 400, code: "wrong_type", contains: []string{"/openid"}},

		// The first check that fails answers.
		{name: "order: signature before content type", change: all(as(unknownVendor), header("Content-Type", "text/plain")), status: 401, code: "not_authenticated"},
		{name: "order: content type before JSON", change: all(body(`{`), header("Content-Type", "text/plain")), status: 415, code: "unsupported_media_type"},
		{name: "order: disabled before content type", change: all(as(disabledVendor), header("Content-Type", "text/plain")), status: 403, code: "vendor_disabled"},
		{name: "order: JSON before permission", change: all(as(bareVendor), body(`{`)), status: 400, code: "malformed_json"},
		{name: "order: permission before fields", change: all(as(bareVendor), body(`{"nonsense":1}`)), status: 403, code: "merchant_not_allowed"},

		// 422: what both know.
		{name: "an unknown field", change: set("colour", "blue"), status: 422, code: "invalid_fields", errors: []string{"/colour unknown_field"}},
		{name: "an unknown field with strange letters", change: set("a/b~c", 1), status: 422, code: "invalid_fields", errors: []string{"/a~1b~0c unknown_field"}},
		{name: "a field in other letters", change: func(c *call) { c.replace(`"plate_number"`, `"Plate_Number"`) }, status: 422, code: "invalid_fields",
			errors: []string{"/Plate_Number unknown_field", "/plate_number required"}},
		{name: "a long unknown field is cut", change: set(strings.Repeat("x", 5000), 1), status: 422, code: "invalid_fields",
			errors: []string{"/" + strings.Repeat("x", 64) + " unknown_field"}},
		{name: "plate in lower case", change: set("plate_number", "粤b888888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}, contains: []string{"upper case"}},
		{name: "plate with a dot", change: set("plate_number", "粤B·888888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}, contains: []string{"dot"}},
		{name: "plate with a space", change: set("plate_number", "粤B 888888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}, contains: []string{"spaces"}},
		{name: "plate with a hyphen", change: set("plate_number", "粤B-888888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}, contains: []string{"hyphens"}},
		{name: "plate in full width", change: set("plate_number", "粤Ｂ８８８８８８"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}, contains: []string{"full width"}},
		{name: "plate with its colour", change: set("plate_number", "蓝粤B88888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}, contains: []string{"colour"}},
		{name: "plate of 6 characters", change: set("plate_number", "粤B8888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}},
		{name: "plate of 9 characters", change: set("plate_number", "粤B8888888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}},
		{name: "plate without a province", change: set("plate_number", "AB888888"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_malformed"}},
		{name: "embassy plate", change: set("plate_number", "京A888使8"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_unsupported"}},
		{name: "armed police plate", change: set("plate_number", "WJ京12345"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_unsupported"}},
		{name: "military plate", change: set("plate_number", "VA12345"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_unsupported"}},
		{name: "civil aviation plate", change: set("plate_number", "民航A1234"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_unsupported"}},
		{name: "Hong Kong plate alone", change: set("plate_number", "HK1234"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_unsupported"}},
		{name: "no plate in words", change: set("plate_number", "无车牌"), status: 422, code: "invalid_fields", errors: []string{"/plate_number plate_unsupported"}},
		{name: "no plate", change: without("plate_number"), status: 422, code: "invalid_fields", errors: []string{"/plate_number required"}},
		{name: "an empty plate", change: set("plate_number", ""), status: 422, code: "invalid_fields", errors: []string{"/plate_number required"}},
		{name: "plate of 7 characters", change: set("plate_number", "京A12345"), status: ok, heard: 1},
		{name: "plate of the police", change: set("plate_number", "京A1234警"), status: ok, heard: 1},
		{name: "plate with I and O", change: set("plate_number", "粤BIO888"), status: ok, heard: 1},
		{name: "plate of Hong Kong cars", change: set("plate_number", "粤Z1234港"), status: ok, heard: 1},
		{name: "escapes for Han characters", change: replace("粤B888888", `\u7ca4B888888`), status: ok, heard: 1},
	}
}

// requiredErrors are those of an empty object from a vendor with several merchants.
func requiredErrors(route string) []string {
	if route == demovendor.Entry {
		return []string{"/trade_scene required"}
	}
	return []string{"/openid required", "/plate_number required", "/state required", "/time required"}
}

func TestParkings(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings)
	now := time.Now()
	play(t, g, demovendor.Parkings, append(anyRoute(demovendor.Parkings), []vendorScenario{
		// 403 and the choice of a merchant.
		{name: "a foreign merchant", change: set("sub_mchid", fixture.OtherSubMchID), status: 403, code: "merchant_not_allowed"},
		{name: "an unknown merchant", change: set("sub_mchid", "1"), status: 403, code: "merchant_not_allowed"},
		{name: "another brand", change: set("brandid", chainBrand1), status: 403, code: "merchant_not_allowed"},
		{name: "another appid", change: set("appid", chainCircle1), status: 403, code: "merchant_not_allowed"},
		{name: "a merchant with the vehicle service alone", change: func(c *call) {
			c.as(fixture.OtherVendorID)
			c.set("sub_mchid", fixture.OtherSubMchID)
		}, status: 403, code: "merchant_not_allowed", contains: []string{"not configured"}},
		{name: "two entries mixed", change: all(as(chainVendor), set("sub_mchid", chainMchID1), set("brandid", chainBrand2), set("appid", chainCircle2)), status: 403, code: "merchant_not_allowed"},
		{name: "no merchant of two", change: all(as(chainVendor), without("sub_mchid"), without("brandid"), without("appid")), status: 422, code: "merchant_ambiguous"},
		{name: "one of two by its brand", change: all(as(chainVendor), without("sub_mchid"), set("brandid", chainBrand2), without("appid")), status: 204, heard: 1},
		{name: "one of two by its appid", change: all(as(chainVendor), without("sub_mchid"), without("brandid"), set("appid", chainCircle1)), status: 204, heard: 1},
		{name: "no merchant of one", change: all(without("sub_mchid"), without("brandid"), without("appid")), status: 204, heard: 1},
		{name: "empty ids", change: all(set("sub_mchid", ""), set("appid", "")), status: 204, heard: 1},

		// 400 and 422: the fields.
		{name: "brandid as a string", change: set("brandid", "1000"), status: 400, code: "wrong_type", contains: []string{"/brandid", "number"}},
		{name: "brandid with a fraction", change: replace(`:1000,`, `:1000.0,`), status: 422, code: "invalid_fields", errors: []string{"/brandid bad_value"}},
		{name: "brandid with an exponent", change: replace(`:1000,`, `:1e3,`), status: 422, code: "invalid_fields", errors: []string{"/brandid bad_value"}},
		{name: "brandid 0", change: replace(`:1000,`, `:0,`), status: 422, code: "invalid_fields", errors: []string{"/brandid bad_value"}},
		{name: "brandid below 0", change: replace(`:1000,`, `:-1000,`), status: 422, code: "invalid_fields", errors: []string{"/brandid bad_value"}},
		{name: "brandid over 64 bits", change: replace(`:1000,`, `:18446744073709552616,`), status: 422, code: "invalid_fields", errors: []string{"/brandid bad_value"}},
		{name: "the other spelling of sub_mchid", change: func(c *call) {
			c.set("sub_mchid", nil)
			c.set("sub_mch_id", fixture.SubMchID)
		}, status: 422, code: "invalid_fields", errors: []string{"/sub_mch_id unknown_field"}, contains: []string{"sub_mchid"}},
		{name: "mchid", change: set("mchid", fixture.MchID), status: 422, code: "invalid_fields", errors: []string{"/mchid unknown_field"}},
		{name: "brand_id", change: set("brand_id", 1000), status: 422, code: "invalid_fields", errors: []string{"/brand_id unknown_field"}, contains: []string{"brandid"}},
		{name: "a field of the other route", change: set("trade_scene", "PARKING"), status: 422, code: "invalid_fields", errors: []string{"/trade_scene unknown_field"}},
		{name: "no openid", change: without("openid"), status: 422, code: "invalid_fields", errors: []string{"/openid required"}},
		{name: "openid of 64 characters", change: set("openid", strings.Repeat("o", 64)), status: 204, heard: 1},
		{name: "openid of 65 characters", change: set("openid", strings.Repeat("o", 65)), status: 422, code: "invalid_fields", errors: []string{"/openid too_long"}, contains: []string{"64"}},
		{name: "openid with a space", change: set("openid", "oUpF8uMuAJO M2pxb1Q"), status: 422, code: "invalid_fields", errors: []string{"/openid bad_value"}},
		{name: "openid of Han characters", change: set("openid", "用户的标识符号"), status: 422, code: "invalid_fields", errors: []string{"/openid bad_value"}},
		{name: "state in lower case", change: set("state", "in"), status: 422, code: "invalid_fields", errors: []string{"/state bad_value"}},
		{name: "an unknown state", change: set("state", "PARKED"), status: 422, code: "invalid_fields", errors: []string{"/state bad_value"}},
		{name: "no state", change: without("state"), status: 422, code: "invalid_fields", errors: []string{"/state required"}},
		{name: "OUT", change: set("state", "OUT"), status: 204, heard: 1},
		{name: "no time", change: without("time"), status: 422, code: "invalid_fields", errors: []string{"/time required"}},
		{name: "time without offset", change: set("time", "2022-06-01T10:43:39"), status: 422, code: "invalid_fields", errors: []string{"/time time_malformed"}, contains: []string{"offset"}},
		{name: "time with a space", change: set("time", "2022-06-01 10:43:39+08:00"), status: 422, code: "invalid_fields", errors: []string{"/time time_malformed"}},
		{name: "compact time", change: set("time", "20220601104339"), status: 422, code: "invalid_fields", errors: []string{"/time time_malformed"}},
		{name: "Unix time", change: set("time", strconv.FormatInt(now.Unix(), 10)), status: 422, code: "invalid_fields", errors: []string{"/time time_malformed"}},
		{name: "a 32nd of the month", change: set("time", "2022-06-32T10:43:39+08:00"), status: 422, code: "invalid_fields", errors: []string{"/time time_malformed"}},
		{name: "time in UTC", change: set("time", now.UTC().Format(time.RFC3339)), status: 204, heard: 1},
		{name: "time with a fraction", change: set("time", now.UTC().Format(time.RFC3339Nano)), status: 204, heard: 1},
		{name: "4 minutes ahead", change: set("time", fixture.RFC3339(now.Add(4*time.Minute))), status: 204, heard: 1},
		{name: "6 minutes ahead", change: set("time", fixture.RFC3339(now.Add(6*time.Minute))), status: 422, code: "invalid_fields", errors: []string{"/time time_in_future"}},
		{name: "Beijing time written as UTC", change: set("time", now.UTC().Add(8*time.Hour).Format(time.RFC3339)), status: 422, code: "invalid_fields", errors: []string{"/time time_in_future"}, contains: []string{"offset"}},
		{name: "everything wrong at once", change: body(`{"openid":"a b","plate_number":"x","state":"x","time":"x","x":1,"brandid":-1}`), status: 422, code: "invalid_fields",
			errors: []string{"/x unknown_field", "/brandid bad_value", "/openid bad_value", "/plate_number plate_malformed", "/state bad_value", "/time time_malformed"}},
	}...))
}

func TestEntry(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneEntry)
	now := time.Now()
	space := func(c *call) {
		for _, name := range []string{"plate_number", "notify_url", "parking_name", "car_type", "version"} {
			c.set(name, nil)
		}
		c.set("trade_scene", "PARKING SPACE")
		c.set("sub_openid", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")
		c.set("space_number", "D6666")
	}
	inSceneInfo := func(text string) func(*call) {
		return func(c *call) {
			for _, name := range []string{"start_time", "plate_number", "notify_url", "parking_name", "car_type", "free_time"} {
				c.set(name, nil)
			}
			c.set("scene_info", text)
		}
	}
	scene := `{"scene_info":{"start_time":"20170926114339","plate_number":"粤B888888","free_time":"1200","car_type":"大型车","parking_name":"欢乐海岸停车场"}}`
	play(t, g, demovendor.Entry, append(anyRoute(demovendor.Entry), []vendorScenario{
		// 403 and the choice of a merchant.
		{name: "a foreign merchant", change: set("sub_mch_id", fixture.OtherSubMchID), status: 403, code: "merchant_not_allowed"},
		{name: "another sub_appid", change: set("sub_appid", chainApp1), status: 403, code: "merchant_not_allowed"},
		{name: "a merchant without products", change: all(as(bareVendor), without("sub_mch_id"), without("sub_appid")), status: 403, code: "merchant_not_allowed", contains: []string{"not configured"}},
		{name: "no merchant of two", change: all(as(chainVendor), without("sub_mch_id"), without("sub_appid"), without("notify_url")), status: 422, code: "merchant_ambiguous"},
		{name: "one of two by its sub_appid", change: all(as(chainVendor), without("sub_mch_id"), set("sub_appid", chainApp2), without("notify_url")), status: 200, heard: 1},
		{name: "no merchant of one", change: all(without("sub_mch_id"), without("sub_appid")), status: 200, heard: 1},

		// What may be left out, and must agree where it is given.
		{name: "nothing that may be left out", change: func(c *call) {
			for _, name := range []string{"appid", "mch_id", "sub_appid", "sub_mch_id", "nonce_str", "sign_type", "version", "notify_url", "car_type"} {
				c.set(name, nil)
			}
		}, status: 200, heard: 1},
		{name: "another appid", change: set("appid", fixture.SubAppID), status: 422, code: "invalid_fields", errors: []string{"/appid config_mismatch"}},
		{name: "another mch_id", change: set("mch_id", fixture.SubMchID), status: 422, code: "invalid_fields", errors: []string{"/mch_id config_mismatch"}},
		{name: "MD5", change: set("sign_type", "MD5"), status: 422, code: "invalid_fields", errors: []string{"/sign_type config_mismatch"}},
		{name: "the other scene's version", change: set("version", "2.0"), status: 422, code: "invalid_fields", errors: []string{"/version config_mismatch"}, contains: []string{"3.0"}},
		{name: "another notify_url", change: set("notify_url", "https://elsewhere.example.com/"), status: 422, code: "invalid_fields", errors: []string{"/notify_url config_mismatch"}, contains: []string{"webhook_url"}},
		{name: "a nonce_str of its own", change: set("nonce_str", "not a nonce at all, and ignored, however long it may be"), status: 200, heard: 1},
		{name: "a sign", change: set("sign", strings.Repeat("A", 64)), status: 422, code: "invalid_fields", errors: []string{"/sign unknown_field"}, contains: []string{"gateway signs"}},
		{name: "a key", change: set("key", "x"), status: 422, code: "invalid_fields", errors: []string{"/key unknown_field"}},
		{name: "the other spelling of sub_mch_id", change: set("sub_mchid", fixture.SubMchID), status: 422, code: "invalid_fields", errors: []string{"/sub_mchid unknown_field"}, contains: []string{"sub_mch_id"}},
		{name: "the other spelling of mch_id", change: set("mchid", fixture.MchID), status: 422, code: "invalid_fields", errors: []string{"/mchid unknown_field"}, contains: []string{"mch_id"}},

		// The fields.
		{name: "no trade_scene", change: without("trade_scene"), status: 422, code: "invalid_fields", errors: []string{"/trade_scene required"}},
		{name: "an unknown trade_scene", change: set("trade_scene", "PARKING_SPACE"), status: 422, code: "invalid_fields", errors: []string{"/trade_scene bad_value"}},
		{name: "no start_time", change: without("start_time"), status: 422, code: "invalid_fields", errors: []string{"/start_time required"}},
		{name: "start_time without offset", change: set("start_time", "2017-09-26T11:43:39"), status: 422, code: "invalid_fields", errors: []string{"/start_time time_malformed"}},
		{name: "start_time of 13 digits", change: set("start_time", "2017092611433"), status: 422, code: "invalid_fields", errors: []string{"/start_time time_malformed"}},
		{name: "start_time on a 31st of September", change: set("start_time", "20170931114339"), status: 422, code: "invalid_fields", errors: []string{"/start_time time_malformed"}},
		{name: "start_time in RFC 3339", change: set("start_time", now.UTC().Format(time.RFC3339)), status: 200, heard: 1},
		{name: "start_time 6 minutes ahead", change: set("start_time", fixture.Compact(now.Add(6*time.Minute))), status: 422, code: "invalid_fields", errors: []string{"/start_time time_in_future"}},
		{name: "start_time 6 minutes ahead in RFC 3339", change: set("start_time", now.UTC().Add(6*time.Minute).Format(time.RFC3339)), status: 422, code: "invalid_fields", errors: []string{"/start_time time_in_future"}},
		{name: "free_time as a number", change: set("free_time", 1200), status: 200, heard: 1},
		{name: "free_time 0", change: set("free_time", 0), status: 200, heard: 1},
		{name: "free_time with a fraction", change: set("free_time", 0.5), status: 422, code: "invalid_fields", errors: []string{"/free_time bad_value"}},
		{name: "free_time in words", change: set("free_time", "20 min"), status: 422, code: "invalid_fields", errors: []string{"/free_time bad_value"}},
		{name: "no free_time", change: without("free_time"), status: 422, code: "invalid_fields", errors: []string{"/free_time required"}},
		{name: "free_time that is a boolean", change: set("free_time", true), status: 400, code: "wrong_type", contains: []string{"/free_time"}},
		{name: "an unknown car_type", change: set("car_type", "SUV"), status: 422, code: "invalid_fields", errors: []string{"/car_type bad_value"}},
		{name: "no parking_name", change: without("parking_name"), status: 422, code: "invalid_fields", errors: []string{"/parking_name required"}},
		{name: "parking_name of 32 characters", change: set("parking_name", strings.Repeat("场", 32)), status: 200, heard: 1},
		{name: "parking_name of 33 characters", change: set("parking_name", strings.Repeat("场", 33)), status: 422, code: "invalid_fields", errors: []string{"/parking_name too_long"}},
		{name: "parking_name with a control character", change: set("parking_name", "a\u0001b"), status: 422, code: "invalid_fields", errors: []string{"/parking_name bad_value"}},
		{name: "parking_name with markup", change: set("parking_name", `<b>&"]]>`), status: 200, heard: 1},
		{name: "space_number in PARKING", change: set("space_number", "D6666"), status: 422, code: "invalid_fields", errors: []string{"/space_number not_in_this_scene"}},
		{name: "openid in PARKING", change: set("openid", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"), status: 422, code: "invalid_fields", errors: []string{"/openid not_in_this_scene"}},

		// PARKING SPACE.
		{name: "space", change: space, status: 200, heard: 1},
		{name: "space with a plate", change: all(space, set("plate_number", fixture.Plate)), status: 422, code: "invalid_fields", errors: []string{"/plate_number not_in_this_scene"}},
		{name: "space with a notify_url", change: all(space, set("notify_url", fixture.WebhookURL)), status: 422, code: "invalid_fields", errors: []string{"/notify_url not_in_this_scene"}},
		{name: "space with empty fields of the other scene", change: all(space, set("plate_number", ""), set("notify_url", "")), status: 200, heard: 1},
		{name: "space with version 3.0", change: all(space, set("version", "3.0")), status: 422, code: "invalid_fields", errors: []string{"/version config_mismatch"}, contains: []string{"2.0"}},
		{name: "space without a number", change: all(space, without("space_number")), status: 422, code: "invalid_fields", errors: []string{"/space_number required"}},
		{name: "space number of 17 characters", change: all(space, set("space_number", strings.Repeat("D", 17))), status: 422, code: "invalid_fields", errors: []string{"/space_number too_long"}},
		{name: "space with an openid of 33 characters", change: all(space, set("openid", strings.Repeat("o", 33))), status: 422, code: "invalid_fields", errors: []string{"/openid too_long"}},

		// scene_info as text.
		{name: "scene_info", change: inSceneInfo(scene), status: 200, heard: 1},
		{name: "scene_info beside the same fields", change: func(c *call) {
			c.set("scene_info", `{"scene_info":{"free_time":1200,"plate_number":"粤B888888"}}`)
		}, status: 200, heard: 1},
		{name: "scene_info beside another plate", change: set("scene_info", `{"scene_info":{"plate_number":"粤B888889"}}`), status: 422, code: "invalid_fields", errors: []string{"/plate_number bad_value"}},
		{name: "scene_info that is not JSON", change: inSceneInfo(`start_time=1`), status: 422, code: "invalid_fields",
			errors: []string{"/scene_info bad_value", "/start_time required", "/free_time required", "/parking_name required", "/plate_number required"}},
		{name: "scene_info without its outer object", change: set("scene_info", `{"plate_number":"粤B888888"}`), status: 422, code: "invalid_fields", errors: []string{"/scene_info bad_value"}},
		{name: "scene_info with a key twice", change: set("scene_info", `{"scene_info":{"plate_number":"粤B888888","plate_number":"粤B888888"}}`), status: 422, code: "invalid_fields", errors: []string{"/scene_info bad_value"}},
		{name: "scene_info with an unknown field", change: set("scene_info", `{"scene_info":{"colour":"blue"}}`), status: 422, code: "invalid_fields", errors: []string{"/scene_info unknown_field"}},
		{name: "scene_info with a bad plate", change: inSceneInfo(strings.Replace(scene, "粤B888888", "粤b888888", 1)), status: 422, code: "invalid_fields", errors: []string{"/scene_info plate_malformed"}, contains: []string{"plate_number"}},
		{name: "scene_info as an object", change: set("scene_info", map[string]any{"scene_info": map[string]any{}}), status: 400, code: "wrong_type", contains: []string{"/scene_info"}},
	}...))
}

// TestBadSignatureDetail: the caller can compare what it signed with what arrived.
func TestBadSignatureDetail(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings)
	for _, vendor := range []string{fixture.VendorID, unknownVendor} {
		c := g.newCall(demovendor.Parkings)
		c.as(vendor)
		c.secret = fixture.NewSecret()
		digest := sha256.Sum256(c.body)
		vendorScenario{
			status: 401, code: "not_authenticated", contains: []string{hex.EncodeToString(digest[:]), " " + strconv.Itoa(len(c.body)) + " bytes"},
		}.check(t, c.do(t), nil)
	}
}

// TestNoSuchRoute: what API Gateway answers by itself has no code.
func TestNoSuchRoute(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	for _, path := range []string{"/", "/v1/vendors/demo-parking/businesscircle", "/v1/callbacks", "/v2/callbacks/businesscircle"} {
		a, err := g.post(t.Context(), path, http.Header{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != 404 || string(a.body) != `{"message":"Not Found"}` {
			t.Errorf("%s: got %d %s, want API Gateway's own 404", path, a.status, a.body)
		}
	}
}
