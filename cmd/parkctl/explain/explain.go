// Package explain says why a captured message's signature verifies or does not: step by step, and with one cause out of a
// closed list. It knows every signature that passes through the gateway: the vendors' requests and the events to them
// (Standard Webhooks), WeChat Pay's V2 XML, its V3 answers and callbacks, and the gateway's own V3 requests.
//
// Where a signature does not verify, the usual mistakes are made one by one until one of them gives the signature that is
// there: a body that was encoded anew on its way, another key, MD5, a line end that was left out. An RSA signature tells
// more: it opens with the key that it was made with, whatever was signed, so a wrong key and a changed content are told
// apart for certain.
//
// A report shows what is in the message, which is the reader's own: the text that was signed holds plates and openids. It
// never shows a key: keys are named by their place in the secrets. Only cmd/parkctl may import this package.
package explain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Cause is why a message does or does not verify.
type Cause string

// The causes; programs act on them, so only append.
const (
	// Verified: there is nothing wrong.
	Verified Cause = "verified"
	// HeaderLost: a header that the signature needs is not there; proxies drop what they do not know.
	HeaderLost Cause = "header_lost"
	// HeaderTwice: a header came more than once.
	HeaderTwice Cause = "header_twice"
	// Malformed: the message is not of a form that can be verified.
	Malformed Cause = "malformed"
	// EscapedXML: the XML came with &lt; and &gt; in place of its tags.
	EscapedXML Cause = "escaped_xml"
	// BodyTruncated: the body is shorter than its Content-Length.
	BodyTruncated Cause = "body_truncated"
	// BodyReencoded: the body was signed in another encoding of the same content.
	BodyReencoded Cause = "body_reencoded"
	// ContentChanged: the right key signed another content.
	ContentChanged Cause = "content_changed"
	// WrongKey: another key signed.
	WrongKey Cause = "wrong_key"
	// UnknownKey: the message names a key that is not at hand.
	UnknownKey Cause = "unknown_key"
	// TruncatedKeyID: the id of the key was cut short, in the message or in the configuration.
	TruncatedKeyID Cause = "truncated_key_id"
	// MerchantCertificate: the merchant's own certificate stands where WeChat Pay's key belongs.
	MerchantCertificate Cause = "merchant_certificate"
	// MD5SignType: MD5 was used in place of HMAC-SHA256.
	MD5SignType Cause = "md5_sign_type"
	// KeyNotAppended: the V2 string was signed without &key= and the key at its end.
	KeyNotAppended Cause = "key_not_appended"
	// SignatureForm: the signature's bytes are right and its spelling is not (hexadecimal for base64, small letters).
	SignatureForm Cause = "signature_form"
	// SecretNotDecoded: the text whsec_… was used as the key, in place of the bytes that it encodes.
	SecretNotDecoded Cause = "secret_not_decoded"
	// WrongString: another text was signed than the scheme asks for.
	WrongString Cause = "wrong_string"
	// MissingTrailingNewline: a V3 text was signed without its last line end.
	MissingTrailingNewline Cause = "missing_trailing_newline"
	// StaleClock and ClockAhead: the signature is good and its time is more than five minutes off.
	StaleClock Cause = "stale_clock"
	ClockAhead Cause = "clock_ahead"
	// TimestampInMilliseconds: the timestamp counts milliseconds.
	TimestampInMilliseconds Cause = "timestamp_in_milliseconds"
	// BadBase64: the signature is not base64.
	BadBase64 Cause = "bad_base64"
	// Probe: WeChat Pay made the signature wrong on purpose, to see that it is refused.
	Probe Cause = "probe"
	// Unsigned: a refusal of WeChat Pay's, which carries no signature.
	Unsigned Cause = "unsigned"
	// Undecryptable: the signature is good, and no APIv3 key opens the content.
	Undecryptable Cause = "undecryptable"
	// NoMatch: no key at hand and no usual mistake gives this signature. Another key was used, or the content was changed.
	NoMatch Cause = "no_match"
)

// advice says what to do about a cause.
var advice = map[Cause]string{
	HeaderLost:              "let every proxy, CDN and API gateway on the way pass the header on; names are case-insensitive",
	HeaderTwice:             "send the header once; see whether a proxy adds its own",
	Malformed:               "capture the message again as raw bytes, with its headers",
	EscapedXML:              "send the XML itself as the body; something on the way escapes it as HTML",
	BodyTruncated:           "capture the whole body; see whether a proxy cuts it",
	BodyReencoded:           "sign and verify the raw bytes; parse them afterwards, and never encode them again in between",
	ContentChanged:          "find out who changes the body on its way; sign exactly the bytes that are sent",
	WrongKey:                "use the key that this message is signed with, see the steps",
	UnknownKey:              "add WeChat Pay's key of that id (docs/rotation.md), or see who sent this",
	TruncatedKeyID:          "copy the whole id: PUB_KEY_ID_ and 34 digits (`parkctl secret check`)",
	MerchantCertificate:     "put WeChat Pay's public key or platform certificate there; apiclient_cert.pem is the merchant's own (`parkctl secret check`)",
	MD5SignType:             "sign with HMAC-SHA256 and send sign_type=HMAC-SHA256; the vehicle interfaces know no other",
	KeyNotAppended:          "append &key= and the APIv2 key to the string, and use the key for HMAC-SHA256 as well",
	SignatureForm:           "write the signature as the scheme asks: V2 64 capital hexadecimal digits, all others standard base64",
	SecretNotDecoded:        "cut off whsec_ and base64-decode the rest: those bytes are the key",
	WrongString:             "sign the text that the steps show, all of it and in this order",
	MissingTrailingNewline:  "end every line of the text with \\n, the last one too, also where the body is empty",
	StaleClock:              "set the sender's clock by NTP, and sign each try anew; if the message is simply old, say when it came with --at",
	ClockAhead:              "set the sender's clock by NTP",
	TimestampInMilliseconds: "send Unix seconds, 10 digits",
	BadBase64:               "send standard base64, with its padding and with + and / as they are",
	Probe:                   "nothing: refuse it like any other wrong signature, the right one is sent again",
	Unsigned:                "read its code and message; believe nothing else in it",
	Undecryptable:           "add the APIv3 key that the merchant console has now in front of api_v3_keys",
	NoMatch:                 "compare the text and the body's SHA-256 with the sender's; then compare the keys' fingerprints (of a vendor's: `parkctl vendor show`)",
}

// Causes returns the closed list of causes.
func Causes() []Cause {
	return append(slices.Sorted(maps.Keys(advice)), Verified)
}

// Step is one thing that was looked at.
type Step struct {
	// OK says whether it is as it must be; nil where nothing is judged.
	OK     *bool  `json:"ok,omitzero"`
	What   string `json:"what"`
	Detail string `json:"detail"`
}

// Report is what was found.
type Report struct {
	Kind     Kind   `json:"kind"`
	Verified bool   `json:"verified"`
	Cause    Cause  `json:"cause"`
	Why      string `json:"why"`
	Do       string `json:"do,omitzero"`
	Steps    []Step `json:"steps"`
}

// explainer is a report in the making.
type explainer struct {
	Report
	message Message
	keys    Keys
	now     time.Time
}

// Explain looks at a message with the keys at hand. at is when the message was received, as far as it does not say so
// itself.
func Explain(message Message, keys Keys, at time.Time) Report {
	if !message.At.IsZero() {
		at = message.At
	}
	e := &explainer{message: message, keys: keys, now: at}
	e.Kind = kindOf(message)
	e.note("kind", describe[e.Kind])
	for _, remark := range message.Remarks {
		e.note("capture", remark)
	}
	sum := sha256.Sum256(message.Body)
	e.note("body", fmt.Sprintf("%d bytes, SHA-256 %s", len(message.Body), hex.EncodeToString(sum[:])))
	switch e.Kind {
	case VendorRequest, VendorEvent:
		e.webhook()
	case V3Callback, V3Answer:
		e.v3Answer()
	case V3Request:
		e.v3Request()
	case V2Callback, V2Answer, V2Request:
		e.v2()
	default:
		e.conclude(Malformed, "this is no message that the gateway signs or verifies: there is neither a webhook-*, a Wechatpay-* nor an Authorization header, nor an XML body")
	}
	e.Verified = e.Cause == Verified
	e.Do = e.todo()
	return e.Report
}

// todo says what to do. Of a key that is not at hand it depends on whose key that is.
func (e *explainer) todo() string {
	if e.Cause != UnknownKey {
		return advice[e.Cause]
	}
	switch e.Kind {
	case VendorRequest, VendorEvent:
		return "compare the vendor's id with those of `parkctl vendor list`, or name its hand-over file with --handover"
	case V3Request:
		return "name the private key's document with --merchant-key-file, or run this where the stack's secrets may be read"
	case V2Request, V2Answer, V2Callback:
		return "name the merchant's document with --merchant-file, or run this where the stack's secrets may be read"
	default:
		return advice[UnknownKey]
	}
}

func (e *explainer) note(what, format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	e.Steps = append(e.Steps, Step{What: what, Detail: format})
}

func (e *explainer) judge(ok bool, what, format string, args ...any) {
	e.Steps = append(e.Steps, Step{OK: &ok, What: what, Detail: fmt.Sprintf(format, args...)})
}

// conclude sets the cause. The first one stays.
func (e *explainer) conclude(cause Cause, format string, args ...any) {
	if e.Cause == "" {
		e.Cause, e.Why = cause, fmt.Sprintf(format, args...)
	}
}

// maxShown is how much of a signed text a step shows, in bytes.
const maxShown = 4096

// visible makes line ends and other characters that are not seen visible.
func visible(text string) string {
	cut := ""
	if len(text) > maxShown {
		end := maxShown
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text, cut = text[:end], fmt.Sprintf("… (%d bytes more)", len(text)-end)
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02X`, text[0])
		case r < ' ' || r == 0x7f || r == 0xFEFF || 0x80 <= r && r < 0xA0 || 0x200B <= r && r <= 0x200F || 0x202A <= r && r <= 0x202E || 0x2066 <= r && r <= 0x2069:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String() + cut
}
