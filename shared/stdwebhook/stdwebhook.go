// Package stdwebhook signs and verifies Standard Webhooks messages, symmetric
// version v1. The gateway uses it in both directions: vendors sign their
// requests with it, and the gateway signs its events.
//
// The rooms that check a vendor's request, send an event, or keep either
// side's secrets may import it; it imports no other room. It knows bytes, keys
// and times: no network, no clock of its own, no HTTP type.
//
// Source: the Standard Webhooks specification 1.0.0,
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
// Where it leaves room, this package is strict: one way to write a timestamp,
// an identifier and a signature.
package stdwebhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// The three headers, in the lower case that HTTP/2 and API Gateway use.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// Tolerance is how far a timestamp may be from the clock, either way,
// inclusive.
const Tolerance = 5 * time.Minute

const (
	version            = "v1,"
	maxIDLength        = 256
	maxTimestampLength = 11
	maxSignatures      = 16
)

// The ways in which a well-formed message is not accepted.
var (
	ErrTooOld       = errors.New("stdwebhook: the timestamp is too old")
	ErrTooNew       = errors.New("stdwebhook: the timestamp is too new")
	ErrBadSignature = errors.New("stdwebhook: no signature matches")
)

// HeaderError says which header is absent or cannot be read.
type HeaderError struct {
	// Header is the lower-case name, one of the three constants.
	Header string
	// Missing is true when the header is absent or empty.
	Missing bool
	// Detail is one plain sentence that never repeats the header's value.
	Detail string
}

// Error returns the header's name and the detail.
func (e *HeaderError) Error() string { return "stdwebhook: " + e.Header + ": " + e.Detail }

// Message is what the three headers of one message say. It is not yet to be
// trusted: CheckTime and Verify decide that.
type Message struct {
	// ID is the message's identifier, 1 to 256 printable ASCII characters
	// without spaces and full stops.
	ID string
	// Timestamp is when the sender signed it, to the second.
	Timestamp time.Time

	signatures [][sha256.Size]byte
}

// SignedText returns the text that a signature is over, for people who look into it: id.timestamp.body, with the headers'
// values as they are.
func SignedText(id, timestamp string, body []byte) string {
	return id + "." + timestamp + "." + string(body)
}

// Sign returns the webhook-signature header: one "v1,<base64>" for each secret,
// in their order, separated by spaces. timestamp counts to the second; the
// webhook-timestamp header that belongs to it is its Unix time in decimal.
// The id must not hold a full stop, or the signed text could be cut in two
// ways.
func Sign(id string, timestamp time.Time, body []byte, secrets []Secret) string {
	signedAt := unixText(timestamp)
	var mac [sha256.Size]byte
	tokenLength := len(version) + base64.StdEncoding.EncodedLen(len(mac))
	header := make([]byte, 0, len(secrets)*(tokenLength+1))
	for _, secret := range secrets {
		if secret.key == nil {
			continue
		}
		if len(header) > 0 {
			header = append(header, ' ')
		}
		header = append(header, version...)
		header = base64.StdEncoding.AppendEncode(header, secret.mac(mac[:0], id, signedAt, body))
	}
	return string(header)
}

// ParseHeader reads the three headers' values. The error is a *HeaderError: for
// the first that is missing, else for the first that is malformed.
//
// The signature header is a list separated by single spaces, of at most 16
// tokens. A token "v1,<base64>" must hold strict base64 of 32 bytes; a token of
// another version, such as v1a, is left to those who understand it; without
// any v1 token the header is malformed.
func ParseHeader(id, timestamp, signature string) (Message, error) {
	for _, header := range [...]struct{ name, value string }{
		{HeaderID, id}, {HeaderTimestamp, timestamp}, {HeaderSignature, signature},
	} {
		if header.value == "" {
			return Message{}, &HeaderError{Header: header.name, Missing: true, Detail: "The header is missing."}
		}
	}
	if detail := checkID(id); detail != "" {
		return Message{}, &HeaderError{Header: HeaderID, Detail: detail}
	}
	signedAt, ok := parseTimestamp(timestamp)
	if !ok {
		return Message{}, &HeaderError{Header: HeaderTimestamp, Detail: "The timestamp must be Unix seconds in decimal digits, without a sign or leading zeros."}
	}
	signatures, detail := parseSignatures(signature)
	if detail != "" {
		return Message{}, &HeaderError{Header: HeaderSignature, Detail: detail}
	}
	return Message{ID: id, Timestamp: signedAt, signatures: signatures}, nil
}

// CheckTime returns ErrTooOld or ErrTooNew when the message's timestamp is more
// than Tolerance away from now.
func (m Message) CheckTime(now time.Time) error {
	// Whole seconds are compared, as the timestamp has no others.
	now = now.Truncate(time.Second)
	if m.Timestamp.Before(now.Add(-Tolerance)) {
		return ErrTooOld
	}
	if m.Timestamp.After(now.Add(Tolerance)) {
		return ErrTooNew
	}
	return nil
}

// Verify returns nil when any of the message's signatures was made over this
// body with any of the secrets, else ErrBadSignature. Every pair is compared,
// each in constant time, so the time taken does not tell which one matched.
func (m Message) Verify(body []byte, secrets []Secret) error {
	timestamp := unixText(m.Timestamp)
	matched := 0
	for _, secret := range secrets {
		if secret.key == nil {
			continue
		}
		var buf [sha256.Size]byte
		want := secret.mac(buf[:0], m.ID, timestamp, body)
		for i := range m.signatures {
			matched |= subtle.ConstantTimeCompare(want, m.signatures[i][:])
		}
	}
	if matched == 0 {
		return ErrBadSignature
	}
	return nil
}

func checkID(id string) string {
	if len(id) > maxIDLength {
		return "The identifier must be at most 256 characters long."
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '.' {
			return "The identifier must be printable ASCII without spaces and full stops."
		}
	}
	return ""
}

func parseTimestamp(s string) (time.Time, bool) {
	if len(s) > maxTimestampLength || len(s) > 1 && s[0] == '0' {
		return time.Time{}, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return time.Time{}, false
		}
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

const wantSignature = `A signature after "v1," must be standard base64 of 32 bytes.`

// parseSignatures returns the v1 signatures, or a sentence that says what is
// wrong.
func parseSignatures(header string) ([][sha256.Size]byte, string) {
	if strings.Count(header, " ") >= maxSignatures {
		return nil, "The header must hold at most 16 signatures."
	}
	var signatures [][sha256.Size]byte
	otherLength := false
	for token := range strings.SplitSeq(header, " ") {
		if token == "" {
			return nil, "The signatures must be separated by single spaces."
		}
		encoded, ok := strings.CutPrefix(token, version)
		if !ok {
			continue
		}
		signature, ok := decodeBase64(encoded)
		if !ok {
			return nil, wantSignature
		}
		// One of another length than an HMAC-SHA256 matches nothing, and does no harm beside one that may.
		if len(signature) == sha256.Size {
			signatures = append(signatures, [sha256.Size]byte(signature))
		} else {
			otherLength = true
		}
	}
	if len(signatures) == 0 && otherLength {
		return nil, wantSignature
	}
	if len(signatures) == 0 {
		return nil, `The header must hold a signature that begins with "v1,".`
	}
	return signatures, ""
}
