// Package event is what the gateway tells vendors: the names of the event
// types, the ids that make a redelivered notification recognisable, the message
// that carries an event from the callback to its delivery, and the SQS queue in
// between.
//
// The callback function writes the queue and the delivery function reads it; the
// operator's tool writes pings. What a vendor may list among its events is what
// [Valid] says, and what it may be sent is what [Sent] says. Whoever imports this
// package links the SQS client (about 0.3 MB); a function without a queue should
// not.
//
// The names WeChat Pay gives to its own events come from its smart business
// circle pages (MALL_AUTH, MALL_TRANSACTION, MALL_REFUND); queue limits come from
// the Amazon SQS Developer Guide, "Amazon SQS message quotas".
package event

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The event types the gateway knows. An event of any other WeChat Pay type is
// called "wechatpay." followed by that type, see [ForWeChatPay].
const (
	// VehiclePlateStateChanged says that password-free payment became usable or
	// unusable for a plate.
	VehiclePlateStateChanged = "vehicle.plate_state_changed"
	// BusinessCircleCardActivated is WeChat Pay's MALL_AUTH.ACTIVATE_CARD.
	BusinessCircleCardActivated = "businesscircle.card_activated"
	// BusinessCircleTransactionSucceeded is WeChat Pay's MALL_TRANSACTION.SUCCESS.
	BusinessCircleTransactionSucceeded = "businesscircle.transaction_succeeded"
	// BusinessCircleRefundSucceeded is WeChat Pay's MALL_REFUND.SUCCESS.
	BusinessCircleRefundSucceeded = "businesscircle.refund_succeeded"
)

const (
	wechatPayPrefix  = "wechatpay."
	maxWeChatPayType = 32
)

// Types returns the event types the gateway knows and a vendor may list, in the
// order of the constants.
func Types() []string {
	return []string{
		VehiclePlateStateChanged,
		BusinessCircleCardActivated,
		BusinessCircleTransactionSucceeded,
		BusinessCircleRefundSucceeded,
	}
}

// ForWeChatPay returns the event type for the event_type of a V3 notification:
// one of the constants, or "wechatpay." and eventType for a type the gateway
// does not know. The result for an event_type outside WeChat Pay's own form is
// not [Valid], so such an event has no subscriber.
func ForWeChatPay(eventType string) string {
	switch eventType {
	case "MALL_AUTH.ACTIVATE_CARD":
		return BusinessCircleCardActivated
	case "MALL_TRANSACTION.SUCCESS":
		return BusinessCircleTransactionSucceeded
	case "MALL_REFUND.SUCCESS":
		return BusinessCircleRefundSucceeded
	}
	return wechatPayPrefix + eventType
}

// Valid reports whether a vendor may list name among its events: one of the
// known types, or "wechatpay." and 1 to 32 characters of A-Z, 0-9, '_' and '.'.
//
// The name "wechatpay.MALL_REFUND.SUCCESS" is valid although the gateway calls
// that event businesscircle.refund_succeeded: a configuration that lists a type
// stays readable when a later version learns to name it.
func Valid(name string) bool {
	switch name {
	case VehiclePlateStateChanged, BusinessCircleCardActivated,
		BusinessCircleTransactionSucceeded, BusinessCircleRefundSucceeded:
		return true
	}
	eventType, ok := strings.CutPrefix(name, wechatPayPrefix)
	if !ok || eventType == "" || len(eventType) > maxWeChatPayType {
		return false
	}
	for _, c := range []byte(eventType) {
		upperOrDigit := 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !upperOrDigit && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// V3ID returns the id of the event that vendorID hears for a V3 notification:
// "evt_" and 40 hexadecimal digits that depend only on the envelope's id and the
// vendor, so that a notification WeChat Pay delivers again keeps its id.
func V3ID(envelopeID, vendorID string) string {
	return id("v3", envelopeID, vendorID)
}

// V2ID returns the id of the event that vendorID hears for a V2 notification.
// The canonical string holds the notification's business fields as k=v&k=v,
// sorted, without nonce_str, sign_type and sign: a redelivery with a fresh nonce
// keeps its id.
func V2ID(canonical, vendorID string) string {
	return id("v2", canonical, vendorID)
}

// id hashes the vendor before the subject: a vendor id holds no NUL, so no two
// pairs of vendor and subject are the same text.
func id(scheme, subject, vendorID string) string {
	sum := sha256.Sum256([]byte(scheme + "\x00" + vendorID + "\x00" + subject))
	return "evt_" + hex.EncodeToString(sum[:20])
}

// ErrMalformedMessage is returned for a queue message that is not the JSON of a
// [Message].
var ErrMalformedMessage = errors.New("event: malformed queue message")

// Message is one event for one vendor, as it stands in the queue.
type Message struct {
	// ID is the event's id, see [V3ID] and [V2ID]. It becomes the webhook-id.
	ID string `json:"id"`
	// VendorID names the vendor that the event is for.
	VendorID string `json:"vendor_id"`
	// Type is one of the constants or "wechatpay.<EVENT_TYPE>".
	Type string `json:"type"`
	// Timestamp is when the event occurred, RFC 3339 at +08:00.
	Timestamp string `json:"timestamp"`
	// Data is the event's data, a JSON object that the vendor gets as it is.
	Data jsontext.Value `json:"data"`
	// Origin goes beside the body.
	Origin Origin `json:"-"`
}

// Encode returns the message as the queue carries it: JSON, without the two
// characters that JSON allows and SQS refuses (U+FFFE and U+FFFF are written as
// escapes). A message that [Decode] would refuse is ErrMalformedMessage.
func (m Message) Encode() (string, error) {
	if err := m.check(); err != nil {
		return "", err
	}
	b, err := json.Marshal(m)
	if err != nil {
		// The cause may quote the data, which belongs in no error.
		return "", fmt.Errorf("%w: a member is not valid JSON or UTF-8", ErrMalformedMessage)
	}
	// In a JSON document the two can only stand inside a string.
	s := strings.ReplaceAll(string(b), "\uFFFE", `\ufffe`)
	return strings.ReplaceAll(s, "\uFFFF", `\uffff`), nil
}

// Decode reads a message that [Message.Encode] wrote. Anything but one JSON
// object with exactly the members of a Message, each once and none empty, is
// ErrMalformedMessage.
func Decode(body string) (Message, error) {
	var m Message
	if err := json.Unmarshal([]byte(body), &m, json.RejectUnknownMembers(true)); err != nil {
		return Message{}, fmt.Errorf("%w: not a JSON object of the expected members", ErrMalformedMessage)
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

func (m Message) check() error {
	switch {
	case m.ID == "":
		return fmt.Errorf("%w: no id", ErrMalformedMessage)
	case m.VendorID == "":
		return fmt.Errorf("%w: no vendor_id", ErrMalformedMessage)
	case m.Type == "":
		return fmt.Errorf("%w: no type", ErrMalformedMessage)
	case m.Timestamp == "":
		return fmt.Errorf("%w: no timestamp", ErrMalformedMessage)
	case m.Data.Kind() != '{':
		return fmt.Errorf("%w: data is not a JSON object", ErrMalformedMessage)
	}
	return nil
}
