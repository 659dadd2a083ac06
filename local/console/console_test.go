package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/console"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/wechatpaysim"
)

// stub serves a console whose gateway takes everything and does nothing.
func stub(t *testing.T) (*httptest.Server, *traffic.Recorder) {
	t.Helper()
	world, err := fixture.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	world.WeChatPay.Transport = http.DefaultTransport
	simulator, err := wechatpaysim.New(world.WeChatPay)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := demovendor.NewReceiver(time.Now, world.Vendors.Vendors[fixture.VendorID].WebhookSecrets...)
	if err != nil {
		t.Fatal(err)
	}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(gateway.Close)
	vendor, err := demovendor.New(fixture.VendorID, world.RequestSecret(fixture.VendorID), gateway.URL, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	recorder := traffic.New(100, time.Now)
	empty := func(context.Context) (int, error) { return 0, nil }
	server := httptest.NewServer(console.New(console.Stage{
		Traffic: recorder, Vendor: vendor, Webhooks: receiver, WeChatPay: simulator, BaseURL: gateway.URL,
		Functions: []string{"parkingsync"}, Waiting: empty, DeadLetters: empty, Now: time.Now,
	}))
	t.Cleanup(server.Close)
	return server, recorder
}

// ask makes a request and returns the answer with its body.
func ask(t *testing.T, method, url, body string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// TestFiles: every file is served with its type and the strict policy, and names no other host.
func TestFiles(t *testing.T) {
	server, _ := stub(t)
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/console.css": "text/css; charset=utf-8", "/console.js": "text/javascript; charset=utf-8",
		"/words.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		res, body := ask(t, "GET", server.URL+path, "", nil)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != want {
			t.Errorf("%s: got %d %s, want 200 %s", path, res.StatusCode, res.Header.Get("Content-Type"), want)
		}
		policy := res.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy lacks %s: %s", path, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got policy %q, nosniff %q", path, policy, res.Header.Get("X-Content-Type-Options"))
		}
		for _, address := range regexp.MustCompile(`(https?:)?//[a-z0-9][a-z0-9.-]*\.[a-z]+`).FindAllString(body, -1) {
			if !strings.HasSuffix(address, "//www.w3.org") {
				t.Errorf("%s names another host: %s", path, address)
			}
		}
		for _, inline := range []string{" style=", " onclick", " onload", "<style", "innerHTML", "insertAdjacentHTML", "document.write"} {
			if strings.Contains(body, inline) {
				t.Errorf("%s holds %q, which the policy forbids", path, inline)
			}
		}
	}
	for _, path := range []string{"/nothing.js", "/web/index.html", "/..%2fconsole.go", "/actions/drive-in", "/messages/1", "/messages/x", "/reference/"} {
		if res, _ := ask(t, "GET", server.URL+path, "", nil); res.StatusCode != 404 && res.StatusCode != 405 {
			t.Errorf("%s: got %d, want 404", path, res.StatusCode)
		}
	}
}

// TestActionsAreGuarded: only the page itself can make something happen.
func TestActionsAreGuarded(t *testing.T) {
	server, recorder := stub(t)
	good := func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }
	for _, tc := range []struct {
		name, method, path, body string
		change                   func(*http.Request)
		want                     int
	}{
		{"a name that only leads here", "POST", "/actions/forge-call", `{}`, func(r *http.Request) { r.Host = "attacker.example" }, 421},
		{"reading under such a name", "GET", "/stream", "", func(r *http.Request) { r.Host = "attacker.example:80" }, 421},
		{"another site", "POST", "/actions/forge-call", `{}`, func(r *http.Request) {
			r.Header.Set("Origin", "https://attacker.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		{"a form", "POST", "/actions/forge-call", `plate=x`, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415},
		{"a form that looks like JSON", "POST", "/actions/forge-call", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		{"GET", "GET", "/actions/forge-call", "", nil, 405},
		{"no such action", "POST", "/actions/rm", `{}`, nil, 404},
		{"no JSON", "POST", "/actions/forge-call", `plate`, nil, 400},
		{"an unknown member", "POST", "/actions/forge-call", `{"plates":""}`, nil, 400},
		{"too long", "POST", "/actions/forge-call", `{"plate":"` + strings.Repeat("x", 5000) + `"}`, nil, 400},
		{"nothing to repeat", "POST", "/actions/repeat", `{}`, nil, 409},
		{"nothing to redeliver", "POST", "/actions/redeliver", `{}`, nil, 409},
		{"the page itself", "POST", "/actions/forge-call", `{"plate":"粤B888888"}`, func(r *http.Request) {
			r.Header.Set("Origin", server.URL)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}, 204},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, _ := recorder.Since(0)
			res, body := ask(t, tc.method, server.URL+tc.path, tc.body, func(r *http.Request) {
				good(r)
				if tc.change != nil {
					tc.change(r)
				}
			})
			if res.StatusCode != tc.want {
				t.Errorf("got %d %s, want %d", res.StatusCode, body, tc.want)
			}
			if after, _ := recorder.Since(0); tc.want != 204 && tc.want != 409 && len(after) != len(before) {
				t.Error("something happened all the same")
			}
		})
	}
}

// event is a server-sent event.
type event struct{ id, name, data string }

// listen reads events until there are n of a name.
func listen(t *testing.T, url, lastID, name string, n int) []event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("got content type %q", got)
	}
	var all []event
	var e event
	lines := bufio.NewScanner(res.Body)
	for n > 0 && lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name == name {
				n--
			}
			if e.name != "" {
				all = append(all, e)
			}
			e = event{}
		}
	}
	if n > 0 {
		t.Fatalf("the stream ended after %v: %v", all, lines.Err())
	}
	return all
}

func named(events []event, name string) (data []string, lastID string) {
	for _, e := range events {
		if e.name == name {
			data, lastID = append(data, e.data), e.id
		}
	}
	return data, lastID
}

// TestStream: a late comer gets what was said before, one who comes back gets what was missed, and one who knows another
// console begins anew.
func TestStream(t *testing.T) {
	server, recorder := stub(t)
	recorder.Heading("one", `<b>"One"`)
	recorder.Heading("two", "Two")
	events := listen(t, server.URL, "", "message", 2)
	hello, _ := named(events, "hello")
	if len(hello) != 1 || !strings.Contains(hello[0], `"resumed":false`) || !strings.Contains(hello[0], `"functions":["parkingsync"]`) {
		t.Errorf("got %q, want one hello that is not resumed", hello)
	}
	said, last := named(events, "message")
	var first struct{ Step, Title string }
	if err := json.Unmarshal([]byte(said[0]), &first); err != nil || first.Title != `<b>"One"` {
		t.Errorf("got %s, %v, want the title as it is", said[0], err)
	}

	recorder.Heading("three", "Three")
	events = listen(t, server.URL, last, "message", 1)
	if said, _ := named(events, "message"); len(said) != 1 || !strings.Contains(said[0], `"three"`) {
		t.Errorf("got %q, want the third step alone", said)
	}
	if hello, _ := named(events, "hello"); !strings.Contains(hello[0], `"resumed":true`) {
		t.Errorf("got %q, want it resumed", hello)
	}
	for _, id := range []string{"another-2", "x", last + "x", strings.Split(last, "-")[0] + "-"} {
		events = listen(t, server.URL, id, "message", 3)
		if hello, _ := named(events, "hello"); !strings.Contains(hello[0], `"resumed":false`) {
			t.Errorf("%s: got %q, want it not resumed", id, hello)
		}
	}

	done := make(chan []event)
	go func() { done <- listen(t, server.URL, "", "state", 2) }()
	// The second state comes when something has changed.
	for waiting := true; waiting; {
		if res, body := ask(t, "POST", server.URL+"/actions/vendor-down", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }); res.StatusCode != 204 {
			t.Fatalf("got %d %s", res.StatusCode, body)
		}
		select {
		case events := <-done:
			states, id := named(events, "state")
			// The listener may have come while the vendor was up, or while it was down.
			if states[0] == states[1] || !strings.Contains(states[0]+states[1], `"vendor":"down"`) || id != "" {
				t.Errorf("got %q under id %q, want a vendor that goes down or comes up, and no id", states, id)
			}
			waiting = false
		case <-time.After(50 * time.Millisecond):
			_, _ = ask(t, "POST", server.URL+"/actions/vendor-up", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
		}
	}
}

// TestWords: both languages have the same words, and have all that the page, its script and the recorder ask for.
func TestWords(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"index.html", "console.js", "words.js"} {
		b, err := fs.ReadFile(os.DirFS("web"), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(b)
	}
	_, en, _ := strings.Cut(files["words.js"], "  en: {\n")
	en, zh, _ := strings.Cut(en, "  zh: {\n")
	key := regexp.MustCompile(`(?m)^    '?([a-zA-Z_.-]+)'?: '.+',$`)
	keys := func(text string) (names []string) {
		for _, m := range key.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		return names
	}
	english := keys(en)
	if len(english) < 100 {
		t.Fatalf("found %d words, want a hundred and more", len(english))
	}
	if diff := cmp.Diff(english, keys(zh)); diff != "" {
		t.Errorf("English and Chinese differ in their keys:\n%s", diff)
	}
	var used []string
	for _, m := range regexp.MustCompile(`data-t(?:-label)?="([^"]+)"`).FindAllStringSubmatch(files["index.html"], -1) {
		used = append(used, m[1])
	}
	for _, m := range regexp.MustCompile(`\bt\('([a-zA-Z.]+)'\)|fact\('([a-z.]+)'`).FindAllStringSubmatch(files["console.js"], -1) {
		used = append(used, m[1]+m[2])
	}
	for _, s := range []traffic.Subject{
		traffic.Parkings, traffic.Entry, traffic.Call, traffic.SyncParking, traffic.NotifyEntry, traffic.PlateState, traffic.CircleEvent,
		traffic.Enqueue, traffic.Delay, traffic.Park, traffic.Deliver, traffic.Webhook, traffic.Conversation,
	} {
		used = append(used, "subject."+string(s))
	}
	for _, v := range []traffic.Verdict{traffic.Verified, traffic.Accepted, traffic.Refused, traffic.Unverified, traffic.Failed} {
		used = append(used, "verdict."+string(v))
	}
	for _, p := range []traffic.Party{traffic.Vendor, traffic.Gateway, traffic.Queue, traffic.WeChatPay} {
		used = append(used, "party."+string(p))
	}
	visit, err := os.ReadFile(filepath.Join("..", "visit", "visit.go"))
	if err != nil {
		t.Fatal(err)
	}
	steps := regexp.MustCompile(`(?m)^\t\t\{"([a-z-]+)", "`).FindAllStringSubmatch(string(visit), -1)
	if len(steps) != 10 {
		t.Errorf("found %d steps of the visit, want 10", len(steps))
	}
	for _, m := range steps {
		used = append(used, "step."+m[1])
	}
	for _, m := range regexp.MustCompile(`data-action="([a-z-]+)"`).FindAllStringSubmatch(files["index.html"], -1) {
		if m[1] != "visit" {
			used = append(used, "step."+m[1])
		}
	}
	for _, word := range used {
		if !slices.Contains(english, word) {
			t.Errorf("there is no word for %q", word)
		}
	}
}

// ExampleNew serves a console and asks it for the page.
func ExampleNew() {
	now := time.Now
	none := func(context.Context) (int, error) { return 0, nil }
	handler := console.New(console.Stage{Traffic: traffic.New(10, now), Waiting: none, DeadLetters: none, Now: now})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
