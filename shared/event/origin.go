package event

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/trace"
)

// Origin says which callback an event came from, and which car and member it is
// about without naming them, so that the log lines of its delivery can be found
// by whoever has the callback's. It travels beside the body, in attributes of the
// queue's message, because what makes the hashes is a secret that the delivery
// function does not have. All of it may be empty.
type Origin struct {
	// Traceparent is that of the callback, see package trace.
	Traceparent string
	// RequestID is API Gateway's id of the callback.
	RequestID string
	// PlateHash and OpenIDHash are what telemetry.Hash made of them.
	PlateHash, OpenIDHash string
}

// The names of an origin's attributes.
const (
	requestIDAttribute  = "request_id"
	plateHashAttribute  = "plate_hash"
	openIDHashAttribute = "openid_hash"
)

func isRequestID(s string) bool { return charset.Fits(s, 64, charset.Alphanumeric+"_=-") }

func isHash(s string) bool { return len(s) == 16 && charset.Fits(s, 16, charset.Digits+"abcdef") }

// Attributes returns the origin as message attributes, and nil for an empty one.
func (o Origin) Attributes() map[string]types.MessageAttributeValue {
	var attributes map[string]types.MessageAttributeValue
	for name, value := range o.byName {
		if value == "" {
			continue
		}
		if attributes == nil {
			attributes = make(map[string]types.MessageAttributeValue, 4)
		}
		attributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
	}
	return attributes
}

// byName yields each attribute's name and value.
func (o Origin) byName(yield func(name, value string) bool) {
	_ = yield(trace.Header, o.Traceparent) && yield(requestIDAttribute, o.RequestID) &&
		yield(plateHashAttribute, o.PlateHash) && yield(openIDHashAttribute, o.OpenIDHash)
}

// ReadOrigin reads an origin from message attributes, of which attribute returns
// the text. What does not have the form that the gateway writes is left out: an
// event is delivered whether or not its origin is known.
func ReadOrigin(attribute func(name string) string) Origin {
	keep := func(name string, fits func(string) bool) string {
		if value := attribute(name); fits(value) {
			return value
		}
		return ""
	}
	o := Origin{
		RequestID: keep(requestIDAttribute, isRequestID),
		PlateHash: keep(plateHashAttribute, isHash), OpenIDHash: keep(openIDHashAttribute, isHash),
	}
	if t := attribute(trace.Header); trace.Valid(t) {
		o.Traceparent = t
	}
	return o
}
