package event

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestForWeChatPay(t *testing.T) {
	tests := []struct{ eventType, want string }{
		{"MALL_AUTH.ACTIVATE_CARD", "businesscircle.card_activated"},
		{"MALL_TRANSACTION.SUCCESS", "businesscircle.transaction_succeeded"},
		{"MALL_REFUND.SUCCESS", "businesscircle.refund_succeeded"},
		{"MALL_REFUND.FAIL", "wechatpay.MALL_REFUND.FAIL"},
		{"mall_refund.success", "wechatpay.mall_refund.success"},
		{"", "wechatpay."},
	}
	for _, tt := range tests {
		if got := ForWeChatPay(tt.eventType); got != tt.want {
			t.Errorf("ForWeChatPay(%q) = %q, want %q", tt.eventType, got, tt.want)
		}
	}
}

func TestValid(t *testing.T) {
	tests := []struct {
		name string
		want bool
	}{
		{"vehicle.plate_state_changed", true},
		{"businesscircle.card_activated", true},
		{"businesscircle.transaction_succeeded", true},
		{"businesscircle.refund_succeeded", true},
		{"wechatpay.PARKING_FEE.QUERY_TRANS_INFO", true},
		{"wechatpay.MALL_REFUND.SUCCESS", true},
		{"wechatpay.A", true},
		{"wechatpay.9_.", true},
		{"wechatpay." + strings.Repeat("A", 32), true},
		{"wechatpay." + strings.Repeat("A", 33), false},
		{"wechatpay.", false},
		{"wechatpay", false},
		{"wechatpay.mall_refund.success", false},
		{"wechatpay.MALL-REFUND", false},
		{"wechatpay.MALL REFUND", false},
		{"wechatpay.MALL_REFUND\n", false},
		{"wechatpay.退款", false},
		{"vehicle.plate_state_change", false},
		{"Vehicle.plate_state_changed", false},
		{" vehicle.plate_state_changed", false},
		{"MALL_REFUND.SUCCESS", false},
		{"*", false},
		{"", false},
	}
	for _, tt := range tests {
		if got := Valid(tt.name); got != tt.want {
			t.Errorf("Valid(%q) = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTypesAreValid(t *testing.T) {
	for _, name := range Types() {
		if !Valid(name) {
			t.Errorf("Valid(%q) = false, want true", name)
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, name := range Types() {
		f.Add(name)
	}
	f.Add("wechatpay.MALL_REFUND.SUCCESS")
	f.Add("wechatpay.")
	form := regexp.MustCompile(`^wechatpay\.[A-Z0-9_.]{1,32}$`)
	f.Fuzz(func(t *testing.T, name string) {
		want := form.MatchString(name)
		for _, known := range Types() {
			want = want || name == known
		}
		if got := Valid(name); got != want {
			t.Errorf("Valid(%q) = %v, want %v", name, got, want)
		}
	})
}

// TestIDsAreStable pins the ids: a version that changed one would deliver every
// event that is still on its way a second time.
func TestIDsAreStable(t *testing.T) {
	tests := []struct{ name, got, want string }{
		// printf 'v3\0acme\0EV-2018022511223320873' | sha256sum
		{"v3", V3ID("EV-2018022511223320873", "acme"), "evt_aecc3244013724576071aae2bbafe04660d06408"},
		// printf 'v2\0acme\0appid=wx1&plate_number=粤A00000' | sha256sum
		{"v2", V2ID("appid=wx1&plate_number=粤A00000", "acme"), "evt_92e51810a2a9da92ce908dfda579cc42fbaca1ac"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestIDsDiffer(t *testing.T) {
	ids := map[string]string{
		"v3":                    V3ID("EV-1", "acme"),
		"v3, another envelope":  V3ID("EV-2", "acme"),
		"v3, another vendor":    V3ID("EV-1", "acme2"),
		"v3, moved boundary":    V3ID("2\x00EV-1", "acme"),
		"v2 of the same text":   V2ID("EV-1", "acme"),
		"v3, NUL in the id":     V3ID("acme\x00EV-1", "acme"),
		"v3, nothing in the id": V3ID("", "acme"),
	}
	form := regexp.MustCompile(`^evt_[0-9a-f]{40}$`)
	seen := map[string]string{}
	for name, id := range ids {
		if !form.MatchString(id) {
			t.Errorf("%s: got %q, want evt_ and 40 hexadecimal digits", name, id)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have the same id %s", name, other, id)
		}
		seen[id] = name
	}
}

// message returns a valid message that the negative cases change in one place.
func message() Message {
	return Message{
		ID:        "evt_0123456789012345678901234567890123456789",
		VendorID:  "acme",
		Type:      VehiclePlateStateChanged,
		Timestamp: "2026-11-22T10:00:00+08:00",
		Data:      jsontext.Value(`{"plate_number":"粤A00000","amount":12345678901234567890}`),
	}
}

func TestEncode(t *testing.T) {
	got, err := message().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"evt_0123456789012345678901234567890123456789","vendor_id":"acme","type":"vehicle.plate_state_changed",` +
		`"timestamp":"2026-11-22T10:00:00+08:00","data":{"plate_number":"粤A00000","amount":12345678901234567890}}`
	if got != want {
		t.Errorf("Encode()\n got %s\nwant %s", got, want)
	}
	back, err := Decode(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(message(), back); diff != "" {
		t.Errorf("Decode(Encode()) differs (-want +got):\n%s", diff)
	}
}

// SQS takes XML's characters alone, and JSON leaves U+FFFE and U+FFFF as they are.
func TestEncodeIsSafeForSQS(t *testing.T) {
	m := message()
	m.Data = jsontext.Value(`{"shop":"a` + "\uFFFE\uFFFF\u007F" + `\u0000\u0001"}`)
	got, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got {
		if c < ' ' || c == 0xFFFE || c == 0xFFFF {
			t.Errorf("Encode() holds %U, which SQS refuses", c)
		}
	}
	if !strings.Contains(got, `a\ufffe\uffff`) {
		t.Errorf("got %s, want the two characters as escapes", got)
	}
}

func TestEncodeRefuses(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Message)
	}{
		{"no id", func(m *Message) { m.ID = "" }},
		{"no vendor", func(m *Message) { m.VendorID = "" }},
		{"no type", func(m *Message) { m.Type = "" }},
		{"no timestamp", func(m *Message) { m.Timestamp = "" }},
		{"no data", func(m *Message) { m.Data = nil }},
		{"data an array", func(m *Message) { m.Data = jsontext.Value(`[]`) }},
		{"data cut short", func(m *Message) { m.Data = jsontext.Value(`{"a":`) }},
		{"data with more behind it", func(m *Message) { m.Data = jsontext.Value(`{}{}`) }},
		{"data with a duplicate", func(m *Message) { m.Data = jsontext.Value(`{"a":1,"a":2}`) }},
		{"invalid UTF-8", func(m *Message) { m.Type = "\xff" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := message()
			tt.edit(&m)
			if _, err := m.Encode(); !errors.Is(err, ErrMalformedMessage) {
				t.Errorf("got error %v, want ErrMalformedMessage", err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	valid, err := message().Encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) string {
		if !strings.Contains(valid, from) {
			t.Fatalf("the valid message does not hold %q", from)
		}
		return strings.Replace(valid, from, to, 1)
	}
	tests := []struct{ name, body string }{
		{"empty", ""},
		{"not JSON", "evt"},
		{"an array", "[" + valid + "]"},
		{"two documents", valid + valid},
		{"unknown member", change(`"id"`, `"x":1,"id"`)},
		{"duplicate member", change(`"id"`, `"type":"x","id"`)},
		{"other case", change(`"vendor_id"`, `"Vendor_ID"`)},
		{"id missing", change(`"id":"evt_0123456789012345678901234567890123456789",`, ``)},
		{"id a number", change(`"evt_0123456789012345678901234567890123456789"`, `1`)},
		{"vendor_id empty", change(`"acme"`, `""`)},
		{"type null", change(`"vehicle.plate_state_changed"`, `null`)},
		{"timestamp empty", change(`"2026-11-22T10:00:00+08:00"`, `""`)},
		{"data null", change(`{"plate_number":"粤A00000","amount":12345678901234567890}`, `null`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode(tt.body)
			if !errors.Is(err, ErrMalformedMessage) {
				t.Fatalf("got error %v, want ErrMalformedMessage", err)
			}
			if strings.Contains(err.Error(), "acme") || strings.Contains(err.Error(), "粤A00000") {
				t.Errorf("error %q repeats what the message says", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	valid, err := message().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add(`{"id":"evt_1","vendor_id":"a","type":"t","timestamp":"t","data":{"a":"` + "\uFFFF" + `"}}`)
	f.Add(`{"id":"evt_1"}`)
	f.Fuzz(func(t *testing.T, body string) {
		m, err := Decode(body)
		if err != nil {
			if !errors.Is(err, ErrMalformedMessage) {
				t.Fatalf("got error %v, want ErrMalformedMessage", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatalf("Encode of a decoded message: %v", err)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("Decode(Encode()): %v", err)
		}
		third, err := back.Encode()
		if err != nil || third != again {
			t.Errorf("Encode is not stable: %v\n got %s\nwant %s", err, third, again)
		}
	})
}
