package wechatpaysim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"go/parser"
	gotoken "go/token"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	mchID    = "10000098"
	serialNo = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"
	v2Key    = "192006250b4c09247ec02edce69f6a2d"
	oldV2Key = "oldoldoldoldoldoldoldoldoldold12"
	v3Key    = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"

	parkingBody = `{"sub_mchid":"1900000109","brandid":1000,"appid":"wx931386123456789e","openid":"oUpF8uMuAJOM2pxb1Q","plate_number":"粤B888888","state":"IN","time":"2022-06-01T10:43:39+08:00"}`
	lotScene    = `{"scene_info":{"start_time":"20170926114339","plate_number":"粤B888888","notify_url":"https://weixin.qq.com/notify","free_time":"1200","car_type":"大型车","parking_name":"欢乐海岸停车场"}}`
	spaceScene  = `{"scene_info":{"start_time":"20170926114339","free_time":"1200","sub_openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o","space_number":"D6666"}}`
)

var testNow = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// keys are made once: a merchant's and the platform's two.
var keys = sync.OnceValue(func() [3]*rsa.PrivateKey {
	var k [3]*rsa.PrivateKey
	for i := range k {
		var err error
		if k[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return k
})

func testConfig(t testing.TB) Config {
	t.Helper()
	id, err := NewIdentity(mathrand.NewChaCha8([32]byte{1}), testNow, keys()[1], keys()[2])
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Mode: Partner, MchID: mchID, AppID: "wxcbda96de0b165486",
		APIv2Keys: []string{v2Key, oldV2Key}, APIv3Key: v3Key,
		MerchantKeys: map[string]*rsa.PublicKey{serialNo: &keys()[0].PublicKey},
		Merchants: []Merchant{
			{SubMchID: "1900000109", SubAppID: "wxcbda96de0b165489", BrandID: 1000, AppID: "wx931386123456789e"},
			{SubMchID: "1900000110"},
		},
		Identity: id,
		Now:      func() time.Time { return testNow },
		Rand:     mathrand.NewChaCha8([32]byte{2}),
	}
}

func directConfig(t testing.TB) Config {
	cfg := testConfig(t)
	cfg.Mode = Direct
	cfg.Merchants = []Merchant{{BrandID: 1000, AppID: "wx931386123456789e"}}
	return cfg
}

func newSim(t testing.TB, cfg Config) *Simulator {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// parking is a V3 request that is good unless edited; authorize makes its Authorization at the end.
type parking struct {
	method, uri, body string
	header            http.Header
	mchid, serialNo   string
	nonce, timestamp  string
	key               *rsa.PrivateKey
	authorization     func(string) string
}

var nonceCount sync.Map

func freshNonce(t testing.TB) string {
	n, _ := nonceCount.LoadOrStore(t.Name(), new(int))
	*n.(*int)++
	return fmt.Sprintf("5K8264ILTKCH16CQ2502SI8ZN%07d", *n.(*int))
}

func goodParking(t testing.TB, body string) *parking {
	return &parking{
		method: "POST", uri: RouteParkings, body: body,
		header: http.Header{
			"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"test"},
		},
		mchid: mchID, serialNo: serialNo,
		nonce: freshNonce(t), timestamp: strconv.FormatInt(testNow.Unix(), 10),
		key: keys()[0], authorization: func(a string) string { return a },
	}
}

func (p *parking) request(t testing.TB, base string) *http.Request {
	t.Helper()
	sig, err := signRSA(p.key, p.method+"\n"+p.uri+"\n"+p.timestamp+"\n"+p.nonce+"\n"+p.body+"\n")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(p.method, base+p.uri, strings.NewReader(p.body))
	r.RequestURI = p.uri
	r.Header = p.header
	if a := p.authorization(`WECHATPAY2-SHA256-RSA2048 mchid="` + p.mchid + `",nonce_str="` + p.nonce +
		`",signature="` + sig + `",timestamp="` + p.timestamp + `",serial_no="` + p.serialNo + `"`); a != "" {
		r.Header.Set("Authorization", a)
	}
	return r
}

func serve(s *Simulator, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func last(t testing.TB, s *Simulator) Request {
	t.Helper()
	all := s.Requests()
	if len(all) == 0 {
		t.Fatal("got no recorded request")
	}
	return all[len(all)-1]
}

// platformKeys reads the identity's PEMs as a merchant would.
func platformKeys(t testing.TB, id *Identity) map[string]*rsa.PublicKey {
	t.Helper()
	out := map[string]*rsa.PublicKey{}
	for name, text := range id.WeChatPayKeys() {
		block, rest := pem.Decode([]byte(text))
		if block == nil || len(rest) > 0 {
			t.Fatalf("%s: not one PEM block", name)
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ToUpper(cert.SerialNumber.Text(16)); got != name {
				t.Errorf("certificate serial: got %s, want %s", got, name)
			}
			out[name] = cert.PublicKey.(*rsa.PublicKey)
			continue
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = key.(*rsa.PublicKey)
	}
	return out
}

// verifyPlatform checks a platform signature as the gateway must.
func verifyPlatform(t testing.TB, id *Identity, h http.Header, body []byte) error {
	t.Helper()
	key := platformKeys(t, id)[h.Get("Wechatpay-Serial")]
	if key == nil {
		return errors.New("unknown serial")
	}
	message := h.Get("Wechatpay-Timestamp") + "\n" + h.Get("Wechatpay-Nonce") + "\n" + string(body) + "\n"
	return verifyRSA(key, message, h.Get("Wechatpay-Signature"))
}

func TestParkingAccepted(t *testing.T) {
	cfg := testConfig(t)
	for _, tc := range []struct{ name, asks, want string }{
		{"no key named", "", cfg.Identity.CertificateSerial},
		{"public key named", cfg.Identity.PublicKeyID, cfg.Identity.PublicKeyID},
		{"certificate named", cfg.Identity.CertificateSerial, cfg.Identity.CertificateSerial},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSim(t, cfg)
			p := goodParking(t, parkingBody)
			if tc.asks != "" {
				p.header.Set("Wechatpay-Serial", tc.asks)
			}
			w := serve(s, p.request(t, ""))
			rec := last(t, s)
			if w.Code != 204 || w.Body.Len() != 0 || !rec.Accepted {
				t.Fatalf("got %d %s (%s), want 204", w.Code, w.Body, rec.Reason)
			}
			if got := w.Header().Get("Wechatpay-Serial"); got != tc.want {
				t.Errorf("serial: got %s, want %s", got, tc.want)
			}
			if err := verifyPlatform(t, cfg.Identity, w.Header(), nil); err != nil {
				t.Errorf("signature of the empty answer: %v", err)
			}
			if w.Header().Get("Wechatpay-Signature-Type") != "WECHATPAY2-SHA256-RSA2048" || w.Header().Get("Request-ID") != rec.RequestID {
				t.Errorf("got headers %v", w.Header())
			}
			want := map[string]string{
				"sub_mchid": "1900000109", "brandid": "1000", "appid": "wx931386123456789e",
				"openid": "oUpF8uMuAJOM2pxb1Q", "plate_number": "粤B888888", "state": "IN", "time": "2022-06-01T10:43:39+08:00",
			}
			if diff := cmp.Diff(want, rec.Fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if rec.Seq != 1 || !rec.At.Equal(testNow) || rec.Route != RouteParkings || rec.Status != 204 || string(rec.Body) != parkingBody {
				t.Errorf("got record %+v", rec)
			}
		})
	}
}

func TestParkingRefused(t *testing.T) {
	body := func(old, new string) func(*parking) {
		return func(p *parking) { p.body = strings.Replace(p.body, old, new, 1) }
	}
	header := func(name string, values ...string) func(*parking) {
		return func(p *parking) { p.header[name] = values }
	}
	auth := func(old, new string) func(*parking) {
		return func(p *parking) { p.authorization = func(a string) string { return strings.Replace(a, old, new, 1) } }
	}
	at := func(d time.Duration) func(*parking) {
		return func(p *parking) { p.timestamp = strconv.FormatInt(testNow.Add(d).Unix(), 10) }
	}
	in := func(field, issue string) string {
		return "输入源“/body" + field + "”校验失败: " + issue
	}
	for _, tc := range []struct {
		name   string
		edit   func(*parking)
		status int
		code   string
		reason string
	}{
		{"no Accept", header("Accept"), 400, "INVALID_REQUEST", "Http头缺少Accept或User-Agent"},
		{"no User-Agent", header("User-Agent"), 400, "INVALID_REQUEST", "Http头缺少Accept或User-Agent"},
		{"Accept XML", header("Accept", "application/xml"), 400, "INVALID_REQUEST", "Http头Accept错误，仅支持application/json"},
		{"no Content-Type", header("Content-Type"), 400, "INVALID_REQUEST", "Http头Content-Type错误，仅支持application/json"},
		{"GBK", header("Content-Type", "application/json; charset=gbk"), 400, "INVALID_REQUEST", "Http头Content-Type错误，仅支持application/json"},
		{"Content-Type twice", header("Content-Type", "application/json", "application/json"), 400, "INVALID_REQUEST", "Http头Content-Type重复"},
		{"unknown key named", header("Wechatpay-Serial", "PUB_KEY_ID_1"), 400, "PARAM_ERROR", "输入源“/header/Wechatpay-Serial”校验失败: 平台证书序列号Wechatpay-Serial错误"},
		{"query", func(p *parking) { p.uri += "?a=1" }, 400, "PARAM_ERROR", "输入源“/uri”校验失败: the path must be sent exactly, without a query"},
		{"wrong method", func(p *parking) { p.method = "PUT" }, 404, "RESOURCE_NOT_EXISTS", "no such interface"},
		{"wrong path", func(p *parking) { p.uri = "/v3/businesscircle/parking" }, 404, "RESOURCE_NOT_EXISTS", "no such interface"},
		{"body too large", func(p *parking) { p.body = strings.Repeat(" ", maxBody+1) }, 400, "INVALID_REQUEST", "the body is over 64 KiB"},

		{"no Authorization", func(p *parking) { p.authorization = func(string) string { return "" } }, 401, "SIGN_ERROR", "the scheme is not WECHATPAY2-SHA256-RSA2048"},
		{"brand scheme", auth("WECHATPAY2-", "WECHATPAY-BRAND-"), 401, "SIGN_ERROR", "the scheme is not WECHATPAY2-SHA256-RSA2048"},
		{"two spaces", auth(" ", "  "), 401, "SIGN_ERROR", "an item is unknown or stands twice"},
		{"space after comma", auth(",", ", "), 401, "SIGN_ERROR", "an item is unknown or stands twice"},
		{"item missing", auth(`mchid="`+mchID+`",`, ""), 401, "SIGN_ERROR", "an item is missing"},
		{"item twice", auth(`mchid="`+mchID+`",`, `mchid="`+mchID+`",mchid="`+mchID+`",`), 401, "SIGN_ERROR", "an item is unknown or stands twice"},
		{"no quotes", auth(`mchid="`+mchID+`"`, "mchid="+mchID), 401, "SIGN_ERROR", "an item's value is not in quotes, or empty"},
		{"other mchid", func(p *parking) { p.mchid = "1900000109" }, 401, "SIGN_ERROR", "mchid is not this merchant's"},
		{"other certificate", func(p *parking) { p.serialNo = "00" }, 401, "SIGN_ERROR", "serial_no is no certificate of this merchant"},
		{"nonce too long", func(p *parking) { p.nonce += "0" }, 401, "SIGN_ERROR", "nonce_str is over 32 characters"},
		{"nonce characters", func(p *parking) { p.nonce = "a-b" }, 401, "SIGN_ERROR", "nonce_str must be letters and digits"},
		{"timestamp in milliseconds", func(p *parking) { p.timestamp += "000" }, 401, "SIGN_ERROR", "timestamp is not Unix seconds"},
		{"timestamp padded", func(p *parking) { p.timestamp = "0" + p.timestamp }, 401, "SIGN_ERROR", "timestamp is not Unix seconds"},
		{"stale", at(-Tolerance - time.Second), 401, "SIGN_ERROR", "timestamp is over 5 minutes off"},
		{"future", at(Tolerance + time.Second), 401, "SIGN_ERROR", "timestamp is over 5 minutes off"},
		{"other key", func(p *parking) { p.key = keys()[1] }, 401, "SIGN_ERROR", "sign not match: the signature does not match these bytes and this key"},
		{"not base64", auth(`signature="`, `signature="*`), 401, "SIGN_ERROR", "sign not match: the signature is not base64"},

		{"not JSON", body("{", ""), 400, "PARAM_ERROR", in("", "not a JSON object")},
		{"array", body(parkingBody, "["+parkingBody+"]"), 400, "PARAM_ERROR", in("", "not a JSON object")},
		{"two documents", body(parkingBody, parkingBody+"{}"), 400, "PARAM_ERROR", in("", "not a JSON object")},
		{"not UTF-8", body("粤", "\xd4\xc1"), 400, "PARAM_ERROR", in("", "not a JSON object")},
		{"twice", body("{", `{"state":"IN",`), 400, "PARAM_ERROR", in("", "a member stands twice")},
		{"half a surrogate pair", body("粤", `\ud800`), 400, "PARAM_ERROR", in("", "a string holds broken text")},
		{"four bytes", body("粤", "𠮷"), 400, "PARAM_ERROR", in("", "a character of 4 bytes")},
		{"brandid a string", body("1000", `"1000"`), 400, "PARAM_ERROR", in("/brandid", "must be an integer")},
		{"brandid a fraction", body("1000", "1000.0"), 400, "PARAM_ERROR", in("/brandid", "must be a positive integer")},
		{"brandid zero", body("1000", "0"), 400, "PARAM_ERROR", in("/brandid", "must be a positive integer")},
		{"null", body(`"oUpF8uMuAJOM2pxb1Q"`, "null"), 400, "PARAM_ERROR", in("/openid", "must be a string")},
		{"object", body(`"IN"`, `{"a":"b"}`), 400, "PARAM_ERROR", in("/state", "must be a string")},
		{"array inside", body(`"IN"`, `["IN"]`), 400, "PARAM_ERROR", in("", "an array or an object stands where a scalar is due")},
		{"unknown field", body("{", `{"plate_color":"BLUE",`), 400, "PARAM_ERROR", in("/plate_color", "is not a field of this interface")},
		{"V2 spelling", body("sub_mchid", "sub_mch_id"), 400, "PARAM_ERROR", in("/sub_mch_id", "is not a field of this interface")},
		{"no sub_mchid", body(`"sub_mchid":"1900000109",`, ""), 400, "PARAM_ERROR", in("/sub_mchid", "is required")},
		{"no brandid", body(`"brandid":1000,`, ""), 400, "PARAM_ERROR", in("/brandid", "is required")},
		{"empty openid", body("oUpF8uMuAJOM2pxb1Q", ""), 400, "PARAM_ERROR", in("/openid", "is empty")},
		{"long openid", body("oUpF8uMuAJOM2pxb1Q", strings.Repeat("o", 65)), 400, "PARAM_ERROR", in("/openid", "is over 64 characters")},
		{"long appid", body("wx931386123456789e", strings.Repeat("w", 33)), 400, "PARAM_ERROR", in("/appid", "is over 32 characters")},
		{"plate without province", body("粤B", "BB"), 400, "PARAM_ERROR", in("/plate_number", "must begin with a province's character")},
		{"plate with dot", body("粤B8", "粤B·"), 400, "PARAM_ERROR", in("/plate_number", "may hold upper-case letters, digits and Chinese characters alone")},
		{"plate in lower case", body("粤B", "粤b"), 400, "PARAM_ERROR", in("/plate_number", "may hold upper-case letters, digits and Chinese characters alone")},
		{"plate too short", body("粤B888888", "粤B8888"), 400, "PARAM_ERROR", in("/plate_number", "must have 7 or 8 characters")},
		{"state in lower case", body(`"IN"`, `"in"`), 400, "PARAM_ERROR", in("/state", "must be IN or OUT")},
		{"time with fraction", body("39+", "39.5+"), 400, "PARAM_ERROR", in("/time", "must be yyyy-MM-DDTHH:mm:ss+08:00")},
		{"time in UTC", body("39+08:00", "39Z"), 400, "PARAM_ERROR", in("/time", "must be yyyy-MM-DDTHH:mm:ss+08:00")},
		{"no such day", body("2022-06-01", "2022-06-31"), 400, "PARAM_ERROR", in("/time", "must be yyyy-MM-DDTHH:mm:ss+08:00")},
		{"foreign sub-merchant", body("1900000109", "1900000999"), 403, "NO_AUTH", "商户无权限: sub_mchid is not a sub-merchant of this service provider"},
		{"without the product", body("1900000109", "1900000110"), 403, "NO_AUTH", "商户无权限: brandid is no brand that this merchant may act for"},
		{"foreign brand", body("1000", "1001"), 403, "NO_AUTH", "商户无权限: brandid is no brand that this merchant may act for"},
		{"unbound appid", body("wx931386123456789e", "wx931386123456789f"), 400, "PARAM_ERROR", in("/appid", "is not bound to brandid")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			s := newSim(t, cfg)
			p := goodParking(t, parkingBody)
			tc.edit(p)
			w := serve(s, p.request(t, ""))
			rec := last(t, s)
			if rec.Accepted || w.Code != tc.status || rec.Code != tc.code || rec.Reason != tc.reason {
				t.Errorf("got %d %s %q, want %d %s %q", w.Code, rec.Code, rec.Reason, tc.status, tc.code, tc.reason)
			}
			if err := verifyPlatform(t, cfg.Identity, w.Header(), w.Body.Bytes()); err != nil {
				t.Errorf("signature of the refusal: %v", err)
			}
			if !strings.HasPrefix(w.Body.String(), `{"code":"`+tc.code+`",`) {
				t.Errorf("got body %s", w.Body)
			}
		})
	}
}

func TestParkingSignErrorBody(t *testing.T) {
	s := newSim(t, testConfig(t))
	p := goodParking(t, parkingBody)
	r := p.request(t, "")
	r.Body = http.NoBody
	w := serve(s, r)
	want := `{"code":"SIGN_ERROR","detail":{"detail":{"issue":"sign not match"},"field":"signature","location":"authorization",` +
		`"sign_information":{"method":"POST","sign_message_length":78,"truncated_sign_message":"POST\n/v3/businesscircle/parkings\n` +
		p.timestamp + `\n` + p.nonce + `\n","url":"/v3/businesscircle/parkings"}},"message":"错误的签名，验签失败"}`
	if w.Body.String() != want {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
}

func TestParkingParamErrorBody(t *testing.T) {
	s := newSim(t, testConfig(t))
	w := serve(s, goodParking(t, strings.Replace(parkingBody, `"IN"`, `"<IN>"`, 1)).request(t, ""))
	want := `{"code":"PARAM_ERROR","detail":{"field":"/state","value":"<IN>","issue":"must be IN or OUT","location":"body"},"message":"输入源“/body/state”校验失败: must be IN or OUT"}`
	if w.Body.String() != want {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
}

func TestParkingTimestampBounds(t *testing.T) {
	for _, d := range []time.Duration{-Tolerance, Tolerance} {
		s := newSim(t, testConfig(t))
		p := goodParking(t, parkingBody)
		p.timestamp = strconv.FormatInt(testNow.Add(d).Unix(), 10)
		if w := serve(s, p.request(t, "")); w.Code != 204 {
			t.Errorf("%v off: got %d, want 204", d, w.Code)
		}
	}
}

func TestNonceReplay(t *testing.T) {
	cfg := testConfig(t)
	now := testNow
	cfg.Now = func() time.Time { return now }
	s := newSim(t, cfg)
	send := func(edit func(*parking)) Request {
		p := goodParking(t, parkingBody)
		p.nonce = "SAMENONCE"
		p.timestamp = strconv.FormatInt(now.Unix(), 10)
		edit(p)
		serve(s, p.request(t, ""))
		return last(t, s)
	}
	if rec := send(func(p *parking) { p.key = keys()[1] }); rec.Accepted {
		t.Error("got a forged request accepted")
	}
	if rec := send(func(*parking) {}); !rec.Accepted {
		t.Errorf("a forged request spent the nonce: %s", rec.Reason)
	}
	if rec := send(func(*parking) {}); rec.Reason != "nonce_str was used before" || rec.Status != 401 {
		t.Errorf("got %d %q, want a replay refused", rec.Status, rec.Reason)
	}
	now = now.Add(nonceMemory + time.Second)
	if rec := send(func(*parking) {}); !rec.Accepted {
		t.Errorf("after the memory: got %q, want accepted", rec.Reason)
	}
	if len(s.nonces) != 1 {
		t.Errorf("got %d nonces remembered, want 1", len(s.nonces))
	}
}

func TestParkingDirect(t *testing.T) {
	s := newSim(t, directConfig(t))
	if w := serve(s, goodParking(t, strings.Replace(parkingBody, `"sub_mchid":"1900000109",`, "", 1)).request(t, "")); w.Code != 204 {
		t.Errorf("got %d %s, want 204", w.Code, w.Body)
	}
	serve(s, goodParking(t, parkingBody).request(t, ""))
	if got, want := last(t, s).Reason, "输入源“/body/sub_mchid”校验失败: is not a field of this interface"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"mode", func(c *Config) { c.Mode = "both" }, "field Mode must be partner or direct"},
		{"mchid", func(c *Config) { c.MchID = "" }, "field MchID must be digits, and AppID letters and digits, at most 32"},
		{"short V2 key", func(c *Config) { c.APIv2Keys = []string{"short"} }, "field APIv2Keys[0] must be 32 letters and digits"},
		{"short V3 key", func(c *Config) { c.APIv3Key = "short" }, "field APIv3Key must have 32 bytes"},
		{"nil key", func(c *Config) { c.MerchantKeys = map[string]*rsa.PublicKey{"1": nil} }, "field MerchantKeys holds a nil key"},
		{"sub_mchid in direct mode", func(c *Config) { c.Mode = Direct }, "field Merchants[0].SubMchID must be given in partner mode and only there"},
		{"brand without appid", func(c *Config) { c.Merchants = []Merchant{{SubMchID: "1", BrandID: 1}} }, "field Merchants[0]: BrandID and AppID go together"},
		{"no identity", func(c *Config) { c.Identity = nil }, "field Identity must come from GenerateIdentity or NewIdentity"},
		{"no clock", func(c *Config) { c.Now = nil }, "fields Now and Rand must be given"},
		{"keep", func(c *Config) { c.Keep = -1 }, "field Keep must not be negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			tc.edit(&cfg)
			_, err := New(cfg)
			if !errors.Is(err, ErrConfig) || err.Error() != ErrConfig.Error()+": "+tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestGenerateIdentity(t *testing.T) {
	id, err := GenerateIdentity(rand.Reader, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if len(platformKeys(t, id)) != 2 {
		t.Errorf("got %d keys, want 2", len(platformKeys(t, id)))
	}
	if len(id.CertificateSerial) != 40 || len(id.PublicKeyID) != len("PUB_KEY_ID_")+34 {
		t.Errorf("got serial %s and id %s", id.CertificateSerial, id.PublicKeyID)
	}
	if _, err := NewIdentity(rand.Reader, testNow, id.publicKey, id.publicKey); err == nil {
		t.Error("got one key for both, want an error")
	}
}

func TestKeepAndForget(t *testing.T) {
	cfg := testConfig(t)
	cfg.Keep = 3
	var seen []int
	cfg.Observe = func(_ context.Context, r Request) { seen = append(seen, r.Seq) }
	s := newSim(t, cfg)
	for range 8 {
		serve(s, httptest.NewRequest("GET", "/", nil))
	}
	var got []int
	for _, r := range s.Requests() {
		got = append(got, r.Seq)
	}
	if diff := cmp.Diff([]int{6, 7, 8}, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if len(seen) != 8 {
		t.Errorf("observed %d, want 8", len(seen))
	}
	s.Forget()
	serve(s, httptest.NewRequest("GET", "/", nil))
	if rec := s.Requests(); len(rec) != 1 || rec[0].Seq != 9 {
		t.Errorf("got %d records after Forget", len(rec))
	}
}

func TestConcurrentUse(t *testing.T) {
	cfg := testConfig(t)
	s := newSim(t, cfg)
	var requests []*http.Request
	for range 20 {
		requests = append(requests, goodParking(t, parkingBody).request(t, ""))
		requests = append(requests, goodEntry(t, lotScene).request(t))
	}
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() {
			s.SetState(strconv.Itoa(i), State{UserState: "NORMAL"})
			if err := s.Inject(Fault{Kind: FaultProbe, Times: 1}); err != nil {
				t.Error(err)
			}
			serve(s, r)
			s.Requests()
		})
	}
	wg.Wait()
	for _, r := range s.Requests() {
		if !r.Accepted {
			t.Errorf("got %q, want accepted", r.Reason)
		}
	}
}

// TestStandsAlone keeps the simulator's cryptography and parsers its own.
func TestStandsAlone(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		ast, err := parser.ParseFile(gotoken.NewFileSet(), f, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range ast.Imports {
			if strings.HasPrefix(i.Path.Value, `"wechat-parking-gateway/`) && i.Path.Value != `"wechat-parking-gateway/local/wechatpaysim"` {
				t.Errorf("%s imports %s: a mistake there would hide here", f, i.Path.Value)
			}
		}
	}
}

func clone(m map[string]string) map[string]string { return maps.Clone(m) }
