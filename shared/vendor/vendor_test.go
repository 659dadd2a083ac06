package vendor_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/shared/vendor"
)

// directory has vendors of both modes: acme and bistro share sub-merchant
// 1900000109, and corner acts for the calling merchant itself.
func directory(t *testing.T) *vendor.Directory {
	t.Helper()
	d, err := vendor.Parse([][]byte{[]byte(fmt.Sprintf(`{"vendors": {
		"bistro": {
			"request_secrets": [%q],
			"events": ["vehicle.plate_state_changed", "wechatpay.NEW_THING.SUCCESS"],
			"disabled": true,
			"merchants": [{"sub_mchid": "1900000109"}]
		},
		"acme": {
			"request_secrets": [%q],
			"merchants": [
				{"sub_mchid": "1900000109", "vehicle": {}},
				{"sub_mchid": "1900000109", "businesscircle": {"brandid": 1000, "appid": "wx1"}},
				{"sub_mchid": "1900000110"}
			]
		},
		"corner": {
			"request_secrets": [%q],
			"events": [],
			"merchants": [{"vehicle": {}}]
		}
	}}`, secret(1), secret(2), secret(3)))})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLookup(t *testing.T) {
	d := directory(t)
	for _, tt := range []struct {
		id string
		ok bool
	}{
		{"acme", true},
		{"bistro", true}, // a disabled one too
		{"corner", true},
		{"Acme", false},
		{"acm", false},
		{"", false},
	} {
		v, ok := d.Lookup(tt.id)
		if ok != tt.ok {
			t.Errorf("%q: got %t, want %t", tt.id, ok, tt.ok)
		}
		if ok && v.ID != tt.id {
			t.Errorf("%q: got vendor %q", tt.id, v.ID)
		}
	}
}

func TestOwns(t *testing.T) {
	d := directory(t)
	for _, tt := range []struct {
		subMchID string
		want     bool
	}{
		{"1900000109", true},
		{"1900000110", true},
		{"", true},
		{"1900000111", false},
		{"190000010", false},
	} {
		if got := d.Owns(tt.subMchID); got != tt.want {
			t.Errorf("%q: got %t, want %t", tt.subMchID, got, tt.want)
		}
	}
	empty, err := vendor.Parse([][]byte{[]byte(`{"vendors":{}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if empty.Owns("") {
		t.Error("empty directory: got true, want false")
	}
}

func TestSubscribers(t *testing.T) {
	d := directory(t)
	const plate = "vehicle.plate_state_changed"
	for _, tt := range []struct {
		name, subMchID, eventType string
		want                      []string
	}{
		{"of a merchant that two share, sorted and each once", "1900000109", plate, []string{"acme", "bistro"}},
		{"of a type that one lists", "1900000109", "wechatpay.NEW_THING.SUCCESS", []string{"bistro"}},
		{"of a type that nobody lists", "1900000109", "businesscircle.card_activated", nil},
		{"of a merchant that one has", "1900000110", plate, []string{"acme"}},
		{"of a merchant that nobody has", "1900000111", plate, nil},
		{"of a vendor that wants to hear nothing", "", plate, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, v := range d.Subscribers(tt.subMchID, tt.eventType) {
				got = append(got, v.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want (-) got (+):\n%s", diff)
			}
		})
	}
}

func TestHasMerchant(t *testing.T) {
	d := directory(t)
	for _, tt := range []struct {
		id, subMchID string
		want         bool
	}{
		{"acme", "1900000110", true},
		{"bistro", "1900000110", false},
		{"acme", "", false},
		{"corner", "", true},
		{"corner", "1900000109", false},
	} {
		v, _ := d.Lookup(tt.id)
		if got := v.HasMerchant(tt.subMchID); got != tt.want {
			t.Errorf("%s, %q: got %t, want %t", tt.id, tt.subMchID, got, tt.want)
		}
	}
}

func TestPrintingShowsTheIDAlone(t *testing.T) {
	v := vendor.Vendor{ID: "acme", WebhookURL: "https://example.com/?token=hidden"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		for _, value := range []any{v, &v} {
			if got, want := fmt.Sprintf(verb, value), "vendor.Vendor{acme}"; got != want {
				t.Errorf("%s of %T: got %q, want %q", verb, value, got, want)
			}
		}
	}
}
