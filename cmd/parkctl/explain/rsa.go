package explain

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sorted(doc flatxml.Document) flatxml.Document {
	doc = slices.Clone(doc)
	slices.SortStableFunc(doc, func(a, b flatxml.Element) int { return strings.Compare(a.Name, b.Name) })
	return doc
}

// The headers of a V3 answer or callback.
const (
	headerTimestamp = "wechatpay-timestamp"
	headerNonce     = "wechatpay-nonce"
	headerSignature = "wechatpay-signature"
	headerSerial    = "wechatpay-serial"
)

// v3Answer explains a V3 answer or callback.
func (e *explainer) v3Answer() {
	m := e.message
	if e.Kind == V3Answer && m.Status >= 400 && !m.has("wechatpay-signature") {
		e.conclude(Unsigned, "a refusal with HTTP %d and without a signature", m.Status)
		return
	}
	if !e.headersThere(headerTimestamp, headerNonce, headerSignature, headerSerial) {
		return
	}
	timestamp, nonce, serial := m.get(headerTimestamp), m.get(headerNonce), m.get(headerSerial)
	right := signing.CanonicalAnswerV3(timestamp, nonce, m.Body)
	e.note("text", "%s", visible(right))
	if strings.HasPrefix(m.get(headerSignature), "WECHATPAY/SIGNTEST/") {
		e.conclude(Probe, "the signature begins with WECHATPAY/SIGNTEST/")
		return
	}
	if !e.clock(timestamp) {
		return
	}
	signature, ok := e.signature(m.get(headerSignature))
	if !ok {
		return
	}
	ids := e.keys.ids()
	if len(ids) == 0 {
		e.conclude(UnknownKey, "no key of WeChat Pay is at hand")
		return
	}
	key, known := e.keys.wechatPay[serial]
	e.judge(known, "key", "Wechatpay-Serial is %s; at hand: %s", visible(serial), strings.Join(ids, ", "))
	switch {
	case serial == e.keys.merchantSerial && serial != "":
		e.conclude(MerchantCertificate, "Wechatpay-Serial is the serial number of the merchant's own certificate, with which WeChat Pay never signs")
	case known && (e.keys.merchantNamed[serial] || e.keys.merchant != nil && key.Equal(e.keys.merchant)):
		e.conclude(MerchantCertificate, "under wechatpay_keys/%s stands the merchant's own certificate, in place of WeChat Pay's", serial)
	case !known:
		if other := similar(serial, ids); other != "" {
			e.conclude(TruncatedKeyID, "Wechatpay-Serial has %d characters and wechatpay_keys/%s %d: one of them was cut short", len(serial), other, len(other))
		} else if slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(id, serial) }) {
			e.conclude(UnknownKey, "the id at hand is written in other letters: capitals and small ones count")
		}
	}
	text, signer := e.signer(key, serial, signature)
	if signer == "" {
		e.judge(false, "signature", "no key at hand opens it")
		if known {
			e.conclude(WrongKey, "the signature was not made with the key %s, nor with any other at hand", serial)
		}
		e.conclude(UnknownKey, "no key at hand is called %s, and none opens the signature", visible(serial))
		return
	}
	if signer != serial {
		e.judge(false, "signature", "it was made with %s", signer)
		e.conclude(WrongKey, "Wechatpay-Serial names %s, and the signature was made with %s", visible(serial), signer)
		return
	}
	e.compare(text, e.answerTexts(right, timestamp, nonce))
	if e.Cause != "" {
		return
	}
	e.lateOrEarly(timestamp)
	if e.Kind == V3Callback && e.Cause == "" {
		e.decrypt()
	}
	e.conclude(Verified, "the signature verifies")
}

// signature decodes a base64 signature.
func (e *explainer) signature(text string) ([]byte, bool) {
	signature, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && !strings.ContainsAny(text, "\r\n") {
		return signature, true
	}
	why := "the signature is not standard base64"
	switch {
	case strings.Contains(text, " "):
		why += ": there are spaces in it, as when + was decoded like a form's"
	case strings.ContainsAny(text, "-_"):
		why += ": - and _ are base64url's"
	case strings.Contains(text, "%"):
		why += ": % is left from URL encoding"
	}
	e.judge(false, "signature", "%s", why)
	e.conclude(BadBase64, "%s", why)
	return nil, false
}

// signer opens a signature with the key that is named or, failing that, with every key at hand, and says whose it is.
func (e *explainer) signer(key *rsa.PublicKey, name string, signature []byte) (opened, string) {
	if text, ok := open(key, signature); ok {
		return text, name
	}
	for _, id := range e.keys.ids() {
		if text, ok := open(e.keys.wechatPay[id], signature); ok {
			return text, id
		}
	}
	if text, ok := open(e.keys.merchant, signature); ok {
		return text, "the merchant's own key"
	}
	return opened{}, ""
}

// answerTexts returns what may have been signed in place of the right text.
func (e *explainer) answerTexts(right, timestamp, nonce string) []signedText {
	m := e.message
	texts := []signedText{{value: right}}
	for _, v := range variants(m.Body) {
		texts = append(texts, signedText{signing.CanonicalAnswerV3(timestamp, nonce, v.body), BodyReencoded, "the body was signed " + v.name})
	}
	body := string(m.Body)
	return append(texts,
		signedText{strings.TrimSuffix(right, "\n"), MissingTrailingNewline, "the text was signed without the line end at its end"},
		signedText{strings.ReplaceAll(right, "\n", "\r\n"), WrongString, "the lines were ended with \\r\\n"},
		signedText{nonce + "\n" + timestamp + "\n" + body + "\n", WrongString, "nonce and timestamp were signed in the other order"},
		signedText{signing.CanonicalAnswerV3(timestamp, nonce, nil), WrongString, "the text was signed as if there were no body"},
		signedText{body, WrongString, "the body alone was signed"},
		signedText{signing.CanonicalRequestV3(m.Method, m.URI, timestamp, nonce, m.Body), WrongString, "the text of a request was signed, with method and URL"})
}

// compare looks for the text of which a signature holds the hash.
func (e *explainer) compare(text opened, candidates []signedText) {
	for _, candidate := range candidates {
		sum := sha256.Sum256([]byte(candidate.value))
		hash := sum[:]
		if text.sha1 {
			sum := sha1.Sum([]byte(candidate.value))
			hash = sum[:]
		}
		if !bytes.Equal(hash, text.hash) {
			continue
		}
		switch {
		case candidate.cause != "":
			e.judge(false, "signature", "the key is right; %s", candidate.why)
			e.conclude(candidate.cause, "%s", candidate.why)
		case text.sha1:
			e.judge(false, "signature", "the key and the text are right; SHA-1 was used")
			e.conclude(WrongString, "SHA-1 was used in place of SHA-256")
		default:
			e.judge(true, "signature", "it opens with the key and holds the SHA-256 of the text")
		}
		return
	}
	right := sha256.Sum256([]byte(candidates[0].value))
	e.judge(false, "signature", "the key is right, and it signed another text: that one's hash is %s, this one's is %s", hex.EncodeToString(text.hash), hex.EncodeToString(right[:]))
	if e.message.truncated() {
		e.conclude(BodyTruncated, "the body is shorter than its Content-Length; the key is right")
	}
	e.conclude(ContentChanged, "the right key signed another text: the content was changed after it was signed, or the capture is not byte for byte")
}

// decrypt opens a callback's resource.
func (e *explainer) decrypt() {
	var envelope struct {
		Resource struct {
			Ciphertext     string `json:"ciphertext"`
			AssociatedData string `json:"associated_data"`
			Nonce          string `json:"nonce"`
		} `json:"resource"`
	}
	if json.Unmarshal(e.message.Body, &envelope) != nil || envelope.Resource.Ciphertext == "" {
		e.note("resource", "there is none to decrypt")
		return
	}
	try := func(text string) bool {
		key, err := signing.NewV3Key(text)
		if err != nil {
			return false
		}
		_, err = signing.Decrypt([]*signing.V3Key{key}, envelope.Resource.Nonce, envelope.Resource.AssociatedData, envelope.Resource.Ciphertext)
		return err == nil
	}
	for _, key := range e.keys.v3 {
		if try(key.text) {
			e.judge(true, "resource", "%s opens it", key.name)
			return
		}
	}
	for _, key := range e.keys.v2 {
		if try(key.text) {
			e.judge(false, "resource", "the key under %s opens it", key.name)
			e.conclude(WrongKey, "the key that stands under %s is the APIv3 key: it opens the resource", key.name)
			return
		}
	}
	e.judge(false, "resource", "none of %d APIv3 keys opens it", len(e.keys.v3))
	e.conclude(Undecryptable, "the signature is good, and no APIv3 key at hand opens the resource")
}

var authorizationItem = regexp.MustCompile(`^\s*([a-z_]+)="([^"]*)"\s*$`)

// v3Request explains the gateway's own V3 request.
func (e *explainer) v3Request() {
	m := e.message
	if !m.has("authorization") {
		e.headersThere("authorization")
		return
	}
	if len(m.Header["authorization"]) > 1 {
		e.conclude(HeaderTwice, "authorization came more than once")
		return
	}
	scheme, rest, _ := strings.Cut(m.get("authorization"), " ")
	items := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		if found := authorizationItem.FindStringSubmatch(part); found != nil {
			items[found[1]] = found[2]
		}
	}
	var missing []string
	for _, name := range []string{"mchid", "nonce_str", "signature", "timestamp", "serial_no"} {
		if items[name] == "" {
			missing = append(missing, name)
		}
	}
	schemeOK := scheme == "WECHATPAY2-SHA256-RSA2048"
	e.judge(schemeOK && len(missing) == 0, "Authorization", "%s; missing: %s", visible(scheme), orNone(missing))
	switch {
	case !schemeOK:
		e.conclude(Malformed, "the scheme must be WECHATPAY2-SHA256-RSA2048")
		return
	case len(missing) > 0:
		e.conclude(Malformed, "the Authorization header has no %s", strings.Join(missing, ", "))
		return
	case m.Method == "" || m.URI == "":
		e.conclude(Malformed, "the capture has no request line; put METHOD /path HTTP/1.1 in front of it")
		return
	}
	timestamp, nonce := items["timestamp"], items["nonce_str"]
	text := signing.CanonicalRequestV3(m.Method, m.URI, timestamp, nonce, m.Body)
	e.note("text", "%s", visible(text))
	if !e.clock(timestamp) {
		return
	}
	signature, ok := e.signature(items["signature"])
	if !ok {
		return
	}
	if e.keys.merchant == nil {
		e.conclude(UnknownKey, "the merchant's key is not at hand")
		return
	}
	e.serial(items["serial_no"], items["mchid"])
	held, signer := e.signer(e.keys.merchant, "the merchant's own key", signature)
	if signer != "the merchant's own key" {
		e.judge(false, "signature", "it was not made with the merchant's key")
		e.conclude(WrongKey, "the signature was made with another key than the stored merchant_private_key")
		return
	}
	texts := []signedText{{value: text}}
	for _, v := range variants(m.Body) {
		texts = append(texts, signedText{signing.CanonicalRequestV3(m.Method, m.URI, timestamp, nonce, v.body), BodyReencoded, "the body was signed " + v.name})
	}
	path, _, _ := strings.Cut(m.URI, "?")
	texts = append(texts,
		signedText{strings.TrimSuffix(text, "\n"), MissingTrailingNewline, "the text was signed without the line end at its end"},
		signedText{strings.ReplaceAll(text, "\n", "\r\n"), WrongString, "the lines were ended with \\r\\n"},
		signedText{signing.CanonicalRequestV3(m.Method, m.URI, timestamp, nonce, nil), WrongString, "the text was signed as if there were no body"},
		signedText{signing.CanonicalRequestV3(m.Method, path, timestamp, nonce, m.Body), WrongString, "the URL was signed without its query"},
		signedText{signing.CanonicalRequestV3(strings.ToLower(m.Method), m.URI, timestamp, nonce, m.Body), WrongString, "the method was signed in small letters"},
		signedText{signing.CanonicalAnswerV3(timestamp, nonce, m.Body), WrongString, "the text of an answer was signed, without method and URL"})
	for _, host := range []string{m.get("host"), "api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"} {
		texts = append(texts, signedText{signing.CanonicalRequestV3(m.Method, "https://"+host+m.URI, timestamp, nonce, m.Body), WrongString, "the URL was signed with its host; it is the path and the query alone"})
	}
	e.compare(held, texts)
	if e.Cause == "" {
		e.lateOrEarly(timestamp)
	}
	e.conclude(Verified, "the signature verifies")
}

// serial judges the serial number and the mchid of a request.
func (e *explainer) serial(serial, mchID string) {
	want := e.keys.merchantSerial
	e.judge(serial == want, "serial_no", "%s; stored: %s", visible(serial), want)
	if serial != want {
		switch {
		case strings.HasPrefix(serial, "PUB_KEY_ID_"):
			e.conclude(WrongKey, "serial_no is the id of a WeChat Pay public key; it must be the serial number of the merchant's certificate, %s", want)
		case e.keys.wechatPay[serial] != nil:
			e.conclude(WrongKey, "serial_no is that of a platform certificate; it must be that of the merchant's certificate, %s", want)
		case similar(serial, []string{want}) != "":
			e.conclude(TruncatedKeyID, "serial_no has %d characters, the stored one %d: it was cut short", len(serial), len(want))
		default:
			e.conclude(WrongKey, "serial_no is not that of the stored merchant certificate, %s", want)
		}
	}
	if e.keys.mchID != "" && mchID != e.keys.mchID {
		e.judge(false, "mchid", "%s; stored: %s", visible(mchID), e.keys.mchID)
		e.conclude(WrongKey, "mchid is %s; the stored key is that of %s", visible(mchID), e.keys.mchID)
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}
