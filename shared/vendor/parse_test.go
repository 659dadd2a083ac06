package vendor_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/strictjson"
	"wechat-parking-gateway/shared/vendor"
)

// The secrets are made when the tests run; none is ever written down.
var madeSecrets = sync.OnceValue(func() (made [8]string) {
	for i := range made {
		made[i] = must(stdwebhook.NewSecret(rand.Reader))
	}
	return made
})

func secret(i int) string { return madeSecrets()[i] }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type (
	object = map[string]any
	list   = []any
)

func text(document any) []byte { return must(json.Marshal(document)) }

// validDocument returns a document with everything in it, for tests to mutate.
func validDocument() object {
	return object{"vendors": object{
		"acme": object{
			"request_secrets": list{secret(0), secret(1)},
			"webhook_secrets": list{secret(2)},
			"webhook_url":     "https://acme.example/wechat/events",
			"events":          list{"vehicle.plate_state_changed", "wechatpay.NEW_THING.SUCCESS"},
			"disabled":        true,
			"merchants": list{
				object{
					"sub_mchid":      "1900000109",
					"vehicle":        object{"sub_appid": "wxcbda96de0b165489"},
					"businesscircle": object{"brandid": 1000, "appid": "wx931386123456789e"},
				},
				object{"vehicle": object{}},
			},
		},
	}}
}

// acme and its first merchant are what most tests mutate.
func acme(d object) object          { return d["vendors"].(object)["acme"].(object) }
func firstMerchant(d object) object { return acme(d)["merchants"].(list)[0].(object) }

func TestParse(t *testing.T) {
	d, err := vendor.Parse([][]byte{text(validDocument())})
	if err != nil {
		t.Fatal(err)
	}
	got, ok := d.Lookup("acme")
	if !ok {
		t.Fatal("got no vendor acme")
	}
	want := &vendor.Vendor{
		ID:             "acme",
		RequestSecrets: []stdwebhook.Secret{must(stdwebhook.ParseSecret(secret(0))), must(stdwebhook.ParseSecret(secret(1)))},
		WebhookSecrets: []stdwebhook.Secret{must(stdwebhook.ParseSecret(secret(2)))},
		WebhookURL:     "https://acme.example/wechat/events",
		Events:         []string{"vehicle.plate_state_changed", "wechatpay.NEW_THING.SUCCESS"},
		Disabled:       true,
		Merchants: []vendor.Merchant{
			{
				SubMchID:       "1900000109",
				Vehicle:        &vendor.Vehicle{SubAppID: "wxcbda96de0b165489"},
				BusinessCircle: &vendor.BusinessCircle{BrandID: 1000, AppID: "wx931386123456789e"},
			},
			{Vehicle: &vendor.Vehicle{}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-) got (+):\n%s", diff)
	}
}

// Each row makes one mutation that leaves the document valid.
func TestParseAccepts(t *testing.T) {
	plate := []string{"vehicle.plate_state_changed"}
	for _, tt := range []struct {
		name   string
		mutate func(object)
		got    func(*vendor.Vendor) any
		want   any
	}{
		{"events absent", func(d object) { delete(acme(d), "events") }, func(v *vendor.Vendor) any { return v.Events }, plate},
		{"events empty", func(d object) { acme(d)["events"] = list{} }, func(v *vendor.Vendor) any { return len(v.Events) }, 0},
		{"disabled absent", func(d object) { delete(acme(d), "disabled") }, func(v *vendor.Vendor) any { return v.Disabled }, false},
		{"webhook_secrets absent", func(d object) { delete(acme(d), "webhook_secrets") }, func(v *vendor.Vendor) any { return len(v.WebhookSecrets) }, 0},
		{"webhook_url absent", func(d object) { delete(acme(d), "webhook_url") }, func(v *vendor.Vendor) any { return v.WebhookURL }, ""},
		{"webhook_url no URL", func(d object) { acme(d)["webhook_url"] = "ftp//[" }, func(v *vendor.Vendor) any { return v.WebhookURL }, "ftp//["},
		{"webhook_url of 2048 bytes", func(d object) { acme(d)["webhook_url"] = strings.Repeat("x", 2048) }, func(v *vendor.Vendor) any { return len(v.WebhookURL) }, 2048},
		{"merchants absent", func(d object) { delete(acme(d), "merchants") }, func(v *vendor.Vendor) any { return len(v.Merchants) }, 0},
		{"merchants that differ in a block alone", func(d object) {
			acme(d)["merchants"] = list{object{"sub_mchid": "1"}, object{"sub_mchid": "1", "vehicle": object{}}, object{"sub_mchid": "1", "vehicle": object{"sub_appid": "wx1"}}}
		}, func(v *vendor.Vendor) any { return len(v.Merchants) }, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := validDocument()
			tt.mutate(doc)
			d, err := vendor.Parse([][]byte{text(doc)})
			if err != nil {
				t.Fatal(err)
			}
			v, _ := d.Lookup("acme")
			if diff := cmp.Diff(tt.want, tt.got(v)); diff != "" {
				t.Errorf("want (-) got (+):\n%s", diff)
			}
		})
	}
}

const (
	wantID       = "want as an id 1 to 32 lower-case letters, digits and hyphens, the first no hyphen"
	wantOne      = "want at least one secret"
	wantEvent    = "want vehicle.plate_state_changed, businesscircle.card_activated, businesscircle.transaction_succeeded, businesscircle.refund_succeeded, or wechatpay. and an event_type of 1 to 32 of A-Z, 0-9, _ and ."
	wantSubMchID = "want 1 to 32 digits, or no such field in mode direct"
	wantAppID    = "want 1 to 32 letters, digits, hyphens and underscores, such as wx and 16 more"
	unknown      = "No such field is known here."
	inMerchant   = "/vendors/acme/merchants/0"
)

// Each row makes one mutation of a valid document.
func TestParseRefuses(t *testing.T) {
	set := func(name string, value any) func(object) {
		return func(d object) { acme(d)[name] = value }
	}
	setMerchant := func(name string, value any) func(object) {
		return func(d object) { firstMerchant(d)[name] = value }
	}
	rename := func(id string) func(object) {
		return func(d object) { d["vendors"] = object{id: acme(d)} }
	}
	for _, tt := range []struct {
		name    string
		mutate  func(object)
		pointer string
		reason  string // "" where another package words it
		cause   error  // nil where this package decides
	}{
		{"vendors missing", func(d object) { delete(d, "vendors") }, "/vendors", "want the vendors by their ids; {} for none", nil},
		{"vendors a list", func(d object) { d["vendors"] = list{} }, "/vendors", "The value must be an object, not an array.", &strictjson.Error{}},
		{"member beside vendors", func(d object) { d["version"] = 1 }, "/version", unknown, &strictjson.Error{}},

		{"id empty", rename(""), "/vendors/", wantID, nil},
		{"id in upper case", rename("Acme"), "/vendors/Acme", wantID, nil},
		{"id begins with a hyphen", rename("-acme"), "/vendors/-acme", wantID, nil},
		{"id with an underscore", rename("ac_me"), "/vendors/ac_me", wantID, nil},
		{"id to be escaped", rename("ac/me~"), "/vendors/ac~1me~0", wantID, nil},
		{"id of 33", rename(strings.Repeat("a", 33)), "/vendors/" + strings.Repeat("a", 33), wantID, nil},
		{"id without end", rename(strings.Repeat("a", 300)), "/vendors", wantID, nil},

		{"member of a vendor unknown", set("webhook_secret", secret(3)), "/vendors/acme/webhook_secret", unknown, &strictjson.Error{}},
		{"member of a vendor in other case", set("Disabled", true), "/vendors/acme/Disabled", unknown, &strictjson.Error{}},
		{"request_secrets a string", set("request_secrets", secret(0)), "/vendors/acme/request_secrets", "The value must be an array, not a string.", &strictjson.Error{}},
		{"a request secret without its prefix", set("request_secrets", list{secret(0), strings.TrimPrefix(secret(1), "whsec_")}), "/vendors/acme/request_secrets/1", "", stdwebhook.ErrSecretPrefix},
		{"a request secret not base64", set("request_secrets", list{secret(0) + "="}), "/vendors/acme/request_secrets/0", "", stdwebhook.ErrSecretBase64},
		{"a request secret empty", set("request_secrets", list{"whsec_"}), "/vendors/acme/request_secrets/0", "", stdwebhook.ErrSecretEmpty},
		{"a webhook secret not base64", set("webhook_secrets", list{secret(2), "whsec_not base64"}), "/vendors/acme/webhook_secrets/1", "", stdwebhook.ErrSecretBase64},
		{"a secret in both lists", set("webhook_secrets", list{secret(2), secret(1)}), "/vendors/acme/webhook_secrets/1", "it is one of request_secrets too; the two lists must not share a secret", nil},
		{"webhook_url a number", set("webhook_url", 1), "/vendors/acme/webhook_url", "The value must be a string, not a number.", &strictjson.Error{}},
		{"webhook_url too long", set("webhook_url", strings.Repeat("x", 2049)), "/vendors/acme/webhook_url", "want at most 2048 bytes", nil},
		{"disabled a string", set("disabled", "no-boolean"), "/vendors/acme/disabled", "The value must be a boolean, not a string.", &strictjson.Error{}},
		{"disabled null", set("disabled", nil), "/vendors/acme/disabled", "The field must have a value or be left out, not be null.", &strictjson.Error{}},
		{"an event unknown", set("events", list{"vehicle.plate_state_changed", "vehicle.entered_somewhere"}), "/vendors/acme/events/1", wantEvent, nil},

		{"member of a merchant unknown", setMerchant("sub_mch_id", "1900000109"), inMerchant + "/sub_mch_id", unknown, &strictjson.Error{}},
		{"sub_mchid not digits", setMerchant("sub_mchid", "19000001O9"), inMerchant + "/sub_mchid", wantSubMchID, nil},
		{"sub_mchid too long", setMerchant("sub_mchid", strings.Repeat("9", 33)), inMerchant + "/sub_mchid", wantSubMchID, nil},
		{"sub_mchid a number", setMerchant("sub_mchid", 1900000109), inMerchant + "/sub_mchid", "The value must be a string, not a number.", &strictjson.Error{}},
		{"sub_appid with a space", setMerchant("vehicle", object{"sub_appid": "wxcbda96 e0b165489"}), inMerchant + "/vehicle/sub_appid", wantAppID + ", or no such field", nil},
		{"member of vehicle unknown", setMerchant("vehicle", object{"appid": "wxcbda96de0b165489"}), inMerchant + "/vehicle/appid", unknown, &strictjson.Error{}},
		{"vehicle true", setMerchant("vehicle", true), inMerchant + "/vehicle", "The value must be an object, not a boolean.", &strictjson.Error{}},
		{"brandid missing", setMerchant("businesscircle", object{"appid": "wx931386123456789e"}), inMerchant + "/businesscircle/brandid", "want a positive number", nil},
		{"brandid negative", setMerchant("businesscircle", object{"brandid": -1000, "appid": "wx931386123456789e"}), inMerchant + "/businesscircle/brandid", "want a positive number", nil},
		{"brandid a string", setMerchant("businesscircle", object{"brandid": "12345678", "appid": "wx931386123456789e"}), inMerchant + "/businesscircle/brandid", "The value must be an integer, not a string.", &strictjson.Error{}},
		{"brandid a fraction", setMerchant("businesscircle", object{"brandid": 1000.5, "appid": "wx931386123456789e"}), inMerchant + "/businesscircle/brandid", "", &strictjson.Error{}},
		{"appid missing", setMerchant("businesscircle", object{"brandid": 1000}), inMerchant + "/businesscircle/appid", wantAppID, nil},
		{"appid too long", setMerchant("businesscircle", object{"brandid": 1000, "appid": strings.Repeat("w", 33)}), inMerchant + "/businesscircle/appid", wantAppID, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := validDocument()
			tt.mutate(d)
			_, err := vendor.Parse([][]byte{text(d)})
			wantError(t, err, 1, tt.pointer, tt.reason, tt.cause)
			wantNoValue(t, err, d)
		})
	}
}

func TestParseRefusesWhatIsNoDocument(t *testing.T) {
	valid := text(validDocument())
	for _, tt := range []struct {
		name    string
		docs    [][]byte
		number  int
		pointer string
		reason  string
		cause   error
	}{
		{"no document", nil, 1, "", "want at least one document, got none", nil},
		{"empty", [][]byte{{}}, 1, "", "The document is empty.", &strictjson.Error{}},
		{"the second a list", [][]byte{valid, []byte("[]")}, 2, "", "The value must be an object, not an array.", &strictjson.Error{}},
		{"the second cut off", [][]byte{valid, valid[:len(valid)-1]}, 2, "", "", &strictjson.Error{}},
		{"a vendor twice in one document", [][]byte{[]byte(`{"vendors":{"acme":{},"acme":{}}}`)}, 1, "/vendors/acme", "The object names this member twice.", &strictjson.Error{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := vendor.Parse(tt.docs)
			wantError(t, err, tt.number, tt.pointer, tt.reason, tt.cause)
			wantNoValue(t, err, validDocument())
		})
	}
}

func TestParseMergesDocuments(t *testing.T) {
	more := func(fields object) object { return object{"vendors": object{"acme": fields}} }
	third := object{"sub_mchid": "1900000111"}
	other := object{"vendors": object{"bistro": object{"request_secrets": list{secret(4)}, "merchants": list{third}}}}

	for _, tt := range []struct {
		name          string
		docs          []object
		wantMerchants []string // of acme
		wantVendors   []string // that have 1900000111
	}{
		{"another vendor", []object{validDocument(), other}, []string{"1900000109", ""}, []string{"bistro"}},
		{"more merchants of a vendor", []object{validDocument(), more(object{"merchants": list{third}})}, []string{"1900000109", "", "1900000111"}, []string{"acme"}},
		{"more merchants before the vendor", []object{more(object{"merchants": list{third}}), validDocument()}, []string{"1900000111", "1900000109", ""}, []string{"acme"}},
		{"three documents", []object{other, validDocument(), more(object{"merchants": list{third}})}, []string{"1900000109", "", "1900000111"}, []string{"acme", "bistro"}},
		{"nothing more of a vendor", []object{validDocument(), more(object{})}, []string{"1900000109", ""}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := vendor.Parse(texts(tt.docs))
			if err != nil {
				t.Fatal(err)
			}
			v, _ := d.Lookup("acme")
			var merchants, vendors []string
			for _, m := range v.Merchants {
				merchants = append(merchants, m.SubMchID)
			}
			if diff := cmp.Diff(tt.wantMerchants, merchants); diff != "" {
				t.Errorf("merchants: want (-) got (+):\n%s", diff)
			}
			for _, id := range []string{"acme", "bistro"} {
				if v, ok := d.Lookup(id); ok && v.HasMerchant("1900000111") {
					vendors = append(vendors, id)
				}
			}
			if diff := cmp.Diff(tt.wantVendors, vendors); diff != "" {
				t.Errorf("vendors: want (-) got (+):\n%s", diff)
			}
		})
	}

	const twice = "document 1 has fields of this vendor; only merchants may stand in several documents"
	for _, tt := range []struct {
		name    string
		docs    []object
		number  int
		pointer string
		reason  string
	}{
		{"request_secrets in two", []object{validDocument(), more(object{"request_secrets": list{secret(0)}})}, 2, "/vendors/acme/request_secrets", twice},
		{"webhook_secrets in another", []object{validDocument(), more(object{"webhook_secrets": list{secret(5)}})}, 2, "/vendors/acme/webhook_secrets", twice},
		{"webhook_url in another", []object{validDocument(), more(object{"webhook_url": ""})}, 2, "/vendors/acme/webhook_url", twice},
		{"events in another", []object{validDocument(), more(object{"events": list{}})}, 2, "/vendors/acme/events", twice},
		{"disabled in another", []object{validDocument(), more(object{"disabled": false})}, 2, "/vendors/acme/disabled", twice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := vendor.Parse(texts(tt.docs))
			wantError(t, err, tt.number, tt.pointer, tt.reason, nil)
			for _, d := range tt.docs {
				wantNoValue(t, err, d)
			}
		})
	}
}

// TestWhatIsTaken: what a document may leave out or say twice.
func TestWhatIsTaken(t *testing.T) {
	first := `{"vendors":{"listener":{"webhook_secrets":["whsec_c2VjcmV0LW9mLXRoZS13ZWJob29r"],"merchants":[` +
		`{"sub_mchid":"1","vehicle":{"sub_appid":""}},{"sub_mchid":"1","vehicle":{}}]}}}`
	second := `{"vendors":{"listener":{"merchants":[{"sub_mchid":"1","vehicle":{}},{"sub_mchid":"","vehicle":{}}]}}}`
	d, err := vendor.Parse([][]byte{[]byte(first), []byte(second)})
	if err != nil {
		t.Fatal(err)
	}
	v, _ := d.Lookup("listener")
	if len(v.RequestSecrets) != 0 || len(v.Merchants) != 2 || v.Merchants[0].SubMchID != "1" || v.Merchants[1].SubMchID != "" {
		t.Errorf("got %d request secrets and merchants %+v, want none, and 1 and the merchant's own once each", len(v.RequestSecrets), v.Merchants)
	}
	if !v.Listens(event.VehiclePlateStateChanged) {
		t.Error("without a list the vendor hears of plates")
	}
}

func texts(documents []object) (docs [][]byte) {
	for _, d := range documents {
		docs = append(docs, text(d))
	}
	return docs
}

// Which names a vendor may list is written down here and in package event,
// because that package brings the queue's API client with it; this keeps the
// two alike.
func TestEventNamesAreThoseOfPackageEvent(t *testing.T) {
	names := append(event.Types(),
		"wechatpay.NEW_THING.SUCCESS", "wechatpay.A", "wechatpay."+strings.Repeat("A", 32),
		"wechatpay.", "wechatpay."+strings.Repeat("A", 33), "wechatpay.lower", "wechatpay.A B", "wechatpay.车",
		"wechatpay", "WECHATPAY.A", "", " vehicle.plate_state_changed", "vehicle.*", "*",
	)
	for _, name := range names {
		d := validDocument()
		acme(d)["events"] = list{name}
		_, err := vendor.Parse([][]byte{text(d)})
		if got, want := err == nil, event.Valid(name); got != want {
			t.Errorf("%q: got accepted %t, want %t", name, got, want)
		}
	}
	if got, want := defaultEvents(t), []string{event.VehiclePlateStateChanged}; !cmp.Equal(got, want) {
		t.Errorf("default: got %q, want %q", got, want)
	}
}

func defaultEvents(t *testing.T) []string {
	t.Helper()
	doc := validDocument()
	delete(acme(doc), "events")
	d, err := vendor.Parse([][]byte{text(doc)})
	if err != nil {
		t.Fatal(err)
	}
	v, _ := d.Lookup("acme")
	return v.Events
}

func TestErrorTellsWhere(t *testing.T) {
	for _, tt := range []struct {
		doc  string
		want string
	}{
		{"", "vendors document 2: The document is empty."},
		{`{"vendors":{"acme":{"request_secrets":[""]}}}`, "vendors document 2: /vendors/acme/request_secrets/0: "},
	} {
		_, err := vendor.Parse([][]byte{[]byte(`{"vendors":{}}`), []byte(tt.doc)})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s…", tt.doc, err, tt.want)
		}
	}
}

// wantError compares err's place and, where reason is not empty, its reason;
// cause is an error that err must wrap, or a *strictjson.Error for any such.
func wantError(t *testing.T, err error, number int, pointer, reason string, cause error) {
	t.Helper()
	got, ok := errors.AsType[*vendor.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *vendor.Error at %q", err, pointer)
	}
	if got.Document != number || got.Pointer != pointer {
		t.Errorf("place: got document %d %q, want document %d %q", got.Document, got.Pointer, number, pointer)
	}
	if reason == "" {
		reason = got.Unwrap().Error()
		if e, ok := got.Unwrap().(*strictjson.Error); ok {
			reason = e.Detail
		}
	}
	if got.Reason != reason {
		t.Errorf("reason: got %q, want %q", got.Reason, reason)
	}
	switch cause.(type) {
	case nil:
		if got.Unwrap() != nil {
			t.Errorf("cause: got %v, want none", got.Unwrap())
		}
	case *strictjson.Error:
		if _, ok := got.Unwrap().(*strictjson.Error); !ok {
			t.Errorf("cause: got %v, want a *strictjson.Error", got.Unwrap())
		}
	default:
		if !errors.Is(err, cause) {
			t.Errorf("cause: got %v, want %v", got.Unwrap(), cause)
		}
	}
}

// wantNoValue looks for every text of the document in the error. Names are not
// values, and an event's name may be in the sentence that lists all of them.
func wantNoValue(t *testing.T, err error, value any) {
	t.Helper()
	const worthHiding = 8 // bytes; shorter ones are words of the error itself
	switch value := value.(type) {
	case object:
		for _, v := range value {
			wantNoValue(t, err, v)
		}
	case list:
		for _, v := range value {
			wantNoValue(t, err, v)
		}
	case string:
		if len(value) >= worthHiding && value != event.VehiclePlateStateChanged && strings.Contains(err.Error(), value) {
			t.Errorf("got error %q, want it without the value %q", err, value)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text(validDocument()), []byte(`{"vendors":{"acme":{"merchants":[{"sub_mchid":"1"}]}}}`))
	f.Add([]byte(`{"vendors":{}}`), []byte(`{"vendors":{}}`))
	f.Add([]byte(`{"vendors":{"a":{"request_secrets":["whsec_AA=="],"merchants":[{},{"businesscircle":{"brandid":1,"appid":"a"}}]}}}`), []byte(`{"vendors":{"a":{}}}`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		d, err := vendor.Parse([][]byte{one, two})
		if err != nil {
			if e, ok := err.(*vendor.Error); !ok || d != nil || e.Document < 1 || e.Document > 2 || e.Reason == "" || len(e.Pointer) > 256 {
				t.Fatalf("got %v, %#v, want nil and a *vendor.Error", d, err)
			}
			return
		}
		var document struct{ Vendors map[string]json.RawMessage }
		if err := json.Unmarshal(one, &document); err != nil {
			t.Fatalf("accepted what is not JSON: %v", err)
		}
		for id := range document.Vendors {
			v, ok := d.Lookup(id)
			if !ok || v.ID != id || len(v.RequestSecrets) == 0 {
				t.Fatalf("vendor %q: got %v and %d request secrets", id, v, len(v.RequestSecrets))
			}
			for _, m := range v.Merchants {
				if !d.Owns(m.SubMchID) || !v.HasMerchant(m.SubMchID) {
					t.Errorf("vendor %q: merchant %q is not found again", id, m.SubMchID)
				}
				if m.BusinessCircle != nil {
					q := vendor.BusinessCircleQuery{Direct: m.SubMchID == "", SubMchID: &m.SubMchID, BrandID: &m.BusinessCircle.BrandID, AppID: &m.BusinessCircle.AppID}
					if got, err := v.SelectBusinessCircle(q); err != nil || *got.BusinessCircle != *m.BusinessCircle {
						t.Errorf("vendor %q: business circle is not selected by all its fields: %v", id, err)
					}
				}
				if m.Vehicle != nil {
					q := vendor.VehicleQuery{Direct: m.SubMchID == "", SubMchID: &m.SubMchID, SubAppID: &m.Vehicle.SubAppID}
					if got, err := v.SelectVehicle(q); err != nil || *got.Vehicle != *m.Vehicle {
						t.Errorf("vendor %q: vehicle is not selected by all its fields: %v", id, err)
					}
				}
			}
		}
	})
}

// BenchmarkParse reads a document as full as Secrets Manager allows.
func BenchmarkParse(b *testing.B) {
	merchants := make(list, 600)
	for i := range merchants {
		merchants[i] = object{"sub_mchid": fmt.Sprint(1900000000 + i), "vehicle": object{"sub_appid": "wxcbda96de0b165489"}}
	}
	d := validDocument()
	acme(d)["merchants"] = merchants
	doc := [][]byte{text(d)}
	b.ReportAllocs()
	b.SetBytes(int64(len(doc[0])))
	for b.Loop() {
		if _, err := vendor.Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}
