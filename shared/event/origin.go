package event

import (
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

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

var (
	requestIDForm = regexp.MustCompile(`^[A-Za-z0-9_=-]{1,64}$`)
	hashForm      = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

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
	keep := func(name string, form *regexp.Regexp) string {
		if value := attribute(name); form.MatchString(value) {
			return value
		}
		return ""
	}
	o := Origin{
		RequestID: keep(requestIDAttribute, requestIDForm),
		PlateHash: keep(plateHashAttribute, hashForm), OpenIDHash: keep(openIDHashAttribute, hashForm),
	}
	if t := attribute(trace.Header); trace.Valid(t) {
		o.Traceparent = t
	}
	return o
}
