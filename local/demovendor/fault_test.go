package demovendor_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/demovendor"
)

// listen serves the receiver on a loopback address.
func listen(t *testing.T, r *demovendor.Receiver) (*httptest.Server, *http.Client) {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	t.Cleanup(r.Close) // runs before the server waits for its answers
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return server, client
}

func inject(t *testing.T, r *demovendor.Receiver, f demovendor.Fault) {
	t.Helper()
	if err := r.Inject(f); err != nil {
		t.Fatal(err)
	}
}

func TestChosenAnswers(t *testing.T) {
	for _, tc := range []struct {
		name     string
		fault    demovendor.Fault
		status   int
		header   http.Header
		accepted bool
	}{
		{"200", demovendor.Fault{Kind: demovendor.FaultStatus, Status: 200}, 200, http.Header{}, true},
		{"410", demovendor.Fault{Kind: demovendor.FaultStatus, Status: 410}, 410, http.Header{}, false},
		{"429 with Retry-After", demovendor.Fault{Kind: demovendor.FaultStatus, Status: 429, RetryAfter: "7"}, 429, http.Header{"Retry-After": {"7"}}, false},
		{"redirect", demovendor.Fault{Kind: demovendor.FaultRedirect}, 307, http.Header{"Location": {"/redirected/webhooks/wechat"}}, false},
		{"permanent redirect elsewhere", demovendor.Fault{Kind: demovendor.FaultRedirect, Status: 301, Location: "http://169.254.169.254/"}, 301, http.Header{"Location": {"http://169.254.169.254/"}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReceiver(t)
			server, client := listen(t, r)
			tc.fault.Times = 1
			inject(t, r, tc.fault)
			for i, want := range []int{tc.status, 204} {
				res, err := client.Do(signed(t, server.URL, id, body, time.Now(), newSecret))
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("webhook %d: got %d, want %d", i, res.StatusCode, want)
				}
				got := http.Header{}
				for _, name := range []string{"Retry-After", "Location"} {
					if v := res.Header.Values(name); v != nil {
						got[name] = v
					}
				}
				if i == 0 && !cmp.Equal(got, tc.header) {
					t.Errorf("got headers %v, want %v", got, tc.header)
				}
			}
			first := r.Deliveries()[0]
			if first.Verdict != nil || first.Status != tc.status || first.Fault != tc.fault.Kind || first.Accepted() != tc.accepted {
				t.Errorf("got %+v, want a good webhook, status %d, accepted %v", first, tc.status, tc.accepted)
			}
		})
	}
}

func TestDown(t *testing.T) {
	t.Run("503", func(t *testing.T) {
		r := newReceiver(t)
		inject(t, r, demovendor.Fault{Kind: demovendor.FaultStatus, Status: 410, Times: 1})
		if err := r.TakeDown(demovendor.FaultStatus); err != nil {
			t.Fatal(err)
		}
		var got []int
		for i := range 4 {
			if i == 2 {
				r.BringUp()
			}
			got = append(got, serve(r, signed(t, "", id, body, time.Now(), newSecret)).Code)
		}
		if want := []int{503, 503, 410, 204}; !cmp.Equal(got, want) {
			t.Errorf("got %v, want %v: an outage uses up no fault", got, want)
		}
	})
	t.Run("closes connections", func(t *testing.T) {
		r := newReceiver(t)
		server, client := listen(t, r)
		if err := r.TakeDown(demovendor.FaultClose); err != nil {
			t.Fatal(err)
		}
		if res, err := client.Do(signed(t, server.URL, id, body, time.Now(), newSecret)); err == nil {
			_ = res.Body.Close()
			t.Fatalf("got %d, want no answer", res.StatusCode)
		}
		// The client hears of the end before the handler returns, but after it recorded.
		if d := r.Deliveries()[0]; d.ID != id || d.Status != 0 || !errors.Is(d.Verdict, demovendor.ErrUnread) || d.Body != nil {
			t.Errorf("got %+v, want it unread and unanswered", d)
		}
		r.BringUp()
		res, err := client.Do(signed(t, server.URL, id, body, time.Now(), newSecret))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 204 {
			t.Errorf("after it is up: got %d, want 204", res.StatusCode)
		}
	})
}

// A webhook that hangs is verified and not answered, whoever ends it.
func TestHang(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(r *demovendor.Receiver, giveUp context.CancelFunc)
	}{
		{"caller gives up", func(_ *demovendor.Receiver, giveUp context.CancelFunc) { giveUp() }},
		{"receiver is closed", func(r *demovendor.Receiver, _ context.CancelFunc) { r.Close() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReceiver(t)
			server, client := listen(t, r)
			inject(t, r, demovendor.Fault{Kind: demovendor.FaultHang})
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			failed := make(chan error, 1)
			req := signed(t, server.URL, id, body, time.Now(), newSecret).WithContext(ctx)
			go func() {
				res, err := client.Do(req)
				if err == nil {
					_ = res.Body.Close()
				}
				failed <- err
			}()
			if _, err := r.WaitTries(t.Context(), id, 1); err != nil {
				t.Fatal(err)
			}
			tc.end(r, giveUp)
			if err := <-failed; err == nil {
				t.Error("got an answer, want none")
			}
			if d := r.Deliveries()[0]; d.Verdict != nil || d.Status != 0 || d.Accepted() {
				t.Errorf("got %+v, want a good webhook without an answer", d)
			}
		})
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t)
		inject(t, r, demovendor.Fault{Kind: demovendor.FaultDelay, Delay: 9 * time.Second, Times: 1})
		began := time.Now()
		done := make(chan int)
		req := signed(t, "", id, body, time.Now(), newSecret)
		go func() { done <- serve(r, req).Code }()
		synctest.Wait()
		if d := r.Deliveries()[0]; d.Status != 0 || d.Accepted() {
			t.Errorf("before the delay is over: got %+v, want no answer", d)
		}
		code := <-done
		if took := time.Since(began); code != 204 || took != 9*time.Second || !r.Deliveries()[0].Accepted() {
			t.Errorf("got %d after %v, want 204 after 9s", code, took)
		}
	})
}

// The caller reads as much as it likes of a body that has no end.
func TestEndless(t *testing.T) {
	r := newReceiver(t)
	server, client := listen(t, r)
	inject(t, r, demovendor.Fault{Kind: demovendor.FaultEndless})
	res, err := client.Do(signed(t, server.URL, id, body, time.Now(), newSecret))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.CopyN(io.Discard, res.Body, 1<<20); res.StatusCode != 200 || err != nil {
		t.Errorf("got %d, %d bytes, %v, want 200 and as many as asked for", res.StatusCode, n, err)
	}
	if _, err := r.Wait(t.Context(), id); err != nil {
		t.Error(err)
	}
	// The server's own close waits for the answer, which ends with the receiver's.
	r.Close()
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Error("the body ended well, want it broken off")
	}
}

func TestFaultsAreMetInOrder(t *testing.T) {
	r := newReceiver(t)
	inject(t, r, demovendor.Fault{Kind: demovendor.FaultStatus, Status: 500, ID: "evt_a"})
	inject(t, r, demovendor.Fault{Kind: demovendor.FaultStatus, Status: 501, Times: 2})
	inject(t, r, demovendor.Fault{Kind: demovendor.FaultStatus, Status: 502, Times: 1})
	var got []int
	for _, id := range []string{"evt_a", "evt_b", "evt_a", "evt_b", "evt_b", "evt_b"} {
		got = append(got, serve(r, signed(t, "", id, body, time.Now(), newSecret)).Code)
	}
	r.ClearFaults()
	got = append(got, serve(r, signed(t, "", "evt_a", body, time.Now(), newSecret)).Code)
	if want := []int{500, 501, 500, 501, 502, 204, 204}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBadFaults(t *testing.T) {
	r := newReceiver(t)
	for _, tc := range []struct {
		name  string
		fault demovendor.Fault
		want  string
	}{
		{"no kind", demovendor.Fault{}, "no such kind"},
		{"negative times", demovendor.Fault{Kind: demovendor.FaultHang, Times: -1}, "Times and Delay must not be negative"},
		{"negative delay", demovendor.Fault{Kind: demovendor.FaultDelay, Delay: -1}, "Times and Delay must not be negative"},
		{"no status", demovendor.Fault{Kind: demovendor.FaultStatus}, "Status must be 200 to 599"},
		{"status 199", demovendor.Fault{Kind: demovendor.FaultStatus, Status: 199}, "Status must be 200 to 599"},
		{"redirect by 200", demovendor.Fault{Kind: demovendor.FaultRedirect, Status: 200}, "Status must be 300 to 399"},
		{"endless 204", demovendor.Fault{Kind: demovendor.FaultEndless, Status: 204}, "Status must be one that has a body"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := r.Inject(tc.fault); !errors.Is(err, demovendor.ErrFault) || err.Error() != "demovendor: bad fault: "+tc.want {
				t.Errorf("got %v, want ErrFault: %s", err, tc.want)
			}
		})
	}
	if err := r.TakeDown(demovendor.FaultEndless); !errors.Is(err, demovendor.ErrFault) {
		t.Errorf("TakeDown: got %v, want ErrFault", err)
	}
}
