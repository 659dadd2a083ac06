package wechatpaysim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"crypto/aes"
	"crypto/cipher"

	"github.com/google/go-cmp/cmp"
)

const success = "<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var blocked = PlateState{
	SubMchID: "1900000109", SubAppID: "wxcbda96de0b165489", PlateNumber: "粤B888888",
	EventType: "BLOCKED", EventDes: "OVERDUE", CreateTime: testNow,
}

func openGCM(t testing.TB, key, nonce, aad, ciphertext string) ([]byte, error) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm.Open(nil, []byte(nonce), raw, []byte(aad))
}

func plainOf(t testing.TB, c Callback) (envelope, string) {
	t.Helper()
	var e envelope
	if err := json.Unmarshal(c.Body, &e); err != nil {
		t.Fatal(err)
	}
	plain, err := openGCM(t, v3Key, e.Resource.Nonce, e.Resource.AssociatedData, e.Resource.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	return e, string(plain)
}

func TestPlateStateChanged(t *testing.T) {
	cfg := testConfig(t)
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, success)
	}))
	defer srv.Close()
	cfg.Transport = srv.Client().Transport
	s := newSim(t, cfg)

	p := blocked
	p.Extra = []Element{{"new_field", "<新>"}}
	d, err := s.PlateStateChanged(t.Context(), srv.URL+"/v1/callbacks/vehicle/demo", p)
	if err != nil || !d.Success || d.Why != "" || d.Status != 200 || string(d.Body) != success {
		t.Fatalf("got %+v, %v", d, err)
	}
	if got.Method != "POST" || got.URL.Path != "/v1/callbacks/vehicle/demo" || got.Header.Get("Content-Type") != "text/xml" || len(got.Header.Get("Request-ID")) != 32 {
		t.Errorf("got %s %s %v", got.Method, got.URL, got.Header)
	}
	fields := answerFields(t, body)
	checkAnswerSign(t, fields, v2Key)
	want := map[string]string{
		"mch_id": mchID, "sub_mch_id": "1900000109", "appid": "wxcbda96de0b165486", "sub_appid": "wxcbda96de0b165489",
		"sign_type": "HMAC-SHA256", "plate_number": "粤B888888", "vehicle_event_type": "BLOCKED",
		"vehicle_event_des": "OVERDUE", "new_field": "<新>", "vehicle_event_createtime": "20261122180000",
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("elements (-want +got):\n%s", diff)
	}
}

func TestPlateStateOmitsSignType(t *testing.T) {
	s := newSim(t, testConfig(t))
	p := blocked
	p.OmitSignType = true
	c, err := s.BuildPlateState("http://127.0.0.1/n", p)
	if err != nil {
		t.Fatal(err)
	}
	fields := answerFields(t, c.Body)
	if _, ok := fields["sign_type"]; ok {
		t.Error("got a sign_type")
	}
	checkAnswerSign(t, fields, v2Key)
}

func TestMallCallbacks(t *testing.T) {
	cfg := testConfig(t)
	var got Callback
	cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		got = Callback{Header: r.Header, Body: body}
		return &http.Response{StatusCode: 204, Body: http.NoBody}, err
	})
	s := newSim(t, cfg)
	for _, tc := range []struct {
		name      string
		send      func() (Delivery, error)
		eventType string
		aad       string
		plain     string
	}{
		{"transaction", func() (Delivery, error) {
			return s.MallTransaction(t.Context(), "http://127.0.0.1/bc", MallTransaction{
				MchID: "1230000109", MerchantName: "腾讯广场", ShopName: "微信支付", ShopNumber: "123456", AppID: "wxd678efh567hg6787",
				OpenID: "oUpF8uMuAJ2pxb1Q9zNjWUHsd", TimeEnd: "2020-05-20T13:29:35+08:00", Amount: 200, TransactionID: "1234567890",
			})
		}, "MALL_TRANSACTION.SUCCESS", "mall_transaction",
			`{"mchid":"1230000109","merchant_name":"腾讯广场","shop_name":"微信支付","shop_number":"123456","appid":"wxd678efh567hg6787","openid":"oUpF8uMuAJ2pxb1Q9zNjWUHsd","time_end":"2020-05-20T13:29:35+08:00","amount":200,"transaction_id":"1234567890"}`},
		{"refund", func() (Delivery, error) {
			return s.MallRefund(t.Context(), "http://127.0.0.1/bc", MallRefund{MchID: "1", RefundID: "r", PayAmount: 2, RefundAmount: 1})
		}, "MALL_REFUND.SUCCESS", "mall_refund",
			`{"mchid":"1","merchant_name":"","shop_name":"","shop_number":"","appid":"","openid":"","refund_time":"","pay_amount":2,"refund_amount":1,"transaction_id":"","refund_id":"r"}`},
		{"card", func() (Delivery, error) {
			return s.CardActivated(t.Context(), "http://127.0.0.1/bc", CardActivated{OpenID: "o", Code: "c", MchID: "1", AuthType: "REGISTERED_MODE"})
		}, "MALL_AUTH.ACTIVATE_CARD", "", `{"openid":"o","code":"c","mchid":"1","auth_type":"REGISTERED_MODE"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := tc.send()
			if err != nil || !d.Success {
				t.Fatalf("got %+v, %v", d, err)
			}
			if err := verifyPlatform(t, cfg.Identity, got.Header, got.Body); err != nil {
				t.Error(err)
			}
			if got.Header.Get("Wechatpay-Serial") != cfg.Identity.PublicKeyID || got.Header.Get("Content-Type") != "application/json" ||
				got.Header.Get("Wechatpay-Timestamp") != strconv.FormatInt(testNow.Unix(), 10) || got.Header.Get("Request-ID") == "" {
				t.Errorf("got headers %v", got.Header)
			}
			e, plain := plainOf(t, got)
			if plain != tc.plain || e.EventType != tc.eventType || e.Resource.AssociatedData != tc.aad {
				t.Errorf("got %s %q %s", e.EventType, e.Resource.AssociatedData, plain)
			}
			if e.ResourceType != "encrypt-resource" || e.Resource.Algorithm != "AEAD_AES_256_GCM" || e.CreateTime != "2026-11-22T18:00:00+08:00" ||
				len(e.ID) > 36 || !strings.HasPrefix(e.ID, "EV-20261122180000") {
				t.Errorf("got envelope %+v", e)
			}
		})
	}
}

func TestRedelivery(t *testing.T) {
	cfg := testConfig(t)
	now := testNow
	cfg.Now = func() time.Time { return now }
	s := newSim(t, cfg)

	plate, err := s.BuildPlateState("http://127.0.0.1/n", blocked)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	again, err := s.Renew(plate)
	if err != nil {
		t.Fatal(err)
	}
	a, b := answerFields(t, plate.Body), answerFields(t, again.Body)
	if a["nonce_str"] == b["nonce_str"] || a["sign"] == b["sign"] {
		t.Error("got the same nonce or sign after Renew")
	}
	checkAnswerSign(t, a, v2Key)
	checkAnswerSign(t, b, v2Key)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("business fields differ:\n%s", diff)
	}
	if _, err := s.Resign(plate); !errors.Is(err, ErrWrongScheme) {
		t.Errorf("Resign of V2: got %v, want ErrWrongScheme", err)
	}

	event, err := s.BuildCardActivated("http://127.0.0.1/bc", CardActivated{OpenID: "o"})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	resigned, err := s.SignWith(event, cfg.Identity.CertificateSerial)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(resigned.Body, event.Body) || resigned.Header.Get("Wechatpay-Timestamp") == event.Header.Get("Wechatpay-Timestamp") {
		t.Error("SignWith: got another body or the same timestamp")
	}
	renewed, err := s.Renew(resigned)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(renewed.Body, event.Body) {
		t.Error("Renew: got the same body")
	}
	e1, p1 := plainOf(t, event)
	e2, p2 := plainOf(t, renewed)
	if e1.eventHead != e2.eventHead || p1 != p2 || e1.Resource.Nonce == e2.Resource.Nonce {
		t.Errorf("Renew: got %+v %s, want the same facts under a new nonce", e2, p2)
	}
	for _, c := range []Callback{resigned, renewed} {
		if err := verifyPlatform(t, cfg.Identity, c.Header, c.Body); err != nil || c.Header.Get("Wechatpay-Serial") != cfg.Identity.CertificateSerial {
			t.Errorf("got serial %s, %v", c.Header.Get("Wechatpay-Serial"), err)
		}
	}
	if _, err := s.SignWith(event, "PUB_KEY_ID_1"); !errors.Is(err, ErrUnknownSerial) {
		t.Errorf("got %v, want ErrUnknownSerial", err)
	}
}

func TestForgePlate(t *testing.T) {
	s := newSim(t, testConfig(t))
	c, err := s.BuildPlateState("http://127.0.0.1/n", blocked)
	if err != nil {
		t.Fatal(err)
	}
	original := bytes.Clone(c.Body)
	for _, kind := range []Forgery{ForgeByte, ForgeKey, ForgeProbe} {
		f, err := s.Forge(c, kind)
		if err != nil {
			t.Fatal(err)
		}
		fields := answerFields(t, f.Body)
		if fields["sign"] == signV2(fields, v2Key) {
			t.Errorf("%s: got a good sign", kind)
		}
		if strings.HasPrefix(fields["sign"], "WECHATPAY/SIGNTEST/") != (kind == ForgeProbe) {
			t.Errorf("%s: got sign %s", kind, fields["sign"])
		}
		if changed := fields["vehicle_event_createtime"] == "20261122180001"; changed != (kind == ForgeByte) {
			t.Errorf("%s: got time %s", kind, fields["vehicle_event_createtime"])
		}
	}
	if !bytes.Equal(c.Body, original) {
		t.Error("Forge changed the callback that it was given")
	}
	if _, err := s.Forge(c, ForgeStale); !errors.Is(err, ErrWrongScheme) {
		t.Errorf("got %v, want ErrWrongScheme", err)
	}
}

func TestForgeEvent(t *testing.T) {
	cfg := testConfig(t)
	s := newSim(t, cfg)
	c, err := s.BuildCardActivated("http://127.0.0.1/bc", CardActivated{OpenID: "o"})
	if err != nil {
		t.Fatal(err)
	}
	body, header := bytes.Clone(c.Body), c.Header.Clone()
	for _, tc := range []struct {
		kind Forgery
		want string
		at   string
	}{
		{ForgeByte, "the signature does not match these bytes and this key", "1795341600"},
		{ForgeKey, "the signature does not match these bytes and this key", "1795341600"},
		{ForgeProbe, "the signature is not base64", "1795341600"},
		{ForgeSerial, "unknown serial", "1795341600"},
		{ForgeStale, "", "1795341000"},
		{ForgeFuture, "", "1795342200"},
		{ForgeBase64, "the signature is not base64", "1795341600"},
		{ForgeEncryption, "", "1795341600"},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			f, err := s.Forge(c, tc.kind)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := verifyPlatform(t, cfg.Identity, f.Header, f.Body); err != nil {
				got = err.Error()
			}
			if got != tc.want || f.Header.Get("Wechatpay-Timestamp") != tc.at {
				t.Errorf("got %q at %s, want %q at %s", got, f.Header.Get("Wechatpay-Timestamp"), tc.want, tc.at)
			}
			if !json.Valid(f.Body) {
				t.Errorf("got body %s", f.Body)
			}
			var e envelope
			if err := json.Unmarshal(f.Body, &e); err != nil {
				t.Fatal(err)
			}
			_, err = openGCM(t, v3Key, e.Resource.Nonce, e.Resource.AssociatedData, e.Resource.Ciphertext)
			if (err != nil) != (tc.kind == ForgeEncryption) {
				t.Errorf("decryption: got %v", err)
			}
		})
	}
	if !bytes.Equal(c.Body, body) || cmp.Diff(header, c.Header) != "" {
		t.Error("Forge changed the callback that it was given")
	}
	if _, err := s.Forge(c, "mild"); !errors.Is(err, ErrWrongScheme) {
		t.Errorf("got %v, want ErrWrongScheme", err)
	}
}

func TestDeliveryVerdict(t *testing.T) {
	for _, tc := range []struct {
		name   string
		v3     bool
		status int
		body   string
		why    string
	}{
		{"V2 success", false, 200, success, ""},
		{"V2 FAIL", false, 200, "<xml><return_code>FAIL</return_code></xml>", "return_code is not SUCCESS"},
		{"V2 500", false, 500, success, "HTTP status 500"},
		{"V2 empty", false, 200, "", "the answer is not the XML that is due: XML格式错误: no root"},
		{"V2 JSON", false, 200, `{"code":"SUCCESS"}`, "the answer is not the XML that is due: XML格式错误: text outside the elements"},
		{"V3 204", true, 204, "", ""},
		{"V3 200 with FAIL", true, 200, `{"code":"FAIL"}`, ""},
		{"V3 202", true, 202, "", "HTTP status 202"},
		{"V3 redirect", true, 302, "", "HTTP status 302"},
		{"V3 401", true, 401, `{"code":"FAIL"}`, "HTTP status 401"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: tc.status, Body: io.NopCloser(strings.NewReader(tc.body))}, nil
			})
			s := newSim(t, cfg)
			c, err := s.BuildPlateState("http://127.0.0.1/n", blocked)
			if tc.v3 {
				c, err = s.BuildEvent("http://127.0.0.1/n", Event{Type: "NEW.THING", Resource: map[string]int{"a": 1}})
			}
			if err != nil {
				t.Fatal(err)
			}
			d, err := s.Send(t.Context(), c)
			if err != nil || d.Why != tc.why || d.Success != (tc.why == "") || d.Status != tc.status || string(d.Body) != tc.body {
				t.Errorf("got %+v, %v, want %q", d, err, tc.why)
			}
		})
	}
}

func TestSendGivesUpAfterFiveSeconds(t *testing.T) {
	cfg := testConfig(t)
	cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	s := newSim(t, cfg)
	c, err := s.BuildPlateState("http://127.0.0.1/n", blocked)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		before := time.Now()
		_, err := s.Send(t.Context(), c)
		if took := time.Since(before); !errors.Is(err, context.DeadlineExceeded) || took != CallbackTimeout {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestCallbackErrors(t *testing.T) {
	cfg := testConfig(t)
	cfg.APIv2Keys, cfg.APIv3Key = nil, ""
	s := newSim(t, cfg)
	if _, err := s.BuildPlateState("http://127.0.0.1/n", blocked); !errors.Is(err, ErrNoKey) {
		t.Errorf("V2: got %v, want ErrNoKey", err)
	}
	if _, err := s.CardActivated(t.Context(), "http://127.0.0.1/n", CardActivated{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("V3: got %v, want ErrNoKey", err)
	}
	s = newSim(t, testConfig(t))
	if _, err := s.PlateStateChanged(t.Context(), "http://127.0.0.1/n", blocked); err == nil {
		t.Error("no transport: got no error")
	}
	broken := errors.New("broken")
	cfg = testConfig(t)
	cfg.Rand = io.MultiReader(strings.NewReader(""), errReader{broken})
	s = newSim(t, cfg)
	if _, err := s.BuildPlateState("http://127.0.0.1/n", blocked); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if w := serve(s, goodParking(t, parkingBody).request(t, "")); w.Code != 500 {
		t.Errorf("got %d, want 500", w.Code)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
