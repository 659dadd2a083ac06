package main

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/event"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// eventOf returns the message of an event for a vendor, told from others by n.
func eventOf(vendorID, n string) event.Message {
	return event.Message{
		ID: event.V3ID(n, vendorID), VendorID: vendorID, Type: event.BusinessCircleCardActivated,
		Timestamp: "2026-11-22T18:00:00+08:00", Data: []byte(`{"openid":"o-secret"}`),
		Origin: event.Origin{
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", RequestID: "JKJaXmPLvHcESHA=",
			PlateHash: "0123456789abcdef", OpenIDHash: "fedcba9876543210",
		},
	}
}

// fromOrigin adds the attributes of eventOf's origin to others.
func fromOrigin(others map[string]events.SQSMessageAttribute) map[string]events.SQSMessageAttribute {
	all := arrived(eventOf("acme", "1").Origin.Attributes())
	maps.Copy(all, others)
	return all
}

// received returns what the queue hands over of an item that was sent.
func received(t testing.TB, item delivery.Item, reason string) events.SQSMessage {
	t.Helper()
	body, err := item.Message.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return events.SQSMessage{MessageId: "m-" + item.Message.ID, Body: body, MessageAttributes: arrived(write(item, reason))}
}

// arrived turns attributes that were sent into attributes that are received.
func arrived(sent map[string]types.MessageAttributeValue) map[string]events.SQSMessageAttribute {
	got := make(map[string]events.SQSMessageAttribute, len(sent))
	for name, v := range sent {
		got[name] = events.SQSMessageAttribute{DataType: aws.ToString(v.DataType), StringValue: v.StringValue}
	}
	return got
}

func text(dataType, value string) events.SQSMessageAttribute {
	return events.SQSMessageAttribute{DataType: dataType, StringValue: &value}
}

// waiting is an item with every attribute.
func waiting() delivery.Item {
	return delivery.Item{
		Message: eventOf("acme", "1"), Tries: 3, FirstTry: start.Add(1), Due: start.Add(time.Hour + 123*time.Millisecond),
		LastReason: "http_500",
	}
}

func TestWrite(t *testing.T) {
	got := arrived(write(waiting(), ""))
	want := map[string]events.SQSMessageAttribute{
		"traceparent": text("String", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		"request_id":  text("String", "JKJaXmPLvHcESHA="),
		"plate_hash":  text("String", "0123456789abcdef"),
		"openid_hash": text("String", "fedcba9876543210"),
		"tries":       text("Number", "3"),
		"first_try":   text("String", "2026-11-22T18:00:00.000000001+08:00"),
		"due":         text("String", "2026-11-22T19:00:00.123+08:00"),
		"last_reason": text("String", "http_500"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	got = arrived(write(delivery.Item{}, "gone"))
	if diff := cmp.Diff(map[string]events.SQSMessageAttribute{"reason": text("String", "gone")}, got); diff != "" {
		t.Errorf("attributes of a new event that is parked (-want +got):\n%s", diff)
	}
}

func TestRead(t *testing.T) {
	fresh := delivery.Item{Message: eventOf("acme", "1")}
	tests := []struct {
		name string
		m    events.SQSMessage
		want delivery.Item
	}{
		{"as notifycallback sends it", received(t, fresh, ""), fresh},
		{"waiting", received(t, waiting(), ""), waiting()},
		{"moved back from the dead-letter queue", received(t, waiting(), "gave_up: http_500"), fresh},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(tt.m)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("item (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	set := func(name string, v events.SQSMessageAttribute) func(*events.SQSMessage) {
		return func(m *events.SQSMessage) { m.MessageAttributes[name] = v }
	}
	tests := []struct {
		name string
		edit func(*events.SQSMessage)
	}{
		{"no body", func(m *events.SQSMessage) { m.Body = "" }},
		{"body not a message", func(m *events.SQSMessage) { m.Body = `{"Records":[]}` }},
		{"body with more behind it", func(m *events.SQSMessage) { m.Body += "x" }},
		{"tries a text", set("tries", text("String", "3"))},
		{"tries negative", set("tries", text("Number", "-1"))},
		{"tries a fraction", set("tries", text("Number", "3.0"))},
		{"tries with a zero in front", set("tries", text("Number", "03"))},
		{"tries too many", set("tries", text("Number", "1000001"))},
		{"tries beyond any number", set("tries", text("Number", "99999999999999999999"))},
		{"tries empty", set("tries", text("Number", ""))},
		{"first_try not a time", set("first_try", text("String", "yesterday"))},
		{"first_try without an offset", set("first_try", text("String", "2026-11-22T18:00:00"))},
		{"due a number", set("due", text("Number", "1795341600"))},
		{"due binary", set("due", events.SQSMessageAttribute{DataType: "Binary", BinaryValue: []byte("x")})},
		{"due without a value", set("due", events.SQSMessageAttribute{DataType: "String"})},
		{"due the zero time", set("due", text("String", "0001-01-01T00:00:00Z"))},
		{"last_reason of other characters", set("last_reason", text("String", "粤B12345"))},
		{"last_reason too long", set("last_reason", text("String", strings.Repeat("a", 65)))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := received(t, waiting(), "")
			tt.edit(&m)
			if _, err := read(m); !errors.Is(err, errMalformed) {
				t.Errorf("got error %v, want errMalformed", err)
			}
		})
	}
	t.Run("another's attribute is left alone", func(t *testing.T) {
		m := received(t, waiting(), "")
		set("trace", text("String", "x"))(&m)
		if _, err := read(m); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
}

// TestOriginMayBeAnything: what an origin's attributes hold decides nothing, and what the gateway would not write is left
// out.
func TestOriginMayBeAnything(t *testing.T) {
	for _, name := range []string{"traceparent", "request_id", "plate_hash", "openid_hash"} {
		for _, a := range []events.SQSMessageAttribute{
			text("String", ""), text("String", "粤B12345"), text("String", "o-secret of a member"), {DataType: "Binary", BinaryValue: []byte("x")},
		} {
			m := received(t, waiting(), "")
			m.MessageAttributes[name] = a
			got, err := read(m)
			if err != nil {
				t.Fatalf("%s: got error %v, want the event", name, err)
			}
			if left := got.Message.Origin.Attributes(); len(left) != 3 || left[name].StringValue != nil {
				t.Errorf("%s: got %v, want the other three", name, got.Message.Origin)
			}
		}
	}
}

// TestRoundTrip: nothing that a plan knows is lost on the queue, however often it goes round.
func TestRoundTrip(t *testing.T) {
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "ns"))
	})
	rapid.Check(t, func(rt *rapid.T) {
		want := delivery.Item{
			Message: eventOf("acme", "1"), Tries: rapid.IntRange(1, maxTries).Draw(rt, "tries"),
			FirstTry: moment.Draw(rt, "first try"), Due: moment.Draw(rt, "due"),
			LastReason: rapid.StringMatching(`[a-z0-9_]{1,64}`).Draw(rt, "reason"),
		}
		got := want
		for range 3 {
			var err error
			if got, err = read(received(t, got, "")); err != nil {
				rt.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("item (-want +got):\n%s", diff)
		}
	})
}

// FuzzRead: any message is read or refused, and what is read survives the next round.
func FuzzRead(f *testing.F) {
	body, err := eventOf("acme", "1").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, "Number", "3", "String", "2026-11-22T18:00:00.000000001+08:00", "2026-11-22T19:00:00+08:00", "http_500")
	f.Add(body, "Number", "0", "Binary", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59", "x")
	f.Add(`{"id":"x"}`, "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, body, triesType, tries, timeType, firstTry, due, lastReason string) {
		item, err := read(events.SQSMessage{Body: body, MessageAttributes: map[string]events.SQSMessageAttribute{
			"tries": text(triesType, tries), "first_try": text(timeType, firstTry), "due": text(timeType, due),
			"last_reason": text("String", lastReason),
		}})
		if err != nil {
			if !errors.Is(err, errMalformed) || err.Error() != errMalformed.Error() {
				t.Fatalf("got error %v, want errMalformed alone", err)
			}
			return
		}
		if item.Due.Year() < 1 || item.Due.Year() > 9998 || item.FirstTry.Year() < 1 || item.FirstTry.Year() > 9998 {
			return // no plan has such times; package delivery parks them
		}
		again, err := read(events.SQSMessage{Body: body, MessageAttributes: arrived(write(item, ""))})
		if err != nil {
			t.Fatalf("second read: %v", err)
		}
		if diff := cmp.Diff(item, again); diff != "" {
			t.Errorf("second read (-first +second):\n%s", diff)
		}
	})
}
