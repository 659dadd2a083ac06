package wechatpay_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/trace"
	"wechat-parking-gateway/shared/wechatpay"
)

const (
	mainHost   = "api.mch.weixin.qq.com"
	backupHost = "api2.mch.weixin.qq.com"
)

// version is one of the two calls, made in the same words.
type version struct {
	name    string
	success step
	call    func(ctx context.Context, c *wechatpay.Client) error
	hosts   []string // of three tries
}

func versions() []version {
	return []version{
		{"V3", success204, func(ctx context.Context, c *wechatpay.Client) error {
			return c.SyncParking(ctx, &functest.Source[wechatpay.V3Keys]{Value: keysV3()}, parking)
		}, []string{mainHost, backupHost, backupHost}},
		{"V2", successV2, func(ctx context.Context, c *wechatpay.Client) error {
			_, err := c.NotifyEntry(ctx, &functest.Source[wechatpay.V2Keys]{Value: keysV2(apiV2Key)}, entry)
			return err
		}, []string{mainHost, mainHost, mainHost}},
	}
}

// TestTries is the table of which failures are tried again, how often and where, and what a mixture of them comes to.
func TestTries(t *testing.T) {
	const succeeds = wechatpay.Kind(0)
	broken, refused, limited := answer(503, ""), answer(404, ""), answer(429, "")
	rejected, forbidden := answer(401, ""), answer(403, "")
	unverified := answer(200, "<html>")
	for name, tc := range map[string]struct {
		steps []step // nil stands for the version's success
		kind  wechatpay.Kind
		tries int
	}{
		"success":                          {[]step{nil}, succeeds, 1},
		"not sent, then success":           {[]step{notSent, nil}, succeeds, 2},
		"lost, then success":               {[]step{lost, nil}, succeeds, 2},
		"5xx, then success":                {[]step{broken, nil}, succeeds, 2},
		"unverified, then success":         {[]step{unverified, nil}, succeeds, 2},
		"success at the third":             {[]step{lost, broken, nil}, succeeds, 3},
		"refused":                          {[]step{refused}, wechatpay.Refused, 1},
		"rate limited":                     {[]step{limited}, wechatpay.RateLimited, 1},
		"forbidden":                        {[]step{forbidden}, wechatpay.NoPermission, 1},
		"our signature rejected":           {[]step{rejected}, wechatpay.SignatureRejected, 1},
		"never sent":                       {[]step{notSent}, wechatpay.Unavailable, 3},
		"lost each time":                   {[]step{lost}, wechatpay.Unknown, 3},
		"5xx each time":                    {[]step{broken}, wechatpay.Unavailable, 3},
		"unverified each time":             {[]step{unverified}, wechatpay.Unverified, 3},
		"lost once, then never sent":       {[]step{lost, notSent}, wechatpay.Unknown, 3},
		"lost in between":                  {[]step{notSent, lost, notSent}, wechatpay.Unknown, 3},
		"lost at the end":                  {[]step{broken, broken, lost}, wechatpay.Unknown, 3},
		"lost once, then 5xx":              {[]step{lost, broken}, wechatpay.Unknown, 3},
		"lost once, then unverified":       {[]step{lost, unverified}, wechatpay.Unverified, 3},
		"lost, then refused":               {[]step{lost, refused}, wechatpay.Refused, 2},
		"5xx, then rate limited":           {[]step{broken, limited}, wechatpay.RateLimited, 2},
		"not sent, then rejected":          {[]step{notSent, rejected}, wechatpay.SignatureRejected, 2},
		"half an answer":                   {[]step{stalledBody, nil}, succeeds, 2},
		"an answer that ends with a reset": {[]step{brokenBody, nil}, succeeds, 2},
		"an answer that is too large":      {[]step{answer(200, strings.Repeat(" ", 64<<10+1))}, wechatpay.Unknown, 3},
	} {
		for _, v := range versions() {
			t.Run(v.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					steps := slices.Clone(tc.steps)
					for i, s := range steps {
						if s == nil {
							steps[i] = v.success
						}
					}
					c, s := client(steps...)
					log := functest.NewLog(t)
					ctx, line := telemetry.Begin(t.Context())
					err := v.call(ctx, c)
					log.Meter().Write(line, 0)
					counted := map[string]int64{outcome[tc.kind]: 1}
					if n := unverifiedTries[name]; n > 0 {
						counted["WeChatPayUnverified"] = n
					}
					delete(counted, "")
					if diff := cmp.Diff(counted, log.Counted(t)); diff != "" {
						t.Errorf("metrics (-want +got):\n%s", diff)
					}
					if tc.kind == succeeds {
						if err != nil {
							t.Errorf("got %v, want success", err)
						}
					} else if got := failure(t, err); got.Kind != tc.kind {
						t.Errorf("got %v, want kind %d", got, tc.kind)
					}
					if got, want := s.hosts(), v.hosts[:tc.tries]; !slices.Equal(got, want) {
						t.Errorf("got tries at %v, want %v", got, want)
					}
				})
			})
		}
	}
}

// outcome names the metric of what a call came to; that of answers that do not verify counts tries.
var outcome = map[wechatpay.Kind]string{
	0: "WeChatPaySucceeded", wechatpay.Refused: "WeChatPayRefused", wechatpay.NoPermission: "WeChatPayNoPermission",
	wechatpay.RateLimited: "WeChatPayRateLimited", wechatpay.SignatureRejected: "WeChatPayRejectedOurSignature",
	wechatpay.Unavailable: "WeChatPayUnavailable", wechatpay.Unknown: "WeChatPayOutcomeUnknown",
}

// unverifiedTries says in which rows of TestTries how many answers do not verify.
var unverifiedTries = map[string]int64{"unverified, then success": 1, "unverified each time": 3, "lost once, then unverified": 2}

// brokenBody answers a head and a body that the connection does not survive.
func brokenBody(req *http.Request) (*http.Response, error) {
	connect(req)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))}, nil
}

// TestTrace holds that each try carries the trace of its request and nothing else of the caller's, and that WeChat Pay's
// own id of its last answer is logged.
func TestTrace(t *testing.T) {
	of := trace.Begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	for _, v := range versions() {
		t.Run(v.name, func(t *testing.T) {
			c, s := client(answer(503, "", "Request-ID", "first"), answer(404, "", "Request-ID", "08F78DB8A60610C48DD7E30118E0E0C45820-0"))
			log := functest.NewLog(t)
			ctx, line := telemetry.Begin(trace.With(t.Context(), of))
			failure(t, v.call(ctx, c))
			line.Write(ctx, log.Logger(), 0, "request")
			for _, r := range s.requests {
				names := slices.Sorted(maps.Keys(r.Header))
				want := []string{"Accept", "Content-Type", "Traceparent", "User-Agent"}
				if v.name == "V3" {
					want = []string{"Accept", "Authorization", "Content-Type", "Traceparent", "User-Agent", "Wechatpay-Serial"}
				}
				if got := r.Header.Get("Traceparent"); got != of.String() || !slices.Equal(names, want) {
					t.Errorf("got the traceparent %s among %v, want %s among %v", got, names, of, want)
				}
			}
			if got := log.Last(t); got["wechatpay_request_id"] != "08F78DB8A60610C48DD7E30118E0E0C45820-0" || got["trace_id"] != of.ID() {
				t.Errorf("logged %v, want WeChat Pay's last id and the trace", got)
			}
		})
	}
}

// TestEachTryIsNew holds that a try repeats the business fields and nothing else: nonce, time and signature are its own.
func TestEachTryIsNew(t *testing.T) {
	t.Run("V3", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, s := client(after(1500*time.Millisecond, lost))
			_ = failure(t, versions()[0].call(t.Context(), c))
			nonces, times := map[string]bool{}, map[string]bool{}
			for i, req := range s.requests {
				if s.bodies[i] != s.bodies[0] {
					t.Errorf("try %d: got body %s, want %s", i, s.bodies[i], s.bodies[0])
				}
				if !holds(t, req, s.bodies[i], &ownKey().PublicKey) {
					t.Errorf("try %d: the signature does not hold", i)
				}
				a := authorizationOf(t, req)
				nonces[a["nonce_str"]], times[a["timestamp"]] = true, true
			}
			if len(s.requests) != 3 || len(nonces) != 3 || len(times) != 3 {
				t.Errorf("got %d tries with %d nonces and %d timestamps, want 3 of each", len(s.requests), len(nonces), len(times))
			}
		})
	})
	t.Run("V2", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, s := client(lost)
			_ = failure(t, versions()[1].call(t.Context(), c))
			nonces, business := map[string]bool{}, map[string]bool{}
			for _, body := range s.bodies {
				d := must(flatxml.Parse([]byte(body)))
				if err := signing.VerifyV2(d, keysV2(apiV2Key)); err != nil {
					t.Errorf("got %v, want a signature that holds", err)
				}
				nonces[d.Get("nonce_str")], business[signing.CanonicalV2(d, "nonce_str")] = true, true
			}
			if len(s.bodies) != 3 || len(nonces) != 3 || len(business) != 1 {
				t.Errorf("got %d tries with %d nonces and %d sets of business fields, want 3, 3 and 1", len(s.bodies), len(nonces), len(business))
			}
		})
	})
}

// TestBudgets holds how long a call lasts: 8 s in all, 3 s a try, and one second less than the invocation.
func TestBudgets(t *testing.T) {
	const never = 0
	for name, tc := range map[string]struct {
		steps     []step
		left      time.Duration // of the invocation, never for no deadline
		tries     int
		kind      wechatpay.Kind
		min, most time.Duration
	}{
		"hanging, no deadline":                     {[]step{hang}, never, 3, wechatpay.Unknown, 8 * time.Second, 8 * time.Second},
		"hanging, 30 s left":                       {[]step{hang}, 30 * time.Second, 3, wechatpay.Unknown, 8 * time.Second, 8 * time.Second},
		"hanging, 9 s left":                        {[]step{hang}, 9 * time.Second, 3, wechatpay.Unknown, 8 * time.Second, 8 * time.Second},
		"hanging, 4 s left":                        {[]step{hang}, 4 * time.Second, 1, wechatpay.Unknown, 3 * time.Second, 3 * time.Second},
		"hanging, 1.5 s left":                      {[]step{hang}, 1500 * time.Millisecond, 1, wechatpay.Unknown, 500 * time.Millisecond, 500 * time.Millisecond},
		"nothing left to spend":                    {[]step{hang}, time.Second, 0, wechatpay.Unavailable, 0, 0},
		"less than nothing":                        {[]step{hang}, time.Millisecond, 0, wechatpay.Unavailable, 0, 0},
		"never connected":                          {[]step{stuckConnecting}, never, 3, wechatpay.Unavailable, 8 * time.Second, 8 * time.Second},
		"one hangs, one connects never":            {[]step{hang, stuckConnecting}, never, 3, wechatpay.Unknown, 8 * time.Second, 8 * time.Second},
		"a body that stalls":                       {[]step{stalledBody}, never, 3, wechatpay.Unknown, 8 * time.Second, 8 * time.Second},
		"2.9 s is in time":                         {[]step{after(2900*time.Millisecond, answer(404, ""))}, never, 1, wechatpay.Refused, 2900 * time.Millisecond, 2900 * time.Millisecond},
		"one try takes 3 s":                        {[]step{hang, answer(404, "")}, never, 2, wechatpay.Refused, 3 * time.Second, 3200 * time.Millisecond},
		"failures at once leave time: full jitter": {[]step{answer(503, "")}, never, 3, wechatpay.Unavailable, 0, 600 * time.Millisecond},
	} {
		for _, v := range versions() {
			t.Run(v.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					if tc.left != never {
						bounded, cancel := context.WithTimeout(ctx, tc.left)
						defer cancel()
						ctx = bounded
					}
					c, s := client(tc.steps...)
					began := time.Now()
					got := failure(t, v.call(ctx, c))
					if took := time.Since(began); took < tc.min || took > tc.most {
						t.Errorf("took %v, want %v to %v", took, tc.min, tc.most)
					}
					if got.Kind != tc.kind || len(s.requests) != tc.tries {
						t.Errorf("got %v after %d tries, want kind %d after %d", got, len(s.requests), tc.kind, tc.tries)
					}
				})
			})
		}
	}
}

// TestJitter holds that the pauses are drawn from [0, 200 ms) and [0, 400 ms), and that they are drawn at all.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauses := map[time.Duration]bool{}
		for range 20 {
			c, s := client(notSent)
			_ = failure(t, versions()[1].call(t.Context(), c))
			for i, limit := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond} {
				pause := s.times[i+1].Sub(s.times[i])
				if pause < 0 || pause >= limit {
					t.Errorf("pause %d: got %v, want less than %v", i+1, pause, limit)
				}
				pauses[pause] = true
			}
		}
		if len(pauses) < 30 {
			t.Errorf("got %d different pauses of 40, want them drawn", len(pauses))
		}
	})
}

// TestCancelled holds that nobody's call goes on after its invocation: what was sent is unknown, what was not is not.
func TestCancelled(t *testing.T) {
	for _, v := range versions() {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				c, s := client(func(req *http.Request) (*http.Response, error) {
					cancel()
					return hang(req)
				})
				if got := failure(t, v.call(ctx, c)); got.Kind != wechatpay.Unknown || len(s.requests) != 1 {
					t.Errorf("under way: got %v after %d tries, want unknown after 1", got, len(s.requests))
				}
				if got := failure(t, v.call(ctx, c)); got.Kind != wechatpay.Unavailable || len(s.requests) != 1 {
					t.Errorf("before: got %v after %d tries, want unavailable without another", got, len(s.requests))
				}
			})
		})
	}
}

// TestNothingToSign holds that a try whose nonce cannot be drawn sends nothing.
func TestNothingToSign(t *testing.T) {
	for _, v := range versions() {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := client(v.success)
				c.Random = iotest.ErrReader(errScripted)
				if got := failure(t, v.call(t.Context(), c)); got.Kind != wechatpay.Unavailable || len(s.requests) != 0 {
					t.Errorf("got %v after %d tries, want unavailable and nothing sent", got, len(s.requests))
				}
			})
		})
	}
}

// rotated are the keys that a refresh brings.
func rotatedV3() *wechatpay.V3Keys {
	return &wechatpay.V3Keys{
		Signer:        signing.NewSigner(merchantID, "NEW", otherKey()),
		WeChatPay:     signing.Keyring{publicKeyID: &otherKey().PublicKey, otherKeyID: &otherKey().PublicKey},
		ResponseKeyID: otherKeyID,
	}
}

// TestRefreshV3 is the table of when keys are fetched again, and what the new ones are used for.
func TestRefreshV3(t *testing.T) {
	byOther := signedBy(otherKey(), otherKeyID, 204, "")
	for name, tc := range map[string]struct {
		steps     []step
		fresh     *wechatpay.V3Keys
		kind      wechatpay.Kind // 0 for success
		tries     int
		refreshes int
	}{
		"rejected, keys unchanged":              {[]step{answer(401, codeV3("SIGN_ERROR")), byOther}, nil, wechatpay.SignatureRejected, 1, 1},
		"rejected, keys changed":                {[]step{answer(401, codeV3("SIGN_ERROR")), byOther}, rotatedV3(), 0, 2, 1},
		"rejected again with the new keys":      {[]step{answer(401, codeV3("SIGN_ERROR"))}, rotatedV3(), wechatpay.SignatureRejected, 2, 2},
		"unknown key, the new keys know it":     {[]step{byOther}, rotatedV3(), 0, 1, 1},
		"unknown key, keys unchanged":           {[]step{byOther}, nil, wechatpay.Unverified, 3, 3},
		"bad signature, the new keys hold":      {[]step{signedBy(otherKey(), publicKeyID, 204, "")}, rotatedV3(), 0, 1, 1},
		"bad signature, keys unchanged":         {[]step{signedBy(otherKey(), publicKeyID, 204, ""), success204}, nil, 0, 2, 1},
		"bad signature under the new too":       {[]step{signedBy(otherKey(), publicKeyID, 204, "", with("Wechatpay-Nonce", "another"))}, rotatedV3(), wechatpay.Unverified, 3, 3},
		"probe":                                 {[]step{verified(204, "", probe), byOther}, nil, wechatpay.Unverified, 3, 2},
		"probe, then success":                   {[]step{verified(204, "", probe), success204}, nil, 0, 2, 0},
		"stale":                                 {[]step{verified(204, "", with("Wechatpay-Timestamp", "946684000"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"future":                                {[]step{verified(204, "", with("Wechatpay-Timestamp", "946690000"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"bad base64":                            {[]step{verified(204, "", with("Wechatpay-Signature", "no base64"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"no signature":                          {[]step{verified(204, "", without("Wechatpay-Signature"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"no serial":                             {[]step{verified(204, "", without("Wechatpay-Serial"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"no timestamp":                          {[]step{verified(204, "", without("Wechatpay-Timestamp"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"no nonce":                              {[]step{verified(204, "", without("Wechatpay-Nonce"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"no header at all":                      {[]step{answer(204, "")}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"the signature twice":                   {[]step{verified(204, "", twice("Wechatpay-Signature"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"the serial twice":                      {[]step{verified(204, "", twice("Wechatpay-Serial"))}, rotatedV3(), wechatpay.Unverified, 3, 0},
		"refused, though keys would be new":     {[]step{answer(400, codeV3("PARAM_ERROR"))}, rotatedV3(), wechatpay.Refused, 1, 0},
		"unavailable, though keys would be new": {[]step{answer(503, "")}, rotatedV3(), wechatpay.Unavailable, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := client(tc.steps...)
				keys := &functest.Source[wechatpay.V3Keys]{Value: keysV3(), Next: tc.fresh}
				err := c.SyncParking(t.Context(), keys, parking)
				if tc.kind == 0 && err != nil {
					t.Fatalf("got %v, want success", err)
				}
				if tc.kind != 0 && failure(t, err).Kind != tc.kind {
					t.Errorf("got %v, want kind %d", err, tc.kind)
				}
				if len(s.requests) != tc.tries || keys.Refreshes != tc.refreshes || keys.Gets != 1 {
					t.Errorf("got %d tries, %d refreshes and %d gets, want %d, %d and 1", len(s.requests), keys.Refreshes, keys.Gets, tc.tries, tc.refreshes)
				}
			})
		})
	}
}

// TestNewKeysSign holds that the try after a rejection is signed with, and asks to be answered with, the new keys.
func TestNewKeysSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := client(answer(401, codeV3("SIGN_ERROR")), signedBy(otherKey(), otherKeyID, 204, ""))
		if err := c.SyncParking(t.Context(), &functest.Source[wechatpay.V3Keys]{Value: keysV3(), Next: rotatedV3()}, parking); err != nil {
			t.Fatal(err)
		}
		second := s.requests[1]
		if got := authorizationOf(t, second)["serial_no"]; got != "NEW" || !holds(t, second, s.bodies[1], &otherKey().PublicKey) {
			t.Errorf("got serial_no %q, want NEW and its signature", got)
		}
		if got := second.Header.Get("Wechatpay-Serial"); got != otherKeyID {
			t.Errorf("got Wechatpay-Serial %q, want %q", got, otherKeyID)
		}
	})
}

// TestRefreshV2 is the same table for V2, where a key signs requests and verifies answers.
func TestRefreshV2(t *testing.T) {
	rejected := answer(200, signedXML("", flatxml.Document{{Name: "return_code", Value: "FAIL"}, {Name: "return_msg", Value: "签名失败"}}))
	byOther := answer(200, signedXML(otherV2Key, entryAnswer))
	good := signedXML(apiV2Key, entryAnswer)
	fresh := func() *wechatpay.V2Keys { k := keysV2(otherV2Key, apiV2Key); return &k }
	for name, tc := range map[string]struct {
		steps     []step
		fresh     *wechatpay.V2Keys
		kind      wechatpay.Kind
		tries     int
		refreshes int
		signedBy  string // the last try
	}{
		"rejected, keys unchanged":          {[]step{rejected, byOther}, nil, wechatpay.SignatureRejected, 1, 1, apiV2Key},
		"rejected, keys changed":            {[]step{rejected, byOther}, fresh(), 0, 2, 1, otherV2Key},
		"unverified, the new keys hold":     {[]step{byOther}, fresh(), 0, 1, 1, apiV2Key},
		"unverified, keys unchanged":        {[]step{byOther}, nil, wechatpay.Unverified, 3, 3, apiV2Key},
		"probe":                             {[]step{answer(200, strings.Replace(good, "<sign><![CDATA[", "<sign><![CDATA["+probePrefix, 1))}, fresh(), wechatpay.Unverified, 3, 0, apiV2Key},
		"a byte of the answer changed":      {[]step{answer(200, strings.Replace(good, "NORMAL", "NORMAI", 1))}, nil, wechatpay.Unverified, 3, 3, apiV2Key},
		"an element added":                  {[]step{answer(200, strings.Replace(good, "<sign>", "<x>1</x><sign>", 1))}, nil, wechatpay.Unverified, 3, 3, apiV2Key},
		"another sign_type":                 {[]step{answer(200, signedXML(apiV2Key, set(entryAnswer, "sign_type", "MD5")))}, nil, wechatpay.Unverified, 3, 3, apiV2Key},
		"no sign":                           {[]step{answer(200, signedXML("", entryAnswer))}, nil, wechatpay.Unverified, 3, 3, apiV2Key},
		"an element that is new to us":      {[]step{answer(200, signedXML(apiV2Key, set(entryAnswer, "brand_new", "1")))}, nil, 0, 1, 0, apiV2Key},
		"sign_type is given":                {[]step{answer(200, signedXML(apiV2Key, set(entryAnswer, "sign_type", "HMAC-SHA256")))}, nil, 0, 1, 0, apiV2Key},
		"refused, though keys would be new": {[]step{answer(200, signedXML(apiV2Key, set(entryAnswer, "result_code", "FAIL")))}, fresh(), wechatpay.Refused, 1, 0, apiV2Key},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := client(tc.steps...)
				keys := &functest.Source[wechatpay.V2Keys]{Value: keysV2(apiV2Key), Next: tc.fresh}
				_, err := c.NotifyEntry(t.Context(), keys, entry)
				if tc.kind == 0 && err != nil {
					t.Fatalf("got %v, want success", err)
				}
				if tc.kind != 0 && failure(t, err).Kind != tc.kind {
					t.Errorf("got %v, want kind %d", err, tc.kind)
				}
				if len(s.requests) != tc.tries || keys.Refreshes != tc.refreshes || keys.Gets != 1 {
					t.Errorf("got %d tries, %d refreshes and %d gets, want %d, %d and 1", len(s.requests), keys.Refreshes, keys.Gets, tc.tries, tc.refreshes)
				}
				last := must(flatxml.Parse([]byte(s.bodies[len(s.bodies)-1])))
				if err := signing.VerifyV2(last, keysV2(tc.signedBy)); err != nil {
					t.Errorf("the last try is not signed with the newest key: %v", err)
				}
			})
		})
	}
}

// TestKeyBeingChanged: with the new key in front of the old one, a call succeeds before and after the moment from which
// WeChat Pay takes the new one alone; each key is tried once, and WeChat Pay never does anything on a rejected signature.
func TestKeyBeingChanged(t *testing.T) {
	rejected := answer(200, signedXML("", flatxml.Document{{Name: "return_code", Value: "FAIL"}, {Name: "return_msg", Value: "签名失败"}}))
	changed := keysV2("cccccccccccccccccccccccccccccccc", apiV2Key)
	for name, tc := range map[string]struct {
		keys  wechatpay.V2Keys
		fresh *wechatpay.V2Keys
		steps []step
		kind  wechatpay.Kind
		by    []string // the keys that the tries are signed with
	}{
		"before the change":                    {keysV2(otherV2Key, apiV2Key), nil, []step{rejected, answer(200, signedXML(apiV2Key, entryAnswer))}, 0, []string{otherV2Key, apiV2Key}},
		"after the change":                     {keysV2(otherV2Key, apiV2Key), nil, []step{answer(200, signedXML(otherV2Key, entryAnswer))}, 0, []string{otherV2Key}},
		"neither is taken":                     {keysV2(otherV2Key, apiV2Key), nil, []step{rejected}, wechatpay.SignatureRejected, []string{otherV2Key, apiV2Key}},
		"neither is taken, then new keys come": {keysV2(otherV2Key), &changed, []step{rejected, rejected, answer(200, signedXML(apiV2Key, entryAnswer))}, 0, []string{otherV2Key, "cccccccccccccccccccccccccccccccc", apiV2Key}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := client(tc.steps...)
				_, err := c.NotifyEntry(t.Context(), &functest.Source[wechatpay.V2Keys]{Value: tc.keys, Next: tc.fresh}, entry)
				if tc.kind == 0 && err != nil || tc.kind != 0 && failure(t, err).Kind != tc.kind {
					t.Errorf("got %v, want kind %d", err, tc.kind)
				}
				if len(s.bodies) != len(tc.by) {
					t.Fatalf("got %d tries, want %d", len(s.bodies), len(tc.by))
				}
				for i, key := range tc.by {
					if err := signing.VerifyV2(must(flatxml.Parse([]byte(s.bodies[i]))), keysV2(key)); err != nil {
						t.Errorf("try %d is signed with another key: %v", i+1, err)
					}
				}
			})
		})
	}
}

// lateKeys are keys that change at the second look at them alone.
type lateKeys struct {
	keys, fresh wechatpay.V2Keys
	looks       int
}

func (l *lateKeys) Get(context.Context) (wechatpay.V2Keys, error) { return l.keys, nil }

func (l *lateKeys) Refresh(context.Context) (wechatpay.V2Keys, bool, error) {
	l.looks++
	if l.looks == 2 {
		return l.fresh, true, nil
	}
	return l.keys, false, nil
}

// TestFewerKeysCome: the second key signs, its answer does not verify, and the list that is fetched for that is shorter.
func TestFewerKeysCome(t *testing.T) {
	const newest = "cccccccccccccccccccccccccccccccc"
	synctest.Test(t, func(t *testing.T) {
		rejected := answer(200, signedXML("", flatxml.Document{{Name: "return_code", Value: "FAIL"}, {Name: "return_msg", Value: "签名失败"}}))
		unverified := answer(200, signedXML("dddddddddddddddddddddddddddddddd", entryAnswer))
		c, s := client(rejected, unverified, answer(200, signedXML(newest, entryAnswer)))
		_, err := c.NotifyEntry(t.Context(), &lateKeys{keys: keysV2(otherV2Key, apiV2Key), fresh: keysV2(newest)}, entry)
		if err != nil || len(s.bodies) != 3 {
			t.Fatalf("got %v after %d tries, want success after 3", err, len(s.bodies))
		}
		if err := signing.VerifyV2(must(flatxml.Parse([]byte(s.bodies[2]))), keysV2(newest)); err != nil {
			t.Errorf("the last try is not signed with the newest key: %v", err)
		}
	})
}

// TestSuccess holds which answers are a success.
func TestSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range map[string]step{
			"the empty 204":        verified(204, ""),
			"a 200 with a body":    verified(200, `{"any":"thing"}`),
			"64 KiB":               verified(200, strings.Repeat(" ", 64<<10)),
			"five minutes slow":    signedAt(-5 * time.Minute),
			"five minutes ahead":   signedAt(5 * time.Minute),
			"a header beside them": verified(204, "", with("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")),
		} {
			c, _ := client(s)
			if err := c.SyncParking(t.Context(), &functest.Source[wechatpay.V3Keys]{Value: keysV3()}, parking); err != nil {
				t.Errorf("%s: got %v, want success", name, err)
			}
		}
		c, _ := client(successV2)
		got, err := c.NotifyEntry(t.Context(), &functest.Source[wechatpay.V2Keys]{Value: keysV2(otherV2Key, apiV2Key)}, entry)
		if err != nil || got.UserState() != "NORMAL" || got.DeductMode() != "AUTOPAY" || got.Document.Get("return_msg") != "OK" {
			t.Errorf("got %v, %v, want every element of the answer", got, err)
		}
	})
}

func signedAt(off time.Duration) step {
	return func(req *http.Request) (*http.Response, error) {
		connect(req)
		return &http.Response{StatusCode: 204, Header: signV3(ownKey(), publicKeyID, time.Now().Add(off), ""), Body: http.NoBody}, nil
	}
}

// TestCredentials holds what is made of the merchant's two documents, and what is said where one is out.
func TestCredentials(t *testing.T) {
	ctx := t.Context()
	v2 := keysV2(apiV2Key)
	m := &merchant.Merchant{MchID: merchantID, V2Keys: v2, WeChatPayKeys: keysV3().WeChatPay, ResponseKeyID: publicKeyID}
	key := &merchant.Key{SerialNo: serialNo, PrivateKey: ownKey()}
	type merchants = functest.Source[*merchant.Merchant]
	type keys = functest.Source[*merchant.Key]

	both := wechatpay.V3Credentials{Merchants: &merchants{Value: m}, Keys: &keys{Value: key}}
	got, err := both.Get(ctx)
	if err != nil || got.Signer == nil || got.ResponseKeyID != publicKeyID || !maps.Equal(got.WeChatPay, m.WeChatPayKeys) {
		t.Errorf("got %+v, %v, want the keys of both documents", got, err)
	}
	for name, tc := range map[string]struct {
		c       wechatpay.V3Credentials
		changed bool
		err     error
	}{
		"neither changed":     {both, false, nil},
		"the merchant's":      {wechatpay.V3Credentials{Merchants: &merchants{Value: m, Next: &m}, Keys: &keys{Value: key}}, true, nil},
		"the private key":     {wechatpay.V3Credentials{Merchants: &merchants{Value: m}, Keys: &keys{Value: key, Next: &key}}, true, nil},
		"the merchant is out": {wechatpay.V3Credentials{Merchants: &merchants{Err: functest.ErrDown}, Keys: &keys{Value: key}}, false, functest.ErrDown},
		"the key is out":      {wechatpay.V3Credentials{Merchants: &merchants{Value: m, Next: &m}, Keys: &keys{Err: functest.ErrDown}}, false, functest.ErrDown},
	} {
		if _, changed, err := tc.c.Refresh(ctx); changed != tc.changed || !errors.Is(err, tc.err) {
			t.Errorf("refresh, %s: got changed %t, %v, want %t, %v", name, changed, err, tc.changed, tc.err)
		}
		if _, err := tc.c.Get(ctx); !errors.Is(err, tc.err) {
			t.Errorf("get, %s: got %v, want %v", name, err, tc.err)
		}
	}

	for name, tc := range map[string]struct {
		source *merchants
		want   error
	}{
		"a key":  {&merchants{Value: m}, nil},
		"no key": {&merchants{Value: &merchant.Merchant{}}, wechatpay.ErrNoV2Key},
		"out":    {&merchants{Err: functest.ErrDown}, functest.ErrDown},
	} {
		c := wechatpay.V2Credentials{Merchants: tc.source}
		if got, err := c.Get(ctx); !errors.Is(err, tc.want) || (err == nil) != (len(got) == 1) {
			t.Errorf("V2 get, %s: got %d keys, %v, want %v", name, len(got), err, tc.want)
		}
		if got, _, err := c.Refresh(ctx); !errors.Is(err, tc.want) || (err == nil) != (len(got) == 1) {
			t.Errorf("V2 refresh, %s: got %d keys, %v, want %v", name, len(got), err, tc.want)
		}
	}
}

// TestKeysOut holds that a call without keys sends nothing and says what its credentials said.
func TestKeysOut(t *testing.T) {
	c, s := client(success204)
	if err := c.SyncParking(t.Context(), &functest.Source[wechatpay.V3Keys]{Err: functest.ErrDown}, parking); !errors.Is(err, functest.ErrDown) {
		t.Errorf("V3: got %v, want %v", err, functest.ErrDown)
	}
	if _, err := c.NotifyEntry(t.Context(), &functest.Source[wechatpay.V2Keys]{Err: functest.ErrDown}, entry); !errors.Is(err, functest.ErrDown) {
		t.Errorf("V2: got %v, want %v", err, functest.ErrDown)
	}
	if len(s.requests) != 0 {
		t.Errorf("got %d tries, want none", len(s.requests))
	}
}

// TestRefreshFails holds that a rejected call is not tried again with the keys that were rejected.
func TestRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := client(answer(401, codeV3("SIGN_ERROR")))
		keys := failingRefresh{keysV3()}
		if got := failure(t, c.SyncParking(t.Context(), keys, parking)); got.Kind != wechatpay.SignatureRejected || len(s.requests) != 1 {
			t.Errorf("got %v after %d tries, want the rejection after 1", got, len(s.requests))
		}
	})
}

type failingRefresh struct{ keys wechatpay.V3Keys }

func (f failingRefresh) Get(context.Context) (wechatpay.V3Keys, error) { return f.keys, nil }

func (f failingRefresh) Refresh(context.Context) (wechatpay.V3Keys, bool, error) {
	return wechatpay.V3Keys{}, true, functest.ErrDown
}
