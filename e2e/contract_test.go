//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/local/contract"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	events "wechat-parking-gateway/shared/event"
)

// agreement holds everything that goes through the gateway's front, and every webhook that a vendor gets, against the
// contract: requests that are meant to be wrong are known by their answers.
type agreement struct {
	contract *contract.Contract

	mu        sync.Mutex
	breaches  []error
	exchanges int
	seen      map[string]bool // routes that answered with success, events that were sent or queued
}

func newAgreement() (*agreement, error) {
	c, err := contract.Load()
	return &agreement{contract: c, seen: make(map[string]bool)}, err
}

// most is how many breaches are told: one that is everywhere would fill the screen.
const most = 20

func (a *agreement) note(err error, seen string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exchanges++
	if err != nil && len(a.breaches) < most {
		a.breaches = append(a.breaches, err)
	}
	if err == nil && seen != "" {
		a.seen[seen] = true
	}
}

// front is put around the gateway's front.
func (a *agreement) front(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &bytes.Buffer{}
		e := contract.Exchange{Header: r.Header.Clone()}
		e.Route, e.Path, _ = a.contract.Match(r.Method, r.URL.Path)
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, body), r.Body}
		answer := &copied{ResponseWriter: w}
		inner.ServeHTTP(answer, r)
		if r.Method == http.MethodHead || answer.status == 0 {
			return // without a body, or without an answer because the caller has gone
		}
		e.Body, e.Status, e.Answered, e.Answer = body.Bytes(), answer.status, w.Header().Clone(), answer.body.Bytes()
		success := ""
		if e.Status < 300 {
			success = e.Route
		}
		a.note(a.contract.Check(e), success)
	})
}

// copied keeps what is answered.
type copied struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (c *copied) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *copied) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	c.body.Write(b)
	return c.ResponseWriter.Write(b)
}

// webhooks is put around a vendor's receiver.
func (a *agreement) webhooks(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		a.event(r.Header.Clone(), body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		inner.ServeHTTP(w, r)
	})
}

func (a *agreement) event(header http.Header, body []byte) {
	var event struct{ Type string }
	_ = json.Unmarshal(body, &event) // what is no JSON is a breach
	a.note(a.contract.Event(header, body), event.Type)
}

// check returns the breaches, and after a whole run what no exchange has shown.
func (a *agreement) check(complete bool) []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := slices.Clone(a.breaches)
	if !complete {
		return found
	}
	for _, name := range slices.Concat(a.contract.Routes(), a.contract.EventTypes()) {
		if !a.seen[name] {
			found = append(found, fmt.Errorf("contract: no scenario had a success of %s", name))
		}
	}
	return found
}

// TestContractExamples: the contract's examples of calls are taken by the gateway, as they stand there.
func TestContractExamples(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	examples, err := suite.agreement.contract.Examples()
	if err != nil {
		t.Fatal(err)
	}
	if len(examples) < 6 {
		t.Fatalf("got %d examples", len(examples))
	}
	for _, example := range examples {
		t.Run(example.Name, func(t *testing.T) {
			_, path, _ := strings.Cut(example.Route, "{vendor_id}/")
			g.lane(t, map[string]string{demovendor.Parkings: laneParkings, demovendor.Entry: laneEntry}[path])
			c := g.newCall(path)
			c.body = example.Body
			if a := c.do(t); a.status != success[path] {
				t.Errorf("got %d, want %d: %s", a.status, success[path], a.body)
			}
		})
	}
}

// TestBreachesAreNoticed: the agreement tells of exchanges and events that the contract does not have.
func TestBreachesAreNoticed(t *testing.T) {
	t.Parallel()
	answered := func(status int, contentType, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Request-Id", "r-1")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	const entry = "/v1/vendors/acme/vehicle/notifications"
	const good = `{"trade_scene":"PARKING","start_time":"20170926114339","free_time":1}`
	const taken = `{"password_free_available":true,"user_state":"NORMAL","deduct_mode":"","wechatpay":{}}`
	for _, tt := range []struct {
		name, path, body string
		handler          http.Handler
		breach           string
	}{
		{"as the contract has it", entry, good, answered(200, "application/json", taken), ""},
		{"a member more in the answer", entry, good, answered(200, "application/json", taken[:len(taken)-1]+`,"more":1}`), "more"},
		{"a member less in the answer", entry, good, answered(200, "application/json", `{"user_state":"NORMAL"}`), "password_free_available"},
		{"a status that is not there", entry, good, answered(202, "application/json", taken), "status is not supported"},
		{"another content type", entry, good, answered(200, "text/html", taken), "Content-Type"},
		{"a field more in a request that was taken", entry, good[:len(good)-1] + `,"more":1}`, answered(200, "application/json", taken), "more"},
		{"a body in a 204", "/v1/callbacks/businesscircle", `{}`, answered(204, "application/json", ""), "request"},
		{"a code that is not there", entry, good, answered(422, "application/problem+json",
			`{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"d","code":"new_code","request_id":"r-1"}`), "code"},
		{"a request that was refused for its form", entry, `{"more":1}`, answered(422, "application/problem+json",
			`{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"d","code":"invalid_fields","request_id":"r-1","errors":[{"pointer":"/more","code":"unknown_field","detail":"d"}]}`), ""},
		{"an answer where there is no route", "/v1/other", good, answered(200, "application/json", `{}`), "without a route"},
		{"API Gateway's answer where there is no route", "/v1/other", good, answered(404, "application/json", `{"message":"Not Found"}`), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := newAgreement()
			if err != nil {
				t.Fatal(err)
			}
			c := call{route: demovendor.Entry, secret: fixture.NewSecret(), id: "e2e-1", at: time.Now(), body: []byte(tt.body)}
			header, err := c.headers()
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = header
			a.front(tt.handler).ServeHTTP(&discarding{header: http.Header{}}, req)
			got := errors.Join(a.check(false)...)
			if (got != nil) != (tt.breach != "") || got != nil && !strings.Contains(got.Error(), tt.breach) {
				t.Errorf("got %v, want a breach about %q", got, tt.breach)
			}
		})
	}
	a, err := newAgreement()
	if err != nil {
		t.Fatal(err)
	}
	a.event(http.Header{}, []byte(`{"type":"gateway.pong","timestamp":"2026-11-22T17:49:02+08:00","data":{}}`))
	if len(a.check(false)) != 1 {
		t.Error("an event that is not there is not noticed")
	}
	if missing := a.check(true); len(missing) != 1+len(a.contract.Routes())+len(a.contract.EventTypes()) {
		t.Errorf("what was never seen is not told: %v", missing)
	}
}

// discarding is an http.ResponseWriter for nobody.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarding) WriteHeader(int)             {}

// queued holds a message of the events queue against the contract, as the delivery would send it.
func (a *agreement) queued(m message) {
	body := fmt.Sprintf(`{"type":%q,"timestamp":%q,"data":%s}`, m.Type, m.Timestamp, m.Data)
	if m.Type == events.VehiclePlateStateChanged {
		body = strings.TrimSuffix(body, "}}") + `,"superseded":false}}`
	}
	a.note(a.contract.Event(http.Header{
		"Content-Type": {"application/json"}, "Webhook-Id": {m.ID}, "Webhook-Timestamp": {"1795341947"}, "Webhook-Signature": {"v1,x"},
	}, []byte(body)), m.Type)
}
