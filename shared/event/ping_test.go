package event

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

var pinged = time.Date(2026, 11, 22, 2, 0, 0, 999, time.UTC)

func TestPing(t *testing.T) {
	m := Ping("acme", "nonce-1", pinged)
	// printf 'ping\0acme\0nonce-1' | sha256sum
	want := Message{
		ID: "evt_1328f4bec16747761c9f3930e94fb62b7b8229da", VendorID: "acme", Type: "gateway.ping",
		Timestamp: "2026-11-22T10:00:00+08:00", Data: m.Data,
	}
	if m.ID != want.ID || m.VendorID != want.VendorID || m.Type != want.Type || m.Timestamp != want.Timestamp {
		t.Errorf("got %+v, want %+v", m, want)
	}
	var data map[string]string
	if err := json.Unmarshal(m.Data, &data); err != nil {
		t.Fatal(err)
	}
	if data["vendor_id"] != "acme" || data["message"] == "" || len(data) != 2 {
		t.Errorf("got data %s, want the vendor and a message", m.Data)
	}
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(body); err != nil || back.ID != m.ID {
		t.Errorf("Decode(Encode()): got %+v, %v", back, err)
	}
}

// TestPingsDiffer: each ping has an id of its own, else the second would be taken for one that was delivered.
func TestPingsDiffer(t *testing.T) {
	first := Ping("acme", "nonce-1", pinged).ID
	for name, id := range map[string]string{
		"another nonce":  Ping("acme", "nonce-2", pinged).ID,
		"another vendor": Ping("acme2", "nonce-1", pinged).ID,
		"a V2 event":     V2ID("nonce-1", "acme"),
	} {
		if id == first {
			t.Errorf("%s: the same id %s", name, id)
		}
	}
	if again := Ping("acme", "nonce-1", pinged.Add(time.Hour)).ID; again != first {
		t.Errorf("the same nonce later: got %s, want %s", again, first)
	}
}

func TestPingOfNoVendor(t *testing.T) {
	for _, vendorID := range []string{"", "\xff"} {
		if _, err := Ping(vendorID, "nonce", pinged).Encode(); !errors.Is(err, ErrMalformedMessage) {
			t.Errorf("%q: got %v, want ErrMalformedMessage", vendorID, err)
		}
	}
}

// TestSent: a ping is sent to every vendor, so there is nothing for one to list.
func TestSent(t *testing.T) {
	tests := []struct {
		name         string
		valid, sends bool
	}{
		{"gateway.ping", false, true},
		{"vehicle.plate_state_changed", true, true},
		{"wechatpay.MALL_NEW.THING", true, true},
		{"gateway.pong", false, false},
		{"wechatpay.", false, false},
		{"", false, false},
	}
	for _, tt := range tests {
		if Valid(tt.name) != tt.valid || Sent(tt.name) != tt.sends {
			t.Errorf("%q: got valid %t, sent %t, want %t, %t", tt.name, Valid(tt.name), Sent(tt.name), tt.valid, tt.sends)
		}
	}
}
