package explain

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"html"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/stdwebhook"
)

// option is one way in which a signer may have done one part of the work; the zero cause is the right way.
type option[T any] struct {
	value T
	cause Cause
	why   string
}

// only returns the right way alone.
func only[T any](value T) []option[T] { return []option[T]{{value: value}} }

// fault joins what was done wrong.
type fault struct {
	cause Cause
	whys  []string
}

func (f fault) with(cause Cause, why string) fault {
	if cause == "" {
		return f
	}
	joined := fault{f.cause, append(append([]string{}, f.whys...), why)}
	if joined.cause == "" {
		joined.cause = cause
	}
	return joined
}

// signedText is a text that may have been signed.
type signedText = option[string]

// headersThere judges whether headers are there, each once.
func (e *explainer) headersThere(names ...string) bool {
	var missing, twice []string
	for _, name := range names {
		values := e.message.Header[name]
		switch {
		case len(values) == 0 || len(values) == 1 && values[0] == "":
			missing = append(missing, name)
		case len(values) > 1, strings.Contains(values[0], ","):
			// API Gateway joins a header that came twice with a comma; these headers have none of their own.
			if name != stdwebhook.HeaderSignature || len(values) > 1 || strings.Contains(values[0], ",v1,") {
				twice = append(twice, name)
			}
		}
	}
	e.judge(len(missing) == 0, "headers", "%s", thereOrNot(names, missing))
	if len(missing) > 0 {
		e.conclude(HeaderLost, "the message has no %s", strings.Join(missing, ", "))
		return false
	}
	if len(twice) > 0 {
		e.conclude(HeaderTwice, "%s came more than once", strings.Join(twice, ", "))
		return false
	}
	return true
}

func thereOrNot(names, missing []string) string {
	if len(missing) == 0 {
		return strings.Join(names, ", ") + " are there"
	}
	return "missing: " + strings.Join(missing, ", ")
}

// tolerance is how far a timestamp may be off; both schemes have the same.
const tolerance = 5 * time.Minute

// clock judges a timestamp header. It returns false when the message can go no further.
func (e *explainer) clock(text string) bool {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		e.judge(false, "clock", "the timestamp is not a number")
		e.conclude(Malformed, "the timestamp is not Unix seconds in digits")
		return false
	}
	if len(text) == 13 {
		e.judge(false, "clock", "the timestamp has 13 digits: %s in milliseconds", time.UnixMilli(seconds).UTC().Format(time.RFC3339))
		e.conclude(TimestampInMilliseconds, "the timestamp counts milliseconds; it must count seconds")
		return false
	}
	age := e.now.Truncate(time.Second).Sub(time.Unix(seconds, 0))
	received := "now"
	if !e.message.At.IsZero() {
		received = "when it was received"
	}
	switch {
	case age > tolerance:
		e.judge(false, "clock", "signed %s, %s before %s; at most 5 minutes are accepted", time.Unix(seconds, 0).UTC().Format(time.RFC3339), age, received)
	case age < -tolerance:
		e.judge(false, "clock", "signed %s, %s after %s; at most 5 minutes are accepted", time.Unix(seconds, 0).UTC().Format(time.RFC3339), -age, received)
	default:
		e.judge(true, "clock", "signed %s, %s off", time.Unix(seconds, 0).UTC().Format(time.RFC3339), age)
	}
	return true
}

// lateOrEarly concludes from the clock once the signature is good.
func (e *explainer) lateOrEarly(text string) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return
	}
	switch age := e.now.Truncate(time.Second).Sub(time.Unix(seconds, 0)); {
	case age > tolerance:
		e.conclude(StaleClock, "the signature is good and %s old", age)
	case age < -tolerance:
		e.conclude(ClockAhead, "the signature is good and its time is %s ahead", -age)
	}
}

// webhook explains a Standard Webhooks message.
func (e *explainer) webhook() {
	m := e.message
	if !e.headersThere(stdwebhook.HeaderID, stdwebhook.HeaderTimestamp, stdwebhook.HeaderSignature) {
		return
	}
	id, timestamp := m.get(stdwebhook.HeaderID), m.get(stdwebhook.HeaderTimestamp)
	e.note("text", "%s", visible(stdwebhook.SignedText(id, timestamp, m.Body)))
	going := e.clock(timestamp)

	secrets, tried := e.secrets()
	if len(tried) == 0 {
		e.conclude(UnknownKey, "no secret of this vendor is at hand")
		return
	}
	e.note("keys", "tried: %s", strings.Join(tried, ", "))
	signatures := webhookSignatures(m.get(stdwebhook.HeaderSignature))
	if len(signatures) == 0 {
		e.judge(false, "signature", "webhook-signature holds no v1,<base64 of 32 bytes>")
		e.conclude(BadBase64, "webhook-signature holds no v1,<base64 of 32 bytes>")
		return
	}
	if !going {
		// The cause is known; what the signature says is still worth a line.
		if f, ok := matchWebhook(secrets, only(stdwebhook.SignedText(id, timestamp, m.Body)), signatures); ok && f.cause == "" {
			e.judge(true, "signature", "it is the right one for this text")
		}
		return
	}
	texts := []signedText{{value: stdwebhook.SignedText(id, timestamp, m.Body)}}
	for _, v := range variants(m.Body) {
		texts = append(texts, signedText{stdwebhook.SignedText(id, timestamp, v.body), BodyReencoded, "the body was signed " + v.name})
	}
	body := string(m.Body)
	texts = append(texts,
		signedText{stdwebhook.SignedText(id, timestamp, nil), WrongString, "the text was signed as if there were no body"},
		signedText{body, WrongString, "the body alone was signed, without webhook-id and webhook-timestamp"},
		signedText{timestamp + "." + body, WrongString, "webhook-timestamp.body was signed, without webhook-id"},
		signedText{id + "." + body, WrongString, "webhook-id.body was signed, without webhook-timestamp"},
		signedText{timestamp + "." + id + "." + body, WrongString, "webhook-timestamp and webhook-id were signed in the other order"},
		signedText{id + timestamp + body, WrongString, "the parts were signed without the full stops between them"},
		signedText{id + "\n" + timestamp + "\n" + body, WrongString, "the parts were signed with line ends in place of full stops"})
	f, ok := matchWebhook(secrets, texts, signatures)
	e.concludeSymmetric(f, ok)
	if e.Cause == "" {
		e.lateOrEarly(timestamp)
		e.conclude(Verified, "the signature verifies")
	}
}

// concludeSymmetric concludes from what a search found; the cause stays open where the signature is good.
func (e *explainer) concludeSymmetric(f fault, ok bool) {
	switch {
	case !ok:
		e.judge(false, "signature", "no key at hand and no usual mistake gives it")
		if e.message.truncated() {
			e.conclude(BodyTruncated, "the captured body is shorter than its Content-Length, so that nothing can verify")
		}
		e.conclude(NoMatch, "no key at hand and no usual mistake gives this signature: another key was used, or the content was changed")
	case f.cause == "":
		e.judge(true, "signature", "%s", strings.Join(f.whys, "; "))
	default:
		e.judge(false, "signature", "%s", strings.Join(f.whys, "; "))
		e.conclude(f.cause, "%s", strings.Join(f.whys, "; "))
	}
}

// secrets returns the keys that may have signed, the right ones first, and the names of the right ones.
func (e *explainer) secrets() (keys []option[[]byte], tried []string) {
	asked := ""
	if rest, ok := strings.CutPrefix(e.message.URI, "/v1/vendors/"); ok {
		asked, _, _ = strings.Cut(rest, "/")
		asked, _, _ = strings.Cut(asked, "?")
	}
	var wrong []option[[]byte]
	for _, id := range sortedKeys(e.keys.vendors) {
		v := e.keys.vendors[id]
		own, other, otherName := v.request, v.webhook, "the other direction's secret"
		if e.Kind == VendorEvent {
			own, other = v.webhook, v.request
		}
		for _, key := range own {
			if asked != "" && asked != id {
				wrong = append(wrong, option[[]byte]{decoded(key.text), WrongKey, "signed with another vendor's secret, " + key.name})
				continue
			}
			tried = append(tried, key.name)
			keys = append(keys, option[[]byte]{decoded(key.text), "", ""})
			keys[len(keys)-1].why = "key " + key.name
			bare := strings.TrimPrefix(key.text, "whsec_")
			wrong = append(wrong,
				option[[]byte]{[]byte(key.text), SecretNotDecoded, "the text of " + key.name + " was used as the key, whsec_ and all"},
				option[[]byte]{[]byte(bare), SecretNotDecoded, "the base64 text of " + key.name + " was used as the key, in place of the bytes that it encodes"})
		}
		for _, key := range other {
			wrong = append(wrong, option[[]byte]{decoded(key.text), WrongKey, "signed with " + otherName + ", " + key.name})
		}
	}
	for _, list := range [][]named{e.keys.v2, e.keys.v3} {
		for _, key := range list {
			wrong = append(wrong, option[[]byte]{[]byte(key.text), WrongKey, "signed with WeChat Pay's " + key.name})
		}
	}
	return append(keys, wrong...), tried
}

// signatureBytes is one reading of a signature; the right form has no cause.
type signatureBytes = option[[]byte]

func webhookSignatures(header string) (list []signatureBytes) {
	for token := range strings.FieldsSeq(header) {
		encoded, isV1 := strings.CutPrefix(token, "v1,")
		if !isV1 {
			encoded = token[strings.LastIndexByte(token, ',')+1:]
		}
		for _, form := range []struct {
			decode func(string) ([]byte, error)
			why    string
		}{
			{base64.StdEncoding.Strict().DecodeString, ""},
			{hex.DecodeString, "the signature is written in hexadecimal"},
			{base64.RawStdEncoding.DecodeString, "the signature is base64 without its padding"},
			{base64.URLEncoding.DecodeString, "the signature is base64url, with - and _"},
			{base64.RawURLEncoding.DecodeString, "the signature is base64url without padding"},
		} {
			b, err := form.decode(encoded)
			if err != nil || len(b) != sha256.Size {
				continue
			}
			s := signatureBytes{value: b}
			switch {
			case form.why != "":
				s.cause, s.why = SignatureForm, form.why
			case !isV1:
				s.cause, s.why = SignatureForm, "the signature does not begin with v1,"
			}
			list = append(list, s)
			break
		}
	}
	return list
}

// matchWebhook looks for the way in which a signature was made, with the fewest things wrong.
func matchWebhook(keys []option[[]byte], texts []signedText, signatures []signatureBytes) (fault, bool) {
	return fewest(keys, texts, func(key []byte, text string) (fault, bool) {
		if len(key) == 0 {
			return fault{}, false
		}
		mac := keyed(sha256.New, key, text)
		for _, s := range signatures {
			if hmac.Equal(mac, s.value) {
				return fault{}.with(s.cause, s.why), true
			}
		}
		return fault{}, false
	})
}

func keyed(newHash func() hash.Hash, key []byte, text string) []byte {
	h := hmac.New(newHash, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// maxWrongPairs bounds how many keys that are wrong are tried with texts that are wrong.
const maxWrongPairs = 8

// fewest tries every key with every text: what is right with what is right first, then what has one thing wrong, then two.
func fewest[K, T any](keys []option[K], texts []option[T], try func(key K, text T) (fault, bool)) (fault, bool) {
	for wrong := range 3 {
		wrongKeys := 0
		for _, key := range keys {
			if wrong == 2 && key.cause != "" {
				if wrongKeys++; wrongKeys > maxWrongPairs {
					continue
				}
			}
			for _, text := range texts {
				if count(key.cause)+count(text.cause) != wrong {
					continue
				}
				form, ok := try(key.value, text.value)
				if !ok {
					continue
				}
				found := fault{}
				if wrong == 0 && key.why != "" {
					found.whys = []string{key.why}
				}
				found = found.with(key.cause, key.why).with(text.cause, text.why)
				for _, why := range form.whys {
					found = found.with(form.cause, why)
				}
				return found, true
			}
		}
	}
	return fault{}, false
}

func count(c Cause) int {
	if c == "" {
		return 0
	}
	return 1
}

// v2 explains a V2 message.
func (e *explainer) v2() {
	body := e.message.Body
	doc, err := flatxml.Parse(body)
	if err != nil {
		if bytes.Contains(body, []byte("&lt;xml")) {
			e.judge(false, "XML", "its tags are escaped as &lt;…&gt;")
			e.conclude(EscapedXML, "the body is HTML-escaped XML")
			return
		}
		if _, err := flatxml.Parse(bytes.TrimPrefix(body, []byte("\uFEFF"))); err == nil {
			e.judge(false, "XML", "a byte order mark stands in front of it")
			e.conclude(BodyReencoded, "a byte order mark stands in front of the XML")
			return
		}
		e.judge(false, "XML", "%s", strings.TrimPrefix(err.Error(), "flatxml: "))
		if e.message.truncated() {
			e.conclude(BodyTruncated, "the captured body is shorter than its Content-Length")
		}
		e.conclude(Malformed, "the body is not the flat XML that WeChat Pay sends: %s", strings.TrimPrefix(err.Error(), "flatxml: "))
		return
	}
	e.judge(true, "XML", "%d elements, flat, each once", len(doc))
	sign, hasSign := doc.Lookup("sign")
	if !hasSign || sign == "" {
		e.judge(false, "sign", "there is no sign element")
		if doc.Get("return_code") == "FAIL" {
			e.conclude(Unsigned, "return_code=FAIL comes without a signature: %s", visible(doc.Get("return_msg")))
			return
		}
		e.conclude(Malformed, "there is no sign element")
		return
	}
	e.note("text", "%s&key=***", visible(signing.CanonicalV2(doc)))
	if strings.HasPrefix(sign, "WECHATPAY/SIGNTEST/") {
		e.conclude(Probe, "the sign begins with WECHATPAY/SIGNTEST/")
		return
	}
	signType := doc.Get("sign_type")
	e.judge(signType == "" || signType == signing.SignTypeHMACSHA256, "sign_type", "%s", orAbsent(signType))
	keys, tried := e.v2Keys()
	if len(tried) == 0 {
		e.conclude(UnknownKey, "no APIv2 key is at hand")
		return
	}
	e.note("keys", "tried: %s", strings.Join(tried, ", "))
	f, ok := fewest(keys, v2Texts(doc), func(how v2Key, text string) (fault, bool) {
		mac := how.mac(text)
		switch {
		case sign == strings.ToUpper(hex.EncodeToString(mac)):
			return fault{}, true
		case strings.EqualFold(sign, hex.EncodeToString(mac)):
			return fault{}.with(SignatureForm, "the sign is written in small letters"), true
		}
		return fault{}, false
	})
	if signType != "" && signType != signing.SignTypeHMACSHA256 {
		if ok && f.cause == "" {
			e.judge(true, "signature", "it is HMAC-SHA256's all the same")
		}
		e.conclude(MD5SignType, "sign_type names %s; the gateway accepts HMAC-SHA256 alone, so that nobody can choose the weaker one", visible(signType))
	}
	e.concludeSymmetric(f, ok)
	e.conclude(Verified, "the signature verifies")
}

func orAbsent(text string) string {
	if text == "" {
		return "absent, which means HMAC-SHA256 on the vehicle interfaces"
	}
	return visible(text)
}

// v2Key is a key and what is done with it.
type v2Key struct {
	text   string
	bare   bool // without &key= in the text
	md5    bool
	noHMAC bool // a plain hash of the text
}

func (k v2Key) mac(text string) []byte {
	if !k.bare {
		text += "&key=" + k.text
	}
	switch {
	case k.md5:
		sum := md5.Sum([]byte(text))
		return sum[:]
	case k.noHMAC:
		sum := sha256.Sum256([]byte(text))
		return sum[:]
	}
	return keyed(sha256.New, []byte(k.text), text)
}

func (e *explainer) v2Keys() (keys []option[v2Key], tried []string) {
	var wrong []option[v2Key]
	for _, key := range e.keys.v2 {
		tried = append(tried, key.name)
		keys = append(keys, option[v2Key]{value: v2Key{text: key.text}, why: "key " + key.name})
		wrong = append(wrong,
			option[v2Key]{v2Key{text: key.text, md5: true}, MD5SignType, "signed by MD5 with " + key.name},
			option[v2Key]{v2Key{text: key.text, bare: true}, KeyNotAppended, "signed with " + key.name + ", without &key= and the key at the end of the text"},
			option[v2Key]{v2Key{text: key.text, noHMAC: true}, WrongString, "a plain SHA-256 of the text with " + key.name + ", not HMAC"},
			option[v2Key]{v2Key{text: strings.ToLower(key.text)}, WrongKey, "signed with " + key.name + " in small letters"},
			option[v2Key]{v2Key{text: strings.ToUpper(key.text)}, WrongKey, "signed with " + key.name + " in capitals"})
	}
	for _, key := range e.keys.v3 {
		wrong = append(wrong,
			option[v2Key]{v2Key{text: key.text}, WrongKey, "signed with an APIv3 key, " + key.name + ", where the APIv2 key belongs"},
			option[v2Key]{v2Key{text: key.text, md5: true}, WrongKey, "signed by MD5 with an APIv3 key, " + key.name})
	}
	return append(keys, wrong...), tried
}

// v2Texts returns the texts that may have been signed, the right one first.
func v2Texts(doc flatxml.Document) []signedText {
	texts := []signedText{{value: signing.CanonicalV2(doc)}}
	mapped := func(cause Cause, why string, change func(flatxml.Element) (flatxml.Element, bool)) {
		var other flatxml.Document
		for _, element := range doc {
			if element, keep := change(element); keep {
				other = append(other, element)
			}
		}
		texts = append(texts, signedText{signing.CanonicalV2(other), cause, why})
	}
	values := func(cause Cause, why string, change func(string) string) {
		mapped(cause, why, func(el flatxml.Element) (flatxml.Element, bool) {
			return flatxml.Element{Name: el.Name, Value: change(el.Value)}, true
		})
	}
	mapped(WrongString, "sign_type was left out of the text", func(el flatxml.Element) (flatxml.Element, bool) { return el, el.Name != "sign_type" })
	values(BodyReencoded, "the values were signed as XML escapes them (&quot; and the like)", html.EscapeString)
	values(BodyReencoded, "the values were signed as XML escapes them (&quot; and the like)", strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace)
	values(BodyReencoded, "the values were signed unescaped, and are escaped twice in the body", html.UnescapeString)
	values(WrongString, "the values were signed URL-encoded", url.QueryEscape)
	values(WrongString, "the values were signed URL-encoded", url.PathEscape)
	values(WrongString, "the values were signed without the white space around them", strings.TrimSpace)
	values(BodyReencoded, "the values were signed in GBK", func(s string) string {
		b, err := simplifiedchinese.GBK.NewEncoder().String(s)
		if err != nil {
			return s
		}
		return b
	})
	texts = append(texts, signedText{joined(doc, true), WrongString, "the elements were signed in the order of the body, not sorted by name"},
		signedText{joined(sorted(doc), false), WrongString, "empty elements were signed, too"})
	for _, v := range variants([]byte(doc.Get("scene_info"))) {
		values := func(el flatxml.Element) (flatxml.Element, bool) {
			if el.Name == "scene_info" {
				el.Value = string(v.body)
			}
			return el, true
		}
		mapped(BodyReencoded, "scene_info was signed "+v.name, values)
	}
	return texts
}

// joined joins elements as they stand, but for the sign.
func joined(doc flatxml.Document, skipEmpty bool) string {
	var parts []string
	for _, element := range doc {
		if element.Name != "sign" && !(skipEmpty && element.Value == "") {
			parts = append(parts, element.Name+"="+element.Value)
		}
	}
	return strings.Join(parts, "&")
}
