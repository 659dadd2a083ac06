package explain_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"wechat-parking-gateway/cmd/parkctl/explain"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/stdwebhook"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// stage is a merchant, its WeChat Pay and the keys of both, made once.
type stage struct {
	world     *fixture.World
	simulator *wechatpaysim.Simulator
	private   *rsa.PrivateKey
	documents explain.Documents
}

var theStage = sync.OnceValues(func() (*stage, error) {
	world, err := fixture.New(func() time.Time { return now })
	if err != nil {
		return nil, err
	}
	s := &stage{world: world}
	if s.simulator, err = wechatpaysim.New(world.WeChatPay); err != nil {
		return nil, err
	}
	if s.private, err = signing.ParsePrivateKey(world.MerchantKey.PrivateKey); err != nil {
		return nil, err
	}
	secrets, err := world.Secrets()
	if err != nil {
		return nil, err
	}
	s.documents = explain.Documents{
		Merchant: []byte(secrets[world.MerchantSecret]), MerchantKey: []byte(secrets[world.MerchantKeySecret]),
		Vendors: [][]byte{[]byte(secrets[world.VendorsSecret])},
	}
	return s, nil
})

func open(t *testing.T) *stage {
	t.Helper()
	s, err := theStage()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// captured is a message as it is captured: the start line, headers, and the body.
type captured struct {
	start  string
	header http.Header
	body   []byte
}

func (c captured) text() []byte {
	var b bytes.Buffer
	if c.start != "" {
		fmt.Fprintf(&b, "%s\r\n", c.start)
	}
	for _, name := range slices.Sorted(mapsKeys(c.header)) {
		for _, value := range c.header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(c.body))
	b.Write(c.body)
	return b.Bytes()
}

func mapsKeys(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

// webhook makes a Standard Webhooks message by the library's own rules, but for what sign does to its text.
func webhook(start, id string, at time.Time, body []byte, key []byte, text func(string) string) captured {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signed := id + "." + timestamp + "." + string(body)
	if text != nil {
		signed = text(signed)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return captured{start, http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
		"Content-Type": {"application/json"},
	}, body}
}

func secretBytes(secret string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, stdwebhook.SecretPrefix))
	if err != nil {
		panic(err)
	}
	return key
}

const vendorStart = "POST /v1/vendors/" + fixture.VendorID + "/businesscircle/parkings HTTP/1.1"

// vendorCall is a vendor's request, of which change makes another body after it was signed.
func (s *stage) vendorCall(at time.Time, change func([]byte) []byte) captured {
	c := webhook(vendorStart, "visit-1", at, fixture.ParkingBody("IN", at), secretBytes(s.world.RequestSecret(fixture.VendorID)), nil)
	if change != nil {
		c.body = change(c.body)
	}
	return c
}

func (s *stage) signedBy(key []byte) captured {
	return webhook(vendorStart, "visit-1", now, fixture.ParkingBody("IN", now), key, nil)
}

// payment is a V3 callback.
func (s *stage) payment(t *testing.T) captured {
	t.Helper()
	callback, err := s.simulator.BuildMallTransaction("https://gateway.example.com/v1/callbacks/businesscircle", fixture.Payment(now))
	if err != nil {
		t.Fatal(err)
	}
	return captured{"POST /v1/callbacks/businesscircle HTTP/1.1", callback.Header, callback.Body}
}

// forged is a forged V3 callback.
func (s *stage) forged(t *testing.T, how wechatpaysim.Forgery) captured {
	t.Helper()
	callback, err := s.simulator.BuildMallTransaction("https://gateway.example.com/v1/callbacks/businesscircle", fixture.Payment(now))
	if err == nil {
		callback, err = s.simulator.Forge(callback, how)
	}
	if err != nil {
		t.Fatal(err)
	}
	return captured{"POST /v1/callbacks/businesscircle HTTP/1.1", callback.Header, callback.Body}
}

// plate is a V2 callback.
func (s *stage) plate(t *testing.T) captured {
	t.Helper()
	callback, err := s.simulator.BuildPlateState("https://gateway.example.com/v1/callbacks/vehicle/"+fixture.VendorID, fixture.PlateState("BLOCKED", "OVERDUE", ""))
	if err != nil {
		t.Fatal(err)
	}
	return captured{"POST /v1/callbacks/vehicle/" + fixture.VendorID + " HTTP/1.1", callback.Header, callback.Body}
}

// v2 writes an XML message whose sign is made by sign.
func v2(t *testing.T, start string, doc flatxml.Document, sign func(canonical string) string) captured {
	t.Helper()
	doc = append(slices.Clone(doc), flatxml.Element{Name: "sign", Value: sign(signing.CanonicalV2(doc))})
	body, err := flatxml.Append(nil, doc)
	if err != nil {
		t.Fatal(err)
	}
	return captured{start, http.Header{"Content-Type": {"text/xml"}}, body}
}

var plateDocument = flatxml.Document{
	{Name: "mch_id", Value: fixture.MchID}, {Name: "sub_mch_id", Value: fixture.SubMchID}, {Name: "appid", Value: fixture.AppID},
	{Name: "nonce_str", Value: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"}, {Name: "sign_type", Value: "HMAC-SHA256"}, {Name: "plate_number", Value: fixture.Plate},
	{Name: "vehicle_event_type", Value: "BLOCKED"}, {Name: "vehicle_event_createtime", Value: "20261130200000"},
}

var entryDocument = flatxml.Document{
	{Name: "appid", Value: fixture.AppID}, {Name: "mch_id", Value: fixture.MchID}, {Name: "nonce_str", Value: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"},
	{Name: "sign_type", Value: "HMAC-SHA256"}, {Name: "version", Value: "3.0"}, {Name: "trade_scene", Value: "PARKING"},
	{Name: "scene_info", Value: `{"scene_info":{"start_time":"20261130200000","plate_number":"粤B888888","notify_url":"https://a.example/v1/callbacks/vehicle/x"}}`},
}

func hmacUpper(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
}

func md5Upper(text string) string {
	sum := md5.Sum([]byte(text))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// v3 writes a V3 callback that key signs over what text makes of the right one.
func v3(t *testing.T, key *rsa.PrivateKey, serial string, body []byte, text func(string) string) captured {
	t.Helper()
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), "d824f2e086d3c1df967785d13fcd22ef"
	signed := signing.CanonicalAnswerV3(timestamp, nonce, body)
	if text != nil {
		signed = text(signed)
	}
	return captured{"POST /v1/callbacks/businesscircle HTTP/1.1", http.Header{
		"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {nonce}, "Wechatpay-Serial": {serial}, "Wechatpay-Signature": {signRSA(t, key, signed)},
	}, body}
}

func signRSA(t *testing.T, key *rsa.PrivateKey, text string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// request is the gateway's own V3 request, signed over what text makes of the right one.
func (s *stage) request(t *testing.T, serial string, at time.Time, text func(string) string) captured {
	t.Helper()
	body := []byte(`{"sub_mchid":"1900000109","brandid":1000,"plate_number":"粤B888888","state":"IN"}`)
	timestamp, nonce := strconv.FormatInt(at.Unix(), 10), "593BEC0C930BF1AFEB40B4A08C8FB242"
	signed := signing.CanonicalRequestV3("POST", "/v3/businesscircle/parkings", timestamp, nonce, body)
	if text != nil {
		signed = text(signed)
	}
	return captured{"POST /v3/businesscircle/parkings HTTP/1.1", http.Header{"Host": {"api.mch.weixin.qq.com"}, "Authorization": {fmt.Sprintf(
		`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",signature="%s",timestamp="%s",serial_no="%s"`,
		fixture.MchID, nonce, signRSA(t, s.private, signed), timestamp, serial)}}, body}
}

// pairs are keys of WeChat Pay's for messages that the simulator does not make, with the documents that hold them.
type pair struct {
	key       *rsa.PrivateKey
	id        string
	documents explain.Documents
}

var ownPair = sync.OnceValues(func() (pair, error) {
	s, err := theStage()
	if err != nil {
		return pair{}, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return pair{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return pair{}, err
	}
	p := pair{key: key, id: "PUB_KEY_ID_0000000000000024101100397200000006", documents: s.documents}
	return p, p.set(s, map[string]string{p.id: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))})
})

func (p *pair) set(s *stage, keys map[string]string) error {
	merchant := s.world.Merchant
	merchant.WeChatPayKeys = keys
	b, err := json.Marshal(merchant)
	p.documents.Merchant = b
	return err
}

func own(t *testing.T) pair {
	t.Helper()
	p, err := ownPair()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p pair) publicPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// merchantCertificate is the merchant's API certificate.
func (s *stage) merchantCertificate(t *testing.T) string {
	t.Helper()
	serial, _ := new(big.Int).SetString(fixture.MerchantSerial, 16)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: fixture.MchID}, NotBefore: now, NotAfter: now.AddDate(5, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &s.private.PublicKey, s.private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// python writes JSON as Python's json.dumps does.
func python(t *testing.T, body []byte) []byte {
	t.Helper()
	text := string(body)
	text = strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(text)
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}

// TestCauses: one captured message for each cause, made by the simulator or by the scheme's rules, and the exact cause that
// is named for it.
func TestCauses(t *testing.T) {
	s := open(t)
	world := s.world
	v2Key, v3Key := world.Merchant.APIv2Keys[0], world.Merchant.APIv3Keys[0]
	event := []byte(`{"type":"vehicle.plate_state_changed","timestamp":"2026-11-30T20:00:00+08:00","data":{"plate_number":"粤B888888"}}`)
	webhookKey := secretBytes(world.Vendors.Vendors[fixture.VendorID].WebhookSecrets[0])
	requestKey := secretBytes(world.RequestSecret(fixture.VendorID))
	signV2 := func(canonical string) string { return hmacUpper(v2Key, canonical+"&key="+v2Key) }
	const plateStart = "POST /v1/callbacks/vehicle/demo-parking HTTP/1.1"
	without := func(c captured, name string) captured {
		c.header = c.header.Clone()
		c.header.Del(name)
		return c
	}
	with := func(c captured, name string, values ...string) captured {
		c.header = c.header.Clone()
		c.header[http.CanonicalHeaderKey(name)] = values
		return c
	}
	p := own(t)

	for _, row := range []struct {
		name      string
		message   captured
		documents *explain.Documents
		kind      explain.Kind
		cause     explain.Cause
		why       string // part of the reason
	}{
		// Genuine messages of every kind.
		{"a vendor's request", s.vendorCall(now, nil), nil, explain.VendorRequest, explain.Verified, ""},
		{"an event", webhook("POST /webhooks/wechat HTTP/1.1", "evt_4fd06cd4e5268e395f91928df3ab522e9877e6df", now, event, webhookKey, nil), nil, explain.VendorEvent, explain.Verified, ""},
		{"a V3 callback", s.payment(t), nil, explain.V3Callback, explain.Verified, ""},
		{"a V2 callback", s.plate(t), nil, explain.V2Callback, explain.Verified, ""},
		{"our V3 request", s.request(t, fixture.MerchantSerial, now, nil), nil, explain.V3Request, explain.Verified, ""},
		{"our V2 request", v2(t, "POST /vehicle/partnerpay/notification HTTP/1.1", entryDocument, signV2), nil, explain.V2Request, explain.Verified, ""},
		{"a V2 answer", v2(t, "HTTP/1.1 200 OK", flatxml.Document{{Name: "return_code", Value: "SUCCESS"}, {Name: "user_state", Value: "NORMAL"}}, signV2), nil, explain.V2Answer, explain.Verified, ""},
		{"a V3 answer without a body", func() captured {
			c := v3(t, p.key, p.id, nil, nil)
			c.start = "HTTP/1.1 204 No Content"
			return c
		}(), &p.documents, explain.V3Answer, explain.Verified, ""},

		// A re-encoded body.
		{"re-encoded by Python", s.vendorCall(now, func(b []byte) []byte { return python(t, b) }), nil, explain.VendorRequest, explain.BodyReencoded, "compact"},
		{"signed with \\u escapes, sent without", func() captured {
			c := webhook(vendorStart, "visit-1", now, python(t, fixture.ParkingBody("IN", now)), requestKey, nil)
			c.body = fixture.ParkingBody("IN", now)
			return c
		}(), nil, explain.VendorRequest, explain.BodyReencoded, "Python"},
		{"members sorted", s.vendorCall(now, func(b []byte) []byte {
			var m map[string]any
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			sorted, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return sorted
		}), nil, explain.VendorRequest, explain.NoMatch, ""},
		{"signed sorted, sent in another order", func() captured {
			c := webhook(vendorStart, "visit-1", now, []byte(`{"a":1,"b":"粤"}`), requestKey, nil)
			c.body = []byte(`{"b":"粤","a":1}`)
			return c
		}(), nil, explain.VendorRequest, explain.BodyReencoded, "sorted"},
		{"indented on its way", s.vendorCall(now, func(b []byte) []byte {
			var indented bytes.Buffer
			if err := json.Indent(&indented, b, "", "  "); err != nil {
				t.Fatal(err)
			}
			return indented.Bytes()
		}), nil, explain.VendorRequest, explain.BodyReencoded, "compact"},
		{"a line end added", s.vendorCall(now, func(b []byte) []byte { return append(b, '\n') }), nil, explain.VendorRequest, explain.BodyReencoded, "without the line end"},
		{"a byte order mark added", s.vendorCall(now, func(b []byte) []byte { return append([]byte("\uFEFF"), b...) }), nil, explain.VendorRequest, explain.BodyReencoded, "byte order mark"},
		{"CRLF made of LF", func() captured {
			c := webhook(vendorStart, "visit-1", now, []byte("{\n\"a\": 1\n}"), requestKey, nil)
			c.body = []byte("{\r\n\"a\": 1\r\n}")
			return c
		}(), nil, explain.VendorRequest, explain.BodyReencoded, `\n for its \r\n`},
		{"signed in GBK", func() captured {
			gbk, err := simplifiedchinese.GBK.NewEncoder().Bytes(fixture.ParkingBody("IN", now))
			if err != nil {
				t.Fatal(err)
			}
			c := webhook(vendorStart, "visit-1", now, gbk, requestKey, nil)
			c.body = fixture.ParkingBody("IN", now)
			return c
		}(), nil, explain.VendorRequest, explain.BodyReencoded, "GBK"},
		{"a V3 callback encoded anew", func() captured {
			c := s.payment(t)
			var indented bytes.Buffer
			if err := json.Indent(&indented, c.body, "", "    "); err != nil {
				t.Fatal(err)
			}
			c.body = indented.Bytes()
			return c
		}(), nil, explain.V3Callback, explain.BodyReencoded, "compact"},
		{"scene_info with \\u escapes", func() captured {
			escaped := slices.Clone(entryDocument)
			at := len(escaped) - 1
			escaped[at].Value = strings.ReplaceAll(strings.ReplaceAll(escaped[at].Value, "粤", `\u7ca4`), "/", `\/`)
			return v2(t, "POST /vehicle/partnerpay/notification HTTP/1.1", escaped, func(string) string { return signV2(signing.CanonicalV2(entryDocument)) })
		}(), nil, explain.V2Request, explain.BodyReencoded, "scene_info"},
		{"values signed as XML escapes them", v2(t, "POST /vehicle/partnerpay/notification HTTP/1.1", entryDocument, func(string) string {
			escaped := slices.Clone(entryDocument)
			for i := range escaped {
				escaped[i].Value = html.EscapeString(escaped[i].Value)
			}
			return signV2(signing.CanonicalV2(escaped))
		}), nil, explain.V2Request, explain.BodyReencoded, "escapes"},

		// A wrong key.
		{"the webhook secret for a request", s.signedBy(webhookKey), nil, explain.VendorRequest, explain.WrongKey, "webhook_secrets/0"},
		{"another vendor's secret", s.signedBy(secretBytes(world.RequestSecret(fixture.OtherVendorID))), nil, explain.VendorRequest, explain.WrongKey, "other-parking/request_secrets/0"},
		{"the APIv3 key for V2", v2(t, plateStart, plateDocument, func(c string) string { return hmacUpper(v3Key, c+"&key="+v3Key) }), nil, explain.V2Callback, explain.WrongKey, "api_v3_keys/0"},
		{"the other of WeChat Pay's keys", s.forged(t, wechatpaysim.ForgeKey), nil, explain.V3Callback, explain.WrongKey, world.Identity.CertificateSerial},
		{"a key that nobody has, under a known id", func() captured {
			return v3(t, p.key, world.Identity.PublicKeyID, []byte("{}"), nil)
		}(), nil, explain.V3Callback, explain.WrongKey, "nor with any other"},
		{"a key that nobody has, by HMAC", s.signedBy([]byte("somebody's")), nil, explain.VendorRequest, explain.NoMatch, ""},
		{"a platform serial in our request", s.request(t, world.Identity.CertificateSerial, now, nil), nil, explain.V3Request, explain.WrongKey, "platform certificate"},
		{"a public key's id in our request", s.request(t, world.Identity.PublicKeyID, now, nil), nil, explain.V3Request, explain.WrongKey, "public key"},
		{"APIv2 and APIv3 keys swapped", s.payment(t), func() *explain.Documents {
			merchant := world.Merchant
			merchant.APIv2Keys, merchant.APIv3Keys = merchant.APIv3Keys, merchant.APIv2Keys
			b, err := json.Marshal(merchant)
			if err != nil {
				t.Fatal(err)
			}
			return &explain.Documents{Merchant: b}
		}(), explain.V3Callback, explain.WrongKey, "is the APIv3 key"},
		{"a known key under an id that nobody has", s.forged(t, wechatpaysim.ForgeSerial), nil, explain.V3Callback, explain.WrongKey, "was made with " + world.Identity.PublicKeyID},
		{"an unknown key under an id that nobody has", v3(t, p.key, p.id, []byte("{}"), nil), nil, explain.V3Callback, explain.UnknownKey, p.id},

		// MD5.
		{"sign_type MD5", v2(t, plateStart, func() flatxml.Document {
			d := slices.Clone(plateDocument)
			d[4].Value = "MD5"
			return d
		}(), func(c string) string { return md5Upper(c + "&key=" + v2Key) }), nil, explain.V2Callback, explain.MD5SignType, "MD5"},
		{"MD5 under sign_type HMAC-SHA256", v2(t, plateStart, plateDocument, func(c string) string { return md5Upper(c + "&key=" + v2Key) }), nil, explain.V2Callback, explain.MD5SignType, "api_v2_keys/0"},

		// The clock.
		{"ten minutes old", s.vendorCall(now.Add(-10*time.Minute), nil), nil, explain.VendorRequest, explain.StaleClock, "10m0s old"},
		{"ten minutes ahead", s.vendorCall(now.Add(10*time.Minute), nil), nil, explain.VendorRequest, explain.ClockAhead, ""},
		{"a stale callback", s.forged(t, wechatpaysim.ForgeStale), nil, explain.V3Callback, explain.StaleClock, ""},
		{"our own clock", s.request(t, fixture.MerchantSerial, now.Add(-time.Hour), nil), nil, explain.V3Request, explain.StaleClock, ""},
		{"milliseconds", with(s.vendorCall(now, nil), "Webhook-Timestamp", strconv.FormatInt(now.UnixMilli(), 10)), nil, explain.VendorRequest, explain.TimestampInMilliseconds, ""},

		// The merchant's certificate in place of the platform's key.
		{"the merchant's certificate among WeChat Pay's keys", s.payment(t), func() *explain.Documents {
			q := pair{documents: s.documents}
			if err := q.set(s, map[string]string{world.Identity.PublicKeyID: s.merchantCertificate(t)}); err != nil {
				t.Fatal(err)
			}
			return &q.documents
		}(), explain.V3Callback, explain.MerchantCertificate, "the merchant's own certificate"},
		{"the merchant's serial in Wechatpay-Serial", with(s.payment(t), "Wechatpay-Serial", fixture.MerchantSerial), nil, explain.V3Callback, explain.MerchantCertificate, ""},

		// A truncated PUB_KEY_ID.
		{"a truncated id in the configuration", v3(t, p.key, p.id, []byte("{}"), nil), func() *explain.Documents {
			q := pair{documents: s.documents}
			if err := q.set(s, map[string]string{p.id[:30]: p.publicPEM(t)}); err != nil {
				t.Fatal(err)
			}
			return &q.documents
		}(), explain.V3Callback, explain.TruncatedKeyID, "cut short"},
		{"a truncated id in the message", v3(t, p.key, p.id[:30], []byte("{}"), nil), &p.documents, explain.V3Callback, explain.TruncatedKeyID, "cut short"},
		{"a truncated serial in our request", s.request(t, fixture.MerchantSerial[:30], now, nil), nil, explain.V3Request, explain.TruncatedKeyID, "cut short"},

		// A missing trailing newline.
		{"a callback's last line end", v3(t, p.key, p.id, []byte("{}"), func(s string) string { return strings.TrimSuffix(s, "\n") }), &p.documents, explain.V3Callback, explain.MissingTrailingNewline, ""},
		{"an empty body's last line end", v3(t, p.key, p.id, nil, func(s string) string { return strings.TrimSuffix(s, "\n") }), &p.documents, explain.V3Callback, explain.MissingTrailingNewline, ""},
		{"our request's last line end", s.request(t, fixture.MerchantSerial, now, func(s string) string { return strings.TrimSuffix(s, "\n") }), nil, explain.V3Request, explain.MissingTrailingNewline, ""},

		// A header that a proxy lost.
		{"no webhook-signature", without(s.vendorCall(now, nil), "Webhook-Signature"), nil, explain.VendorRequest, explain.HeaderLost, "webhook-signature"},
		{"no Wechatpay-Serial", without(s.payment(t), "Wechatpay-Serial"), nil, explain.V3Callback, explain.HeaderLost, "wechatpay-serial"},
		{"no Wechatpay headers at all", captured{"POST /v1/callbacks/businesscircle HTTP/1.1", http.Header{}, s.payment(t).body}, nil, explain.V3Callback, explain.HeaderLost, "wechatpay-timestamp, wechatpay-nonce, wechatpay-signature, wechatpay-serial"},
		{"no Authorization", without(s.request(t, fixture.MerchantSerial, now, nil), "Authorization"), nil, explain.V3Request, explain.HeaderLost, "authorization"},
		{"a header twice", with(s.vendorCall(now, nil), "Webhook-Id", "visit-1", "visit-1"), nil, explain.VendorRequest, explain.HeaderTwice, "webhook-id"},
		{"a header twice, joined by API Gateway", with(s.vendorCall(now, nil), "Webhook-Id", "visit-1,visit-1"), nil, explain.VendorRequest, explain.HeaderTwice, "webhook-id"},

		// The rest.
		{"HTML-escaped XML", func() captured {
			c := s.plate(t)
			c.body = []byte(html.EscapeString(string(c.body)))
			return c
		}(), nil, explain.V2Callback, explain.EscapedXML, ""},
		{"no key at the end", v2(t, plateStart, plateDocument, func(c string) string { return hmacUpper(v2Key, c) }), nil, explain.V2Callback, explain.KeyNotAppended, ""},
		{"the key in small letters", v2(t, plateStart, plateDocument, func(c string) string {
			return hmacUpper(strings.ToLower(v2Key), c+"&key="+strings.ToLower(v2Key))
		}), nil, explain.V2Callback, explain.WrongKey, "small letters"},
		{"the sign in small letters", v2(t, plateStart, plateDocument, func(c string) string { return strings.ToLower(signV2(c)) }), nil, explain.V2Callback, explain.SignatureForm, "small letters"},
		{"not sorted", v2(t, plateStart, plateDocument, func(string) string {
			var parts []string
			for _, el := range plateDocument {
				parts = append(parts, el.Name+"="+el.Value)
			}
			return signV2(strings.Join(parts, "&"))
		}), nil, explain.V2Callback, explain.WrongString, "not sorted"},
		{"sign_type not signed", v2(t, plateStart, plateDocument, func(c string) string {
			return signV2(strings.Replace(c, "&sign_type=HMAC-SHA256", "", 1))
		}), nil, explain.V2Callback, explain.WrongString, "sign_type"},
		{"the secret's text as the key", s.signedBy([]byte(world.RequestSecret(fixture.VendorID))), nil, explain.VendorRequest, explain.SecretNotDecoded, "whsec_ and all"},
		{"a hexadecimal signature", func() captured {
			c := s.vendorCall(now, nil)
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.header.Get("Webhook-Signature"), "v1,"))
			if err != nil {
				t.Fatal(err)
			}
			return with(c, "Webhook-Signature", hex.EncodeToString(raw))
		}(), nil, explain.VendorRequest, explain.SignatureForm, "hexadecimal"},
		{"signed without a body", webhook(vendorStart, "visit-1", now, []byte(`{"a":1}`), requestKey, func(s string) string { return strings.TrimSuffix(s, `{"a":1}`) }), nil, explain.VendorRequest, explain.WrongString, "no body"},
		{"the body alone signed", webhook(vendorStart, "visit-1", now, []byte(`{"a":1}`), requestKey, func(string) string { return `{"a":1}` }), nil, explain.VendorRequest, explain.WrongString, "body alone"},
		{"a changed byte under RSA", s.forged(t, wechatpaysim.ForgeByte), nil, explain.V3Callback, explain.ContentChanged, ""},
		{"broken base64", s.forged(t, wechatpaysim.ForgeBase64), nil, explain.V3Callback, explain.BadBase64, "%"},
		{"a plus that became a space", func() captured {
			c := s.payment(t)
			signature := c.header.Get("Wechatpay-Signature")
			return with(c, "Wechatpay-Signature", signature[:10]+" "+signature[11:])
		}(), nil, explain.V3Callback, explain.BadBase64, "spaces"},
		{"a probe", s.forged(t, wechatpaysim.ForgeProbe), nil, explain.V3Callback, explain.Probe, ""},
		{"encrypted with another key", s.forged(t, wechatpaysim.ForgeEncryption), nil, explain.V3Callback, explain.Undecryptable, ""},
		{"an unsigned V3 refusal", captured{"HTTP/1.1 401 Unauthorized", http.Header{"Wechatpay-Nonce": {"x"}}, []byte(`{"code":"SIGN_ERROR"}`)}, nil, explain.V3Answer, explain.Unsigned, ""},
		{"an unsigned V2 refusal", captured{"HTTP/1.1 200 OK", http.Header{}, []byte("<xml><return_code>FAIL</return_code><return_msg>签名失败</return_msg></xml>")}, nil, explain.V2Answer, explain.Unsigned, "签名失败"},
		{"nothing of ours", captured{"GET / HTTP/1.1", http.Header{}, nil}, nil, explain.Unknown, explain.Malformed, ""},
		{"XML that is not flat", captured{plateStart, http.Header{}, []byte("<xml><a><b>1</b></a></xml>")}, nil, explain.V2Callback, explain.Malformed, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			documents := s.documents
			if row.documents != nil {
				documents = *row.documents
			}
			keys, _ := explain.NewKeys(documents)
			message, err := explain.Parse(row.message.text())
			if err != nil {
				t.Fatal(err)
			}
			got := explain.Explain(message, keys, now)
			if got.Kind != row.kind || got.Cause != row.cause || !strings.Contains(got.Why, row.why) || got.Verified != (row.cause == explain.Verified) {
				t.Errorf("got %s %s %q, want %s %s %q; steps %+v", got.Kind, got.Cause, got.Why, row.kind, row.cause, row.why, got.Steps)
			}
			if !got.Verified && got.Do == "" {
				t.Error("it does not say what to do")
			}
			hidesKeys(t, world, got)
		})
	}
}

// TestNoKey: where a key is not at hand, the report says where that kind of key comes from.
func TestNoKey(t *testing.T) {
	for name, row := range map[string]struct {
		capture, do string
		kind        explain.Kind
	}{
		"a vendor's call": {"POST /v1/vendors/acme/vehicle/notifications HTTP/1.1\nwebhook-id: a\nwebhook-timestamp: 1\nwebhook-signature: v1,a\n\n{}", "parkctl vendor list", explain.VendorRequest},
		"a V2 callback":   {"POST /v1/callbacks/vehicle/acme HTTP/1.1\n\n<xml><sign>A</sign></xml>", "--merchant-file", explain.V2Callback},
		"a V3 callback":   {"POST /v1/callbacks/businesscircle HTTP/1.1\nWechatpay-Timestamp: 1\nWechatpay-Nonce: n\nWechatpay-Serial: A\nWechatpay-Signature: YQ==\n\n{}", "WeChat Pay's key", explain.V3Callback},
	} {
		t.Run(name, func(t *testing.T) {
			message, err := explain.Parse([]byte(row.capture))
			if err != nil {
				t.Fatal(err)
			}
			got := explain.Explain(message, explain.Keys{}, time.Unix(1, 0))
			if got.Kind != row.kind || got.Cause != explain.UnknownKey || !strings.Contains(got.Do, row.do) {
				t.Errorf("got %s %s %q, want %s %s and %q", got.Kind, got.Cause, got.Do, row.kind, explain.UnknownKey, row.do)
			}
		})
	}
}

// hidesKeys: no report shows a key.
func hidesKeys(t *testing.T, world *fixture.World, report explain.Report) {
	t.Helper()
	b, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	values := append(slices.Clone(world.Merchant.APIv2Keys), world.Merchant.APIv3Keys...)
	for _, v := range world.Vendors.Vendors {
		values = append(values, v.RequestSecrets...)
		values = append(values, v.WebhookSecrets...)
	}
	for _, value := range values {
		if strings.Contains(string(b), strings.TrimPrefix(value, "whsec_")) {
			t.Errorf("the report shows a key: %s", b)
		}
	}
}
