package main

import (
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/shared/beijingtime"
	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/event"
)

// The attributes in which a queue message carries what is known of its event's tries, beside those of its origin. A message
// as notifycallback sends it has none. One on the dead-letter queue has the reason as well; moved back to the queue, it
// begins anew.
const (
	triesAttribute      = "tries"
	firstTryAttribute   = "first_try"
	dueAttribute        = "due"
	lastReasonAttribute = "last_reason"
	reasonAttribute     = "reason"
)

// errMalformed says that a queue message is not one that the gateway sent.
var errMalformed = errors.New("eventdelivery: malformed queue message")

// maxTries is more tries than any plan makes.
const maxTries = 1_000_000

// isReason tells what a last reason looks like.
func isReason(s string) bool { return charset.Fits(s, 64, charset.Digits+charset.Lower+"_") }

// read returns the item of a received message, or errMalformed. Attributes of other names are left alone.
func read(m events.SQSMessage) (delivery.Item, error) {
	message, err := event.Decode(m.Body)
	if err != nil {
		return delivery.Item{}, errMalformed
	}
	message.Origin = event.ReadOrigin(func(name string) string { return attributeText(m, name) })
	item := delivery.Item{Message: message}
	a := attributes{from: m.MessageAttributes}
	if _, parked := m.MessageAttributes[reasonAttribute]; parked {
		return item, nil
	}
	item.Tries = a.tries()
	item.FirstTry = a.time(firstTryAttribute)
	item.Due = a.time(dueAttribute)
	item.LastReason = a.reason()
	if a.malformed {
		return delivery.Item{}, errMalformed
	}
	return item, nil
}

// attributeText returns the text of a message's attribute, "" where it has none.
func attributeText(m events.SQSMessage, name string) string {
	return aws.ToString(m.MessageAttributes[name].StringValue)
}

// attributes reads attributes, each of which may be absent, and remembers whether any is malformed.
type attributes struct {
	from      map[string]events.SQSMessageAttribute
	malformed bool
}

func (a *attributes) value(name, dataType string) string {
	v, ok := a.from[name]
	if !ok {
		return ""
	}
	if v.DataType != dataType || v.StringValue == nil || *v.StringValue == "" {
		a.malformed = true
		return ""
	}
	return *v.StringValue
}

func (a *attributes) tries() int {
	s := a.value(triesAttribute, "Number")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxTries || strconv.Itoa(n) != s {
		a.malformed = true
		return 0
	}
	return n
}

func (a *attributes) time(name string) time.Time {
	s := a.value(name, "String")
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.IsZero() {
		a.malformed = true
		return time.Time{}
	}
	return t
}

func (a *attributes) reason() string {
	s := a.value(lastReasonAttribute, "String")
	if s != "" && !isReason(s) {
		a.malformed = true
		return ""
	}
	return s
}

// write returns the attributes of an item, and of a parked one with the reason. What is zero is left out.
func write(item delivery.Item, reason string) map[string]types.MessageAttributeValue {
	a := make(map[string]types.MessageAttributeValue, 9)
	maps.Copy(a, item.Message.Origin.Attributes())
	set := func(name, dataType, value string) {
		a[name] = types.MessageAttributeValue{DataType: aws.String(dataType), StringValue: aws.String(value)}
	}
	if item.Tries > 0 {
		set(triesAttribute, "Number", strconv.Itoa(item.Tries))
	}
	if !item.FirstTry.IsZero() {
		set(firstTryAttribute, "String", stamp(item.FirstTry))
	}
	if !item.Due.IsZero() {
		set(dueAttribute, "String", stamp(item.Due))
	}
	if item.LastReason != "" {
		set(lastReasonAttribute, "String", item.LastReason)
	}
	if reason != "" {
		set(reasonAttribute, "String", reason)
	}
	return a
}

// stamp writes a time at +08:00 with all its digits: an event must not be given up a moment too early.
func stamp(t time.Time) string { return t.In(beijingtime.Zone).Format(time.RFC3339Nano) }
