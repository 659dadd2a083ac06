package wechatpay_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/wechatpay"
)

const (
	baseURL     = "https://api.mch.weixin.qq.com"
	backupURL   = "https://api2.mch.weixin.qq.com"
	merchantID  = "1900007291"
	serialNo    = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"
	publicKeyID = "PUB_KEY_ID_TEST"
	otherKeyID  = "PUB_KEY_ID_OTHER"
	plateNumber = "粤B888888"
	openID      = "oUpF8uMuAJOM2pxb1Q"
	apiV2Key    = "192006250b4c09247ec02edce69f6a2d"
	otherV2Key  = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
	probePrefix = "WECHATPAY/SIGNTEST/"
)

// vectors is what these tests need of testdata/wechatpay.json; package signing tests every vector.
type vectors struct {
	V2 []struct {
		Name   string            `json:"name"`
		Key    string            `json:"api_v2_key"`
		Fields map[string]string `json:"fields"`
		Sign   string            `json:"sign"`
	} `json:"v2_hmac_sha256"`
	V3 struct {
		PrivateKeyPEM string `json:"private_key_pem"`
		Cases         []struct {
			Name, URI, Body string
		} `json:"cases"`
	} `json:"v3_request"`
	AEAD []struct {
		Name           string `json:"name"`
		Key            string `json:"api_v3_key"`
		Nonce          string `json:"nonce"`
		AssociatedData string `json:"associated_data"`
		Ciphertext     string `json:"ciphertext"`
		Plaintext      string `json:"plaintext"`
	} `json:"aead_aes_256_gcm"`
}

var readVectors = sync.OnceValues(func() (vectors, error) {
	var v vectors
	b, err := os.ReadFile("../../testdata/wechatpay.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	// The label stands as TESTING KEY in the file, so that secret scanners stay quiet.
	v.V3.PrivateKeyPEM = strings.ReplaceAll(v.V3.PrivateKeyPEM, "TESTING KEY", "PRIVATE KEY")
	return v, err
})

func loadVectors(t testing.TB) vectors {
	t.Helper()
	v, err := readVectors()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The keys: WeChat Pay's published exercise key signs for both sides, the other one is what a rotation brings.
var (
	exerciseKey = sync.OnceValues(func() (*rsa.PrivateKey, error) {
		v, err := readVectors()
		if err != nil {
			return nil, err
		}
		return signing.ParsePrivateKey(v.V3.PrivateKeyPEM)
	})
	anotherKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ownKey() *rsa.PrivateKey   { return must(exerciseKey()) }
func otherKey() *rsa.PrivateKey { return must(anotherKey()) }

// keysV3 are the keys of a V3 call before any rotation.
func keysV3() wechatpay.V3Keys {
	return wechatpay.V3Keys{
		Signer:        signing.NewSigner(merchantID, serialNo, ownKey()),
		WeChatPay:     signing.Keyring{publicKeyID: &ownKey().PublicKey},
		ResponseKeyID: publicKeyID,
	}
}

func keysV2(keys ...string) wechatpay.V2Keys {
	var k wechatpay.V2Keys
	for _, key := range keys {
		k = append(k, must(signing.NewV2Key(key)))
	}
	return k
}

var parking = wechatpay.Parking{
	SubMchID: "1900000109", BrandID: 1000, AppID: "wx931386123456789e", OpenID: openID,
	PlateNumber: plateNumber, State: "IN", Time: "2022-06-01T10:43:39+08:00",
}

var entry = wechatpay.Entry{
	AppID: "wxcbda96de0b165486", MchID: "10000098", SubAppID: "wxcbda96de0b165489", SubMchID: "1900000109",
	TradeScene: wechatpay.SceneParking,
	Scene: wechatpay.Scene{
		StartTime: "20170926114339", PlateNumber: plateNumber, NotifyURL: "https://weixin.qq.com/notify",
		FreeTime: "1200", CarType: "大型车", ParkingName: "欢乐海岸停车场",
	},
}

// step is what one try meets.
type step func(req *http.Request) (*http.Response, error)

// script is WeChat Pay as an http.RoundTripper: each try meets the next step, and the last one again and again.
type script struct {
	steps []step

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	times    []time.Time
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	next := s.steps[min(len(s.requests), len(s.steps)-1)]
	s.requests = append(s.requests, req)
	s.bodies = append(s.bodies, string(body))
	s.times = append(s.times, time.Now())
	s.mu.Unlock()
	return next(req)
}

func (s *script) hosts() []string {
	var hosts []string
	for _, r := range s.requests {
		hosts = append(hosts, r.URL.Host)
	}
	return hosts
}

// client returns a client whose tries meet steps.
func client(steps ...step) (*wechatpay.Client, *script) {
	s := &script{steps: steps}
	return &wechatpay.Client{BaseURL: baseURL, BackupURL: backupURL, Transport: s, Now: time.Now, Random: rand.Reader}, s
}

// connect tells the client's trace that a connection stands, as net/http does before it writes.
func connect(req *http.Request) {
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
}

var errScripted = errors.New("a failure with " + plateNumber + " in it")

// notSent fails before any byte leaves, as dialling does.
func notSent(*http.Request) (*http.Response, error) { return nil, errScripted }

// lost fails after the request was sent.
func lost(req *http.Request) (*http.Response, error) {
	connect(req)
	return nil, errScripted
}

// hang sends the request and hears nothing.
func hang(req *http.Request) (*http.Response, error) {
	connect(req)
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// stuckConnecting never gets a connection.
func stuckConnecting(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// stalledBody answers a head and half a body.
func stalledBody(req *http.Request) (*http.Response, error) {
	connect(req)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader("<xml>"), stalled{req.Context()}))}, nil
}

type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// answer is an unsigned answer; pairs are header names and values.
func answer(status int, body string, pairs ...string) step {
	return func(req *http.Request) (*http.Response, error) {
		connect(req)
		h := make(http.Header)
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// after waits before s, as far as the try's time lasts.
func after(d time.Duration, s step) step {
	return func(req *http.Request) (*http.Response, error) {
		connect(req)
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return s(req)
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

// signV3 returns the headers of a message of WeChat Pay's.
func signV3(key *rsa.PrivateKey, serial string, at time.Time, body string) http.Header {
	h := make(http.Header)
	timestamp, nonce := strconv.FormatInt(at.Unix(), 10), "d824f2e086d3c1df967785d13fcd22ef"
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + body + "\n"))
	h.Set("Wechatpay-Timestamp", timestamp)
	h.Set("Wechatpay-Nonce", nonce)
	h.Set("Wechatpay-Serial", serial)
	h.Set("Wechatpay-Signature", base64.StdEncoding.EncodeToString(must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]))))
	return h
}

// change is one mutation of a signed V3 answer.
type change func(h http.Header)

// verified is a V3 success, signed when it is given; changes are made to it afterwards.
func verified(status int, body string, changes ...change) step {
	return signedBy(ownKey(), publicKeyID, status, body, changes...)
}

func signedBy(key *rsa.PrivateKey, serial string, status int, body string, changes ...change) step {
	return func(req *http.Request) (*http.Response, error) {
		connect(req)
		h := signV3(key, serial, time.Now(), body)
		for _, c := range changes {
			c(h)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func without(name string) change { return func(h http.Header) { h.Del(name) } }

func twice(name string) change { return func(h http.Header) { h.Add(name, h.Get(name)) } }

func with(name, value string) change { return func(h http.Header) { h.Set(name, value) } }

func probe(h http.Header) { h.Set("Wechatpay-Signature", probePrefix+h.Get("Wechatpay-Signature")) }

// success204 is the one answer that a parking sync hopes for.
func success204(req *http.Request) (*http.Response, error) { return verified(204, "")(req) }

// entryAnswer is a V2 success as WeChat Pay's pages show it.
var entryAnswer = flatxml.Document{
	{Name: "return_code", Value: "SUCCESS"}, {Name: "return_msg", Value: "OK"}, {Name: "appid", Value: "wxcbda96de0b165486"},
	{Name: "mch_id", Value: "10000098"}, {Name: "sub_mch_id", Value: "1900000109"},
	{Name: "nonce_str", Value: "ec2316275641faa3aacf3cc599e8730f"}, {Name: "result_code", Value: "SUCCESS"},
	{Name: "user_state", Value: "NORMAL"}, {Name: "deduct_mode", Value: "AUTOPAY"},
}

// signedXML writes d with a sign by key, "" for none.
func signedXML(key string, d flatxml.Document) string {
	if key != "" {
		d = append(d[:len(d):len(d)], flatxml.Element{Name: "sign", Value: must(signing.NewV2Key(key)).Sign(d)})
	}
	return string(must(flatxml.Append(nil, d)))
}

// set returns d with the element called name given another value, or added.
func set(d flatxml.Document, name, value string) flatxml.Document {
	changed := append(flatxml.Document(nil), d...)
	for i := range changed {
		if changed[i].Name == name {
			changed[i].Value = value
			return changed
		}
	}
	return append(changed, flatxml.Element{Name: name, Value: value})
}

// drop returns d without the element called name.
func drop(d flatxml.Document, name string) flatxml.Document {
	var changed flatxml.Document
	for _, e := range d {
		if e.Name != name {
			changed = append(changed, e)
		}
	}
	return changed
}

// successV2 is the answer that an entry notification hopes for.
func successV2(req *http.Request) (*http.Response, error) {
	return answer(200, signedXML(apiV2Key, entryAnswer))(req)
}

// failure returns err as the *Error that it must be, holding its words against what no error may hold.
func failure(t testing.TB, err error) *wechatpay.Error {
	t.Helper()
	var e *wechatpay.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a *wechatpay.Error", err)
	}
	for _, private := range []string{plateNumber, openID, apiV2Key, otherV2Key} {
		if strings.Contains(err.Error(), private) {
			t.Fatalf("the error holds %q: %v", private, err)
		}
	}
	return e
}

// authorizationOf reads the items of a V3 Authorization header.
func authorizationOf(t testing.TB, req *http.Request) map[string]string {
	t.Helper()
	items, ok := strings.CutPrefix(req.Header.Get("Authorization"), "WECHATPAY2-SHA256-RSA2048 ")
	if !ok {
		t.Fatal("got another scheme, or none")
	}
	read := make(map[string]string)
	for item := range strings.SplitSeq(items, ",") {
		name, value, _ := strings.Cut(item, "=")
		read[name] = strings.Trim(value, `"`)
	}
	return read
}

// holds tells whether a V3 request's signature is one over body by key.
func holds(t testing.TB, req *http.Request, body string, key *rsa.PublicKey) bool {
	t.Helper()
	a := authorizationOf(t, req)
	signature := must(base64.StdEncoding.DecodeString(a["signature"]))
	message := bytes.Join([][]byte{[]byte(req.Method), []byte(req.URL.RequestURI()), []byte(a["timestamp"]), []byte(a["nonce_str"]), []byte(body), nil}, []byte("\n"))
	digest := sha256.Sum256(message)
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
}
