package wechatpaysim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	scheme        = "WECHATPAY2-SHA256-RSA2048"
	probePrefix   = "WECHATPAY/SIGNTEST/"
	codeParam     = "PARAM_ERROR"
	codeSign      = "SIGN_ERROR"
	codeNoAuth    = "NO_AUTH"
	codeInvalid   = "INVALID_REQUEST"
	headerSerial  = "Wechatpay-Serial"
	headerReqID   = "Request-ID"
	badAuthFormat = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
)

// judgeV3 gives the verdict on a V3 request, unless no is one already. The answer, a refusal too, is signed
// with the key that the request names, or else with the first platform certificate's, or else with the public
// key's.
func (s *Simulator) judgeV3(r *http.Request, rec *Request, no *refusal) reply {
	k := s.keys.Load()
	out := reply{status: http.StatusNoContent, serial: s.answersWith(k)}
	named := r.Header.Get(headerSerial)
	if out.signer = s.signs(k, named); out.signer != nil {
		out.serial = named
	} else {
		out.signer = s.signs(k, out.serial)
	}
	if no == nil {
		no = s.checkV3(r, rec, k)
	}
	if no == nil {
		rec.Accepted = true
		if rec.Route == RouteCertificates {
			out.status, out.certificates = http.StatusOK, k
		}
		return out
	}
	rec.refuse(no)
	return out.v3Error(no.status, no.code, no.message, no.detail)
}

func (s *Simulator) checkV3(r *http.Request, rec *Request, k *Keys) *refusal {
	if rec.URI != rec.Route {
		return paramError("", "the path must be sent exactly, without a query", "uri", nil)
	}
	if no := s.checkHeaders(r, k); no != nil {
		return no
	}
	if no := s.checkAuthorization(r, rec, k); no != nil {
		return no
	}
	if rec.Route == RouteCertificates {
		return s.checkDownload(rec, k)
	}
	return s.checkParking(rec)
}

func (s *Simulator) checkHeaders(r *http.Request, k *Keys) *refusal {
	h := r.Header
	for _, name := range []string{"Accept", "User-Agent", "Content-Type", "Authorization", headerSerial} {
		if len(h.Values(name)) > 1 {
			return invalid("Http头" + name + "重复")
		}
	}
	if h.Get("Accept") == "" || h.Get("User-Agent") == "" {
		return invalid("Http头缺少Accept或User-Agent")
	}
	if !isMedia(h.Get("Accept"), "application/json") {
		return invalid("Http头Accept错误，仅支持application/json")
	}
	// A GET has nothing to name the type of.
	if sent := h.Get("Content-Type"); (sent != "" || r.Method != http.MethodGet) && !isMedia(sent, "application/json") {
		return invalid("Http头Content-Type错误，仅支持application/json")
	}
	if named := h.Get(headerSerial); named != "" && s.signs(k, named) == nil {
		return paramError("/"+headerSerial, "平台证书序列号Wechatpay-Serial错误", "header", nil)
	}
	return nil
}

// isMedia tells whether a header names one of the media types, in UTF-8 where it names a charset.
func isMedia(header string, types ...string) bool {
	got, params, err := mime.ParseMediaType(header)
	if err != nil {
		return false
	}
	charset, ok := params["charset"]
	if ok && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	for _, t := range types {
		if got == t {
			return true
		}
	}
	return false
}

// authorization is what the Authorization header says.
type authorization struct{ mchid, serialNo, nonce, timestamp, signature string }

// parseAuthorization reads the header strictly: the scheme, one space, and the five items, each once, in any
// order, joined by bare commas.
func parseAuthorization(header string) (authorization, error) {
	var a authorization
	items, ok := strings.CutPrefix(header, scheme+" ")
	if !ok {
		return a, errors.New("the scheme is not " + scheme)
	}
	want := map[string]*string{
		"mchid": &a.mchid, "serial_no": &a.serialNo, "nonce_str": &a.nonce,
		"timestamp": &a.timestamp, "signature": &a.signature,
	}
	for item := range strings.SplitSeq(items, ",") {
		name, value, _ := strings.Cut(item, "=")
		into := want[name]
		if into == nil {
			return a, errors.New("an item is unknown or stands twice")
		}
		delete(want, name)
		inner, opened := strings.CutPrefix(value, `"`)
		inner, closed := strings.CutSuffix(inner, `"`)
		if !opened || !closed || inner == "" || strings.Contains(inner, `"`) {
			return a, errors.New("an item's value is not in quotes, or empty")
		}
		*into = inner
	}
	if len(want) > 0 {
		return a, errors.New("an item is missing")
	}
	return a, nil
}

func (s *Simulator) checkAuthorization(r *http.Request, rec *Request, k *Keys) *refusal {
	a, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return signError(badAuthFormat, "Authorization", err.Error())
	}
	if a.mchid != s.cfg.MchID {
		return signError("商户号mchid错误", "mchid", "mchid is not this merchant's")
	}
	key := k.MerchantKeys[a.serialNo]
	if key == nil {
		return signError("商户证书序列号有误。请使用签名私钥匹配的证书序列号", "serial_no", "serial_no is no certificate of this merchant")
	}
	if issue := nonce(a.nonce); issue != "" {
		return signError(badAuthFormat, "nonce_str", "nonce_str "+issue)
	}
	at, err := strconv.ParseInt(a.timestamp, 10, 64)
	if err != nil || strconv.FormatInt(at, 10) != a.timestamp || len(a.timestamp) > 11 {
		return signError(badAuthFormat, "timestamp", "timestamp is not Unix seconds")
	}
	if off := rec.At.Sub(time.Unix(at, 0)); off > Tolerance || off < -Tolerance {
		return signError("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟", "timestamp", "timestamp is over 5 minutes off")
	}
	message := r.Method + "\n" + rec.URI + "\n" + a.timestamp + "\n" + a.nonce + "\n" + string(rec.Body) + "\n"
	if err := verifyRSA(key, message, a.signature); err != nil {
		return signMismatch(r.Method, rec.URI, message, rec.Body, err)
	}
	if !s.spendNonce("v3", a.nonce, rec.At) {
		return signError("Http头Authorization中的nonce_str重复", "nonce_str", "nonce_str was used before")
	}
	return nil
}

// checkParking holds the body against the interface's fields and against what the caller may act for.
func (s *Simulator) checkParking(rec *Request) *refusal {
	members, err := parseObject(rec.Body)
	if err != nil {
		return paramError("", err.Error(), "body", nil)
	}
	for _, c := range string(rec.Body) {
		if utf8.RuneLen(c) > 3 {
			return paramError("", "a character of 4 bytes", "body", nil)
		}
	}
	values := make(map[string]any, len(members))
	rec.Fields = make(map[string]string, len(members))
	for _, m := range members {
		values[m.name] = m.value
		rec.Fields[m.name] = scalar(m.value)
	}
	for name, v := range values {
		if _, isText := v.(string); name != "brandid" && !isText {
			return paramError("/"+name, "must be a string", "body", v)
		}
	}
	if v, ok := values["brandid"]; ok {
		if _, isNumber := v.(json.Number); !isNumber {
			return paramError("/brandid", "must be an integer", "body", v)
		}
	}
	if field, issue := apply(s.parkingRules(), rec.Fields); issue != "" {
		return paramError("/"+field, issue, "body", values[field])
	}
	return s.checkBusinessCircle(rec.Fields)
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func (s *Simulator) parkingRules() []rule {
	rules := []rule{
		{"brandid", true, brandID},
		{"appid", true, limit(token, 32)},
		{"openid", true, limit(token, 64)},
		{"plate_number", true, plate},
		{"state", true, oneOf("IN", "OUT")},
		{"time", true, instant},
	}
	if s.cfg.Mode == Partner {
		rules = append(rules, rule{"sub_mchid", true, limit(digits, 32)})
	}
	return rules
}

func brandID(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != s {
		return "must be a positive integer"
	}
	return ""
}

// checkBusinessCircle looks for a merchant of the configuration with this sub_mchid, brand and appid.
func (s *Simulator) checkBusinessCircle(fields map[string]string) *refusal {
	known, branded := false, false
	for _, m := range s.cfg.Merchants {
		if m.SubMchID != fields["sub_mchid"] {
			continue
		}
		known = true
		if m.BrandID == 0 || strconv.FormatInt(m.BrandID, 10) != fields["brandid"] {
			continue
		}
		branded = true
		if m.AppID == fields["appid"] {
			return nil
		}
	}
	switch {
	case !known:
		return noAuth("sub_mchid is not a sub-merchant of this service provider")
	case !branded:
		return noAuth("brandid is no brand that this merchant may act for")
	}
	return paramError("/appid", "is not bound to brandid", "body", fields["appid"])
}

func invalid(message string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: codeInvalid, message: message}
}

func noAuth(issue string) *refusal {
	return &refusal{status: http.StatusForbidden, code: codeNoAuth, message: "商户无权限: " + issue}
}

type paramDetail struct {
	Field    string `json:"field"`
	Value    any    `json:"value,omitempty"`
	Issue    string `json:"issue"`
	Location string `json:"location"`
}

// paramError echoes the value in its detail, as WeChat Pay does, and nowhere else.
func paramError(field, issue, location string, value any) *refusal {
	if _, nested := value.([]member); nested {
		value = nil
	}
	source := strings.TrimSuffix("/"+location+field, "/")
	return &refusal{
		status:  http.StatusBadRequest,
		code:    codeParam,
		message: "输入源“" + source + "”校验失败: " + issue,
		detail:  paramDetail{Field: field, Value: value, Issue: issue, Location: location},
	}
}

type issueDetail struct {
	Issue string `json:"issue"`
}

type signInformation struct {
	Method               string `json:"method"`
	SignMessageLength    int    `json:"sign_message_length"`
	TruncatedSignMessage string `json:"truncated_sign_message"`
	URL                  string `json:"url"`
}

type signDetail struct {
	Detail          issueDetail      `json:"detail"`
	Field           string           `json:"field"`
	Location        string           `json:"location"`
	SignInformation *signInformation `json:"sign_information,omitempty"`
}

func signError(message, field, issue string) *refusal {
	return &refusal{
		status:  http.StatusUnauthorized,
		code:    codeSign,
		message: message,
		reason:  issue,
		detail:  signDetail{Detail: issueDetail{Issue: issue}, Field: field, Location: "authorization"},
	}
}

// signMismatch says how long the signed message was and how it began, as WeChat Pay does.
func signMismatch(method, uri, message string, body []byte, err error) *refusal {
	no := signError("错误的签名，验签失败", "signature", "sign not match")
	no.reason = "sign not match: " + err.Error()
	no.detail = signDetail{
		Detail:   issueDetail{Issue: "sign not match"},
		Field:    "signature",
		Location: "authorization",
		SignInformation: &signInformation{
			Method:               method,
			SignMessageLength:    len(message),
			TruncatedSignMessage: message[:len(message)-len(body)-1] + string(body[:min(1, len(body))]),
			URL:                  uri,
		},
	}
	return no
}

// verifyRSA checks SHA256 with RSA (PKCS #1 v1.5) over a message; the signature is strict base64.
func verifyRSA(key *rsa.PublicKey, message, signature string) error {
	sig, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil || strings.ContainsAny(signature, "\r\n") {
		return errors.New("the signature is not base64")
	}
	sum := sha256.Sum256([]byte(message))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) != nil {
		return errors.New("the signature does not match these bytes and this key")
	}
	return nil
}

// signRSA is the base64 of SHA256 with RSA (PKCS #1 v1.5) over a message.
func signRSA(key *rsa.PrivateKey, message string) (string, error) {
	sum := sha256.Sum256([]byte(message))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

// platformMessage is what WeChat Pay signs on answers and callbacks.
func platformMessage(timestamp, nonce string, body []byte) string {
	return timestamp + "\n" + nonce + "\n" + string(body) + "\n"
}
