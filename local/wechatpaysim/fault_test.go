package wechatpaysim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// over sends a request to a running simulator over a connection of its own.
func over(t *testing.T, srv *httptest.Server, r *http.Request) (*http.Response, []byte, error) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, srv.URL+r.RequestURI, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	out.Header = r.Header
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp, body, err
}

func TestFaultStatus(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fault  Fault
		status int
		body   string
		signed bool
	}{
		{"429", Fault{Kind: FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Message: "频率过高"}, 429, `{"code":"RATELIMIT_EXCEEDED","message":"频率过高"}`, true},
		{"502 of a proxy", Fault{Kind: FaultStatus, Status: 502}, 502, "<html><h1>502 Bad Gateway</h1></html>\n", false},
		{"SYSTEM_ERROR", Fault{Kind: FaultSystemError}, 500, `{"code":"SYSTEM_ERROR","message":"系统错误"}`, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			s := newSim(t, cfg)
			tc.fault.Times = 1
			if err := s.Inject(tc.fault); err != nil {
				t.Fatal(err)
			}
			w := serve(s, goodParking(t, parkingBody).request(t, ""))
			if w.Code != tc.status || w.Body.String() != tc.body {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tc.status, tc.body)
			}
			if signed := verifyPlatform(t, cfg.Identity, w.Header(), w.Body.Bytes()) == nil; signed != tc.signed {
				t.Errorf("signed: got %v, want %v", signed, tc.signed)
			}
			if rec := last(t, s); !rec.Accepted || rec.Status != tc.status || rec.Fault != tc.fault.Kind {
				t.Errorf("got record %+v", rec)
			}
			if w := serve(s, goodParking(t, parkingBody).request(t, "")); w.Code != 204 {
				t.Errorf("after the fault: got %d, want 204", w.Code)
			}
		})
	}
}

func TestFaultsOfV2(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fault  Fault
		status int
		signed bool
		want   map[string]string
	}{
		{"SYSTEMERROR", Fault{Kind: FaultSystemError}, 200, true, map[string]string{"result_code": "FAIL", "err_code": "SYSTEMERROR"}},
		{"err_code", Fault{Kind: FaultErrCode, Code: "FREQUENCY_LIMITED", Message: "慢"}, 200, true, map[string]string{"result_code": "FAIL", "err_code": "FREQUENCY_LIMITED", "err_code_des": "慢"}},
		{"return_code", Fault{Kind: FaultStatus, Status: 200, Code: "签名失败"}, 200, false, map[string]string{"return_code": "FAIL", "return_msg": "签名失败"}},
		{"500", Fault{Kind: FaultStatus, Status: 500, Code: "SYSTEMERROR"}, 500, false, map[string]string{"return_code": "FAIL", "return_msg": "SYSTEMERROR"}},
		{"unsigned success", Fault{Kind: FaultNoSignature}, 200, false, map[string]string{"result_code": "SUCCESS", "user_state": "NORMAL", "sign": ""}},
		{"wrong sign", Fault{Kind: FaultWrongSignature}, 200, false, map[string]string{"result_code": "SUCCESS", "user_state": "NORMAL"}},
		{"probe", Fault{Kind: FaultProbe}, 200, false, map[string]string{"result_code": "SUCCESS"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSim(t, testConfig(t))
			tc.fault.Route = RouteVehiclePartner
			if err := s.Inject(tc.fault); err != nil {
				t.Fatal(err)
			}
			w := serve(s, goodEntry(t, lotScene).request(t))
			got := answerFields(t, w.Body.Bytes())
			if signed := got["sign"] == signV2(got, v2Key); w.Code != tc.status || signed != tc.signed {
				t.Errorf("got %d signed %v, want %d %v", w.Code, signed, tc.status, tc.signed)
			}
			if probe := strings.HasPrefix(got["sign"], "WECHATPAY/SIGNTEST/"); probe != (tc.fault.Kind == FaultProbe) {
				t.Errorf("got sign %q", got["sign"])
			}
			for k, want := range tc.want {
				if got[k] != want {
					t.Errorf("%s: got %q, want %q", k, got[k], want)
				}
			}
			if !last(t, s).Accepted {
				t.Error("got the request recorded as refused")
			}
		})
	}
}

func TestFaultsOfV3Signature(t *testing.T) {
	cfg := testConfig(t)
	for _, tc := range []struct {
		kind FaultKind
		want string
	}{
		{FaultWrongSignature, "the signature does not match these bytes and this key"},
		{FaultNoSignature, "unknown serial"},
		{FaultProbe, "the signature is not base64"},
		{FaultUnknownSerial, "unknown serial"},
		{FaultStale, ""},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			s := newSim(t, cfg)
			if err := s.Inject(Fault{Kind: tc.kind, Route: RouteParkings}); err != nil {
				t.Fatal(err)
			}
			w := serve(s, goodParking(t, parkingBody).request(t, ""))
			got := ""
			if err := verifyPlatform(t, cfg.Identity, w.Header(), nil); err != nil {
				got = err.Error()
			}
			if w.Code != 204 || got != tc.want {
				t.Errorf("got %d %q, want 204 %q", w.Code, got, tc.want)
			}
			h := w.Header()
			if stale := h.Get("Wechatpay-Timestamp") == "1795341000"; stale != (tc.kind == FaultStale) {
				t.Errorf("got timestamp %s", h.Get("Wechatpay-Timestamp"))
			}
			if missing := h.Get("Wechatpay-Signature")+h.Get("Wechatpay-Nonce")+h.Get("Wechatpay-Timestamp") == ""; missing != (tc.kind == FaultNoSignature) {
				t.Errorf("got headers %v", h)
			}
			if probe := strings.HasPrefix(h.Get("Wechatpay-Signature"), "WECHATPAY/SIGNTEST/"); probe != (tc.kind == FaultProbe) {
				t.Errorf("got signature %s", h.Get("Wechatpay-Signature"))
			}
		})
	}
}

func TestFaultsOfTheConnection(t *testing.T) {
	for _, tc := range []struct {
		kind     FaultKind
		v2       bool
		accepted bool
	}{
		{FaultResetBeforeRead, false, false},
		{FaultResetAfterRead, false, true},
		{FaultTruncated, false, true},
		{FaultResetBeforeRead, true, false},
		{FaultResetAfterRead, true, true},
		{FaultTruncated, true, true},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			s := newSim(t, testConfig(t))
			srv := httptest.NewServer(s)
			defer srv.Close()
			if err := s.Inject(Fault{Kind: tc.kind, Times: 1}); err != nil {
				t.Fatal(err)
			}
			send := func() (*http.Response, []byte, error) {
				if tc.v2 {
					return over(t, srv, goodEntry(t, lotScene).request(t))
				}
				return over(t, srv, goodParking(t, parkingBody).request(t, ""))
			}
			if resp, body, err := send(); err == nil {
				t.Errorf("got %d %q, want an error", resp.StatusCode, body)
			}
			if rec := last(t, s); rec.Accepted != tc.accepted || rec.Fault != tc.kind {
				t.Errorf("got record %+v", rec)
			}
			if _, _, err := send(); err != nil {
				t.Errorf("after the fault: got %v", err)
			}
		})
	}
}

func TestFaultTruncatedBody(t *testing.T) {
	s := newSim(t, testConfig(t))
	srv := httptest.NewServer(s)
	defer srv.Close()
	if err := s.Inject(Fault{Kind: FaultTruncated}); err != nil {
		t.Fatal(err)
	}
	resp, body, err := over(t, srv, goodEntry(t, lotScene).request(t))
	if !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode != 200 || int64(len(body)) != resp.ContentLength/2 {
		t.Errorf("got %v and %d bytes, want half of the body", err, len(body))
	}
}

func TestFaultHang(t *testing.T) {
	cfg := testConfig(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg.Observe = func(context.Context, Request) { cancel() }
	s := newSim(t, cfg)
	srv := httptest.NewServer(s)
	defer srv.Close()
	if err := s.Inject(Fault{Kind: FaultHang}); err != nil {
		t.Fatal(err)
	}
	r := goodParking(t, parkingBody).request(t, "").WithContext(ctx)
	if _, _, err := over(t, srv, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the client's own end", err)
	}
	if rec := last(t, s); rec.Status != 0 || !rec.Accepted {
		t.Errorf("got record %+v", rec)
	}
}

func TestCloseEndsHang(t *testing.T) {
	cfg := testConfig(t)
	var s *Simulator
	cfg.Observe = func(context.Context, Request) { s.Close() }
	s = newSim(t, cfg)
	srv := httptest.NewServer(s)
	defer srv.Close()
	if err := s.Inject(Fault{Kind: FaultHang}); err != nil {
		t.Fatal(err)
	}
	if resp, _, err := over(t, srv, goodParking(t, parkingBody).request(t, "")); err == nil {
		t.Errorf("got %d, want a reset", resp.StatusCode)
	}
}

func TestFaultDelay(t *testing.T) {
	cfg := testConfig(t)
	r := goodParking(t, parkingBody).request(t, "")
	synctest.Test(t, func(t *testing.T) {
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Inject(Fault{Kind: FaultDelay, Delay: 7 * time.Second}); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		w := serve(s, r)
		if took := time.Since(before); w.Code != 204 || took != 7*time.Second {
			t.Errorf("got %d after %v, want 204 after 7s", w.Code, took)
		}
	})
}

func TestFaultOrderAndRoutes(t *testing.T) {
	s := newSim(t, testConfig(t))
	for _, f := range []Fault{
		{Kind: FaultStale, Times: 1},
		{Kind: FaultErrCode, Code: "X", Times: 2},
		{Kind: FaultProbe, Route: RouteParkings, Times: 1},
		{Kind: FaultNoSignature},
	} {
		if err := s.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	v2 := func() { serve(s, goodEntry(t, lotScene).request(t)) }
	v3 := func() { serve(s, goodParking(t, parkingBody).request(t, "")) }
	for _, f := range []func(){v2, v3, v3, v3, v2, v2, func() { s.ClearFaults(); v2() }} {
		f()
	}
	var got []FaultKind
	for _, r := range s.Requests() {
		got = append(got, r.Fault)
	}
	want := []FaultKind{FaultErrCode, FaultStale, FaultProbe, FaultNoSignature, FaultErrCode, FaultNoSignature, ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestInjectRefuses(t *testing.T) {
	s := newSim(t, testConfig(t))
	for _, tc := range []struct {
		fault Fault
		want  string
	}{
		{Fault{Kind: FaultHang, Route: "/v3"}, "no such route"},
		{Fault{Kind: "tired"}, "no such kind"},
		{Fault{}, "no such kind"},
		{Fault{Kind: FaultStale, Route: RouteVehiclePartner}, "the kind does not fit the route"},
		{Fault{Kind: FaultErrCode, Route: RouteParkings}, "the kind does not fit the route"},
		{Fault{Kind: FaultHang, Times: -1}, "Times and Delay must not be negative"},
		{Fault{Kind: FaultStatus}, "Status must be 200 to 599"},
		{Fault{Kind: FaultErrCode}, "Code must be given"},
	} {
		err := s.Inject(tc.fault)
		if !errors.Is(err, ErrFault) || err.Error() != ErrFault.Error()+": "+tc.want {
			t.Errorf("%+v: got %v, want %s", tc.fault, err, tc.want)
		}
	}
	if len(s.faults) != 0 {
		t.Errorf("got %d faults kept", len(s.faults))
	}
}
