package demovendor_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"wechat-parking-gateway/local/demovendor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	newSecret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldSecret   = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	otherSecret = "whsec_bm90IG9uZSBvZiB0aGUgcmVjZWl2ZXIncw=="

	id   = "evt_aecc3244013724576071aae2bbafe04660d06408"
	body = `{"type":"vehicle.plate_state_changed","timestamp":"2026-11-22T10:00:00+08:00","data":{"plate_number":"粤B888888"}}`
)

// signed returns a valid webhook of now, signed by each of the secrets.
func signed(t testing.TB, url, id, body string, at time.Time, secrets ...string) *http.Request {
	t.Helper()
	var signatures []string
	for _, secret := range secrets {
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := webhook.Sign(id, at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, signature)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/webhooks/wechat", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", fmt.Sprint(at.Unix()))
	req.Header.Set("Webhook-Signature", strings.Join(signatures, " "))
	return req
}

func newReceiver(t testing.TB) *demovendor.Receiver {
	t.Helper()
	r, err := demovendor.NewReceiver(time.Now, newSecret, oldSecret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// serve gives a webhook to the receiver without a network.
func serve(r *demovendor.Receiver, req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func TestValidWebhook(t *testing.T) {
	at := time.Date(2026, 11, 22, 2, 0, 1, 0, time.UTC)
	r, err := demovendor.NewReceiver(func() time.Time { return at }, newSecret, oldSecret)
	if err != nil {
		t.Fatal(err)
	}
	req := signed(t, "http://parking.example.com", id, body, time.Now(), newSecret, oldSecret)
	if w := serve(r, req); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Errorf("got %d %q, want 204 and no body", w.Code, w.Body)
	}
	want := []demovendor.Delivery{{
		ID: id, Type: "vehicle.plate_state_changed", Timestamp: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC),
		Data: []byte(`{"plate_number":"粤B888888"}`), Secrets: []int{0, 1}, At: at,
		Method: "POST", Host: "parking.example.com", URL: "http://parking.example.com/webhooks/wechat",
		Header: req.Header, Body: []byte(body), Status: http.StatusNoContent,
	}}
	got := r.Deliveries()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("deliveries (-want +got):\n%s", diff)
	}
	if !got[0].Accepted() {
		t.Error("Accepted: got false, want true")
	}
}

func TestRotatedSecrets(t *testing.T) {
	for _, tc := range []struct {
		name    string
		secrets []string
		want    []int
		verdict error
	}{
		{"newest alone", []string{newSecret}, []int{0}, nil},
		{"oldest alone", []string{oldSecret}, []int{1}, nil},
		{"both", []string{newSecret, oldSecret}, []int{0, 1}, nil},
		{"a foreign one too", []string{otherSecret, oldSecret}, []int{1}, nil},
		{"a foreign one alone", []string{otherSecret}, nil, standardwebhooks.ErrNoMatchingSignature},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReceiver(t)
			serve(r, signed(t, "", id, body, time.Now(), tc.secrets...))
			d := r.Deliveries()[0]
			if !errors.Is(d.Verdict, tc.verdict) || !cmp.Equal(d.Secrets, tc.want) {
				t.Errorf("got secrets %v, verdict %v, want %v, %v", d.Secrets, d.Verdict, tc.want, tc.verdict)
			}
		})
	}
}

// Each row is one change to a valid webhook after it was signed.
func TestTamperedWebhook(t *testing.T) {
	replace := func(body string) func(*http.Request) {
		return func(req *http.Request) { req.Body = io.NopCloser(strings.NewReader(body)) }
	}
	set := func(name, value string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set(name, value) }
	}
	now := time.Now()
	for _, tc := range []struct {
		name   string
		edit   func(*http.Request)
		status int
		want   error
	}{
		{"another byte in the body", replace(strings.Replace(body, "888888", "888889", 1)), 401, standardwebhooks.ErrNoMatchingSignature},
		{"a byte more", replace(body + "\n"), 401, standardwebhooks.ErrNoMatchingSignature},
		{"no body", replace(""), 401, standardwebhooks.ErrNoMatchingSignature},
		{"another id", set("Webhook-Id", id[:len(id)-1]+"9"), 401, standardwebhooks.ErrNoMatchingSignature},
		{"no id", set("Webhook-Id", ""), 401, standardwebhooks.ErrRequiredHeaders},
		{"another second", set("Webhook-Timestamp", fmt.Sprint(now.Unix()-1)), 401, standardwebhooks.ErrNoMatchingSignature},
		{"no timestamp", set("Webhook-Timestamp", ""), 401, standardwebhooks.ErrRequiredHeaders},
		{"timestamp is a date", set("Webhook-Timestamp", now.Format(time.RFC3339)), 401, standardwebhooks.ErrInvalidHeaders},
		{"six minutes old", set("Webhook-Timestamp", fmt.Sprint(now.Unix()-360)), 401, standardwebhooks.ErrMessageTooOld},
		{"six minutes early", set("Webhook-Timestamp", fmt.Sprint(now.Unix()+360)), 401, standardwebhooks.ErrMessageTooNew},
		{"no signature", set("Webhook-Signature", ""), 401, standardwebhooks.ErrRequiredHeaders},
		{"another version", func(req *http.Request) {
			req.Header.Set("Webhook-Signature", "v2"+strings.TrimPrefix(req.Header.Get("Webhook-Signature"), "v1"))
		}, 401, standardwebhooks.ErrNoMatchingSignature},
		{"signature of zeros", set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))), 401, standardwebhooks.ErrNoMatchingSignature},
		{"a PUT", func(req *http.Request) { req.Method = http.MethodPut }, 405, demovendor.ErrMethod},
		{"content type text", set("Content-Type", "text/plain"), 400, demovendor.ErrNotEvent},
		{"larger than a queue message", replace(strings.Repeat("x", 1<<20+1)), 413, demovendor.ErrTooLarge},
		{"body breaks off", func(req *http.Request) { req.Body = io.NopCloser(broken{}) }, 400, demovendor.ErrUnread},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReceiver(t)
			req := signed(t, "", id, body, now, newSecret)
			tc.edit(req)
			w := serve(r, req)
			d := r.Deliveries()[0]
			if !errors.Is(d.Verdict, tc.want) || w.Code != tc.status || d.Status != tc.status {
				t.Errorf("got %d, verdict %v, want %d, %v", w.Code, d.Verdict, tc.status, tc.want)
			}
			if d.Accepted() || d.Type != "" || d.Data != nil {
				t.Errorf("got %+v, want nothing of it believed", d)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSignedBodyIsNotAnEvent(t *testing.T) {
	for _, tc := range []struct{ name, from, to string }{
		{"not JSON", body, "done"},
		{"a list", body, "[]"},
		{"no type", `"type":"vehicle.plate_state_changed",`, ""},
		{"no timestamp", `"timestamp":"2026-11-22T10:00:00+08:00",`, ""},
		{"no data", `,"data":{"plate_number":"粤B888888"}`, ""},
		{"timestamp without a zone", "+08:00", ""},
		{"data a text", `{"plate_number":"粤B888888"}`, `"粤B888888"`},
		{"a member more", `"type"`, `"id":"1","type"`},
		{"something behind it", body, body + "{}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReceiver(t)
			w := serve(r, signed(t, "", id, strings.Replace(body, tc.from, tc.to, 1), time.Now(), newSecret))
			if d := r.Deliveries()[0]; !errors.Is(d.Verdict, demovendor.ErrNotEvent) || w.Code != 400 || len(d.Secrets) != 1 {
				t.Errorf("got %d, %+v, want 400, ErrNotEvent and a signature that holds", w.Code, d)
			}
		})
	}
}

func TestNewReceiverRefuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		secrets []string
		want    string
	}{
		{"none", nil, "demovendor: a receiver needs a secret"},
		{"no prefix", []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "demovendor: secret 0 is not a Standard Webhooks secret"},
		{"empty", []string{newSecret, "whsec_"}, "demovendor: secret 1 is not a Standard Webhooks secret"},
		{"not base64", []string{"whsec_%"}, "demovendor: secret 0 is not a Standard Webhooks secret: unable to create webhook, err: illegal base64 data at input byte 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := demovendor.NewReceiver(time.Now, tc.secrets...); err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestDuplicates(t *testing.T) {
	r := newReceiver(t)
	if err := r.Inject(demovendor.Fault{Kind: demovendor.FaultStatus, Status: 500, ID: "evt_b", Times: 1}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"evt_a", "evt_b", "evt_b", "evt_c", "evt_c", "evt_c"} {
		serve(r, signed(t, "", id, body, time.Now(), newSecret))
	}
	serve(r, signed(t, "", "evt_a", body, time.Now(), otherSecret))
	if diff := cmp.Diff(map[string]int{"evt_c": 2}, r.Duplicates()); diff != "" {
		t.Errorf("duplicates (-want +got):\n%s", diff)
	}
	for id, want := range map[string]int{"evt_a": 2, "evt_b": 2, "evt_c": 3, "evt_d": 0} {
		if got := r.Tries(id); got != want {
			t.Errorf("Tries(%s): got %d, want %d", id, got, want)
		}
	}
}

// Wait passes over what was forged, what was refused, and what came while the vendor was down.
func TestWait(t *testing.T) {
	r := newReceiver(t)
	type result struct {
		delivery demovendor.Delivery
		err      error
	}
	done := make(chan result, 1)
	go func() {
		d, err := r.Wait(t.Context(), id)
		done <- result{d, err}
	}()
	send := func(id string, secret string) { serve(r, signed(t, "", id, body, time.Now(), secret)) }
	if err := r.TakeDown(demovendor.FaultStatus); err != nil {
		t.Fatal(err)
	}
	send(id, newSecret)
	r.BringUp()
	send(id, otherSecret)
	send("evt_other", newSecret)
	select {
	case got := <-done:
		t.Fatalf("Wait returned %+v too early", got)
	default:
	}
	send(id, oldSecret)
	if got := <-done; got.err != nil || got.delivery.ID != id || !cmp.Equal(got.delivery.Secrets, []int{1}) {
		t.Errorf("got %+v, want the last one", got)
	}
	tries, err := r.WaitTries(t.Context(), id, 3)
	var statuses []int
	for _, d := range tries {
		statuses = append(statuses, d.Status)
	}
	if err != nil || !cmp.Equal(statuses, []int{503, 401, 204}) {
		t.Errorf("WaitTries: got %v, %v, want 503, 401 and 204", statuses, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	r := newReceiver(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Wait(ctx, id); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: got %v, want context.Canceled", err)
	}
	if _, err := r.WaitTries(ctx, id, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitTries: got %v, want context.Canceled", err)
	}
}

// Whatever is signed, a body that is taken for an event has a type and an object for data.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{body, "{}", "null", `{"type":"a","timestamp":"2026-11-22T10:00:00Z","data":{}}`, `{"data":{`, ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := newReceiver(t)
		w := serve(r, signed(t, "", id, body, time.Now(), newSecret))
		d := r.Deliveries()[0]
		if d.Verdict == nil && (d.Type == "" || len(d.Data) < 2 || d.Data[0] != '{' || w.Code != 204) {
			t.Errorf("got %d, %+v", w.Code, d)
		}
		if d.Verdict != nil && (!errors.Is(d.Verdict, demovendor.ErrNotEvent) || w.Code != 400 || d.Data != nil) {
			t.Errorf("got %d, %+v, want 400 and ErrNotEvent", w.Code, d)
		}
	})
}
