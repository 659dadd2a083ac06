package delivery

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/platestate"
)

// plateData is the data of a vehicle.plate_state_changed event that occurred at start.
const plateData = `{"mchid":"1900000001","sub_mchid":"1900000109","plate_number":"粤B12345","password_free_available":true,` +
	`"state":"NORMAL","occurred_at":"2026-11-22T18:00:00+08:00","wechatpay":{"amount":"12345678901234567890"}}`

// plateMessage returns a valid message that the negative cases change in one place.
func plateMessage() event.Message {
	return event.Message{
		ID: event.V2ID("a=1", "acme"), VendorID: "acme", Type: event.VehiclePlateStateChanged,
		Timestamp: "2026-11-22T18:00:00+08:00", Data: jsontext.Value(plateData),
	}
}

func TestReadPlateState(t *testing.T) {
	got, err := readPlateState(plateMessage())
	if err != nil {
		t.Fatal(err)
	}
	want := platestate.Key{VendorID: "acme", MchID: "1900000001", SubMchID: "1900000109", PlateNumber: "粤B12345"}
	if diff := cmp.Diff(want, got.key); diff != "" {
		t.Errorf("key (-want +got):\n%s", diff)
	}
	if !got.occurredAt.Equal(start) {
		t.Errorf("got occurred_at %v, want %v", got.occurredAt, start)
	}
}

func TestReadPlateStateRefuses(t *testing.T) {
	tests := []struct{ name, old, new string }{
		{"no mchid", `"mchid":"1900000001",`, ``},
		{"no plate_number", `"plate_number":"粤B12345",`, ``},
		{"no occurred_at", `"occurred_at":"2026-11-22T18:00:00+08:00",`, ``},
		{"occurred_at without an offset", `+08:00"`, `"`},
		{"occurred_at a number", `"2026-11-22T18:00:00+08:00"`, `1795341600`},
		{"mchid a number", `"1900000001"`, `1900000001`},
		{"not an object", plateData, `[]`},
		{"null", plateData, `null`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Count(plateData, tt.old) != 1 {
				t.Fatalf("the valid data holds %q not once", tt.old)
			}
			m := plateMessage()
			m.Data = jsontext.Value(strings.Replace(plateData, tt.old, tt.new, 1))
			_, err := readPlateState(m)
			if !errors.Is(err, errMalformed) {
				t.Fatalf("got error %v, want errMalformed", err)
			}
			if strings.Contains(err.Error(), "粤B12345") || strings.Contains(err.Error(), "1900000001") {
				t.Errorf("error %q repeats what the message says", err)
			}
		})
	}
}

func TestWithSuperseded(t *testing.T) {
	tests := []struct {
		name, data string
		superseded bool
		want       string
	}{
		{"false", `{"a":1}`, false, `{"a":1,"superseded":false}`},
		{"true", `{"a":1}`, true, `{"a":1,"superseded":true}`},
		{"empty", `{}`, true, `{"superseded":true}`},
		{"white space", "{ \"a\" : 1 }\n", false, `{ "a" : 1 ,"superseded":false}`},
		{"a brace in a text", `{"a":"}"}`, false, `{"a":"}","superseded":false}`},
		{"numbers stay", `{"a":12345678901234567890,"b":1.50}`, false, `{"a":12345678901234567890,"b":1.50,"superseded":false}`},
		{"there already", `{"b":1,"superseded":"x","a":{"superseded":1}}`, true, `{"a":{"superseded":1},"b":1,"superseded":true}`},
		{"there alone", `{"superseded":false}`, true, `{"superseded":true}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := withSuperseded(jsontext.Value(tt.data), tt.superseded)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// FuzzWithSuperseded: what is accepted gains the one member and keeps the others.
func FuzzWithSuperseded(f *testing.F) {
	f.Add(plateData, true)
	f.Add(`{"superseded":{"}":1}}  `, false)
	f.Add(`{"a":1,"a":2}`, false)
	f.Add(`null`, false)
	f.Fuzz(func(t *testing.T, data string, superseded bool) {
		got, err := withSuperseded(jsontext.Value(data), superseded)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Fatalf("got error %v, want errMalformed", err)
			}
			return
		}
		var before, after map[string]any
		if err := json.Unmarshal([]byte(data), &before); err != nil {
			t.Fatalf("accepted, but encoding/json does not read it: %v", err)
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("got %q: %v", got, err)
		}
		before["superseded"] = superseded
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
	})
}

// FuzzReadPlateState: data of any kind is read or refused, and its error repeats nothing.
func FuzzReadPlateState(f *testing.F) {
	f.Add(plateData)
	f.Add(`{"mchid":"1","plate_number":"x","occurred_at":"9999-12-31T23:59:59.999999999+23:59"}`)
	f.Fuzz(func(t *testing.T, data string) {
		m := plateMessage()
		m.Data = jsontext.Value(data)
		got, err := readPlateState(m)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Fatalf("got error %v, want errMalformed", err)
			}
			return
		}
		if got.key.MchID == "" || got.key.PlateNumber == "" {
			t.Errorf("got %+v of %q", got, data)
		}
	})
}
