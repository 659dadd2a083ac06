package idempotency

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// record is an item as it is read back.
type record struct {
	state, owner string
	fingerprint  []byte
	lease        int64 // Unix milliseconds, of a running claim
	expiresAt    int64 // Unix seconds
	answer       Answer
}

// parseRecord reads an item. What it does not expect is an error: an item that
// somebody else wrote must not become an answer to a vendor.
func parseRecord(item map[string]types.AttributeValue) (record, error) {
	f := fields{item: item}
	r := record{
		state:       f.text("state"),
		owner:       f.text("owner"),
		fingerprint: f.binary("fingerprint"),
		expiresAt:   f.number("expires_at"),
	}
	switch r.state {
	case running:
		r.lease = f.number("lease")
	case done:
		r.answer = Answer{Status: int(f.number("status")), Body: f.binary("body")}
	default:
		f.missing("state")
	}
	if f.bad != "" {
		return record{}, fmt.Errorf("%w: attribute %s", ErrMalformedRecord, f.bad)
	}
	return r, nil
}

// fields reads attributes and remembers the first that is absent or of another
// type.
type fields struct {
	item map[string]types.AttributeValue
	bad  string
}

func (f *fields) missing(name string) {
	if f.bad == "" {
		f.bad = name
	}
}

func (f *fields) text(name string) string {
	v, ok := f.item[name].(*types.AttributeValueMemberS)
	if !ok {
		f.missing(name)
		return ""
	}
	return v.Value
}

func (f *fields) binary(name string) []byte {
	v, ok := f.item[name].(*types.AttributeValueMemberB)
	if !ok {
		f.missing(name)
		return nil
	}
	return v.Value
}

func (f *fields) number(name string) int64 {
	v, ok := f.item[name].(*types.AttributeValueMemberN)
	if !ok {
		f.missing(name)
		return 0
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		f.missing(name)
	}
	return n
}

func text(s string) types.AttributeValue {
	return &types.AttributeValueMemberS{Value: s}
}

// binary never holds nil, which the client would not send as an empty value.
func binary(b []byte) types.AttributeValue {
	if b == nil {
		b = []byte{}
	}
	return &types.AttributeValueMemberB{Value: b}
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// names maps a placeholder #name to each name.
func names(list ...string) map[string]string {
	m := make(map[string]string, len(list))
	for _, name := range list {
		m["#"+name] = name
	}
	return m
}
