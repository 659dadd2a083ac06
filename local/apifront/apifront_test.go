package apifront_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"wechat-parking-gateway/local/apifront"
	"wechat-parking-gateway/local/lambdahost"
)

var update = flag.Bool("update", false, "write the golden events anew")

// gateBootstrap is the compiled function of testdata/gate. TestMain sets it
// once, before any test runs.
var gateBootstrap string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "apifront")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	gateBootstrap = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", gateBootstrap, "./testdata/gate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the test function: %v\n%s", err, out)
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// routes are like the gateway's.
func routes() []apifront.Route {
	return []apifront.Route{
		{Key: "POST /v1/vendors/{vendor_id}/businesscircle/parkings", Function: "ParkingSync"},
		{Key: "POST /v1/callbacks/vehicle/{vendor_id}", Function: "NotifyCallback"},
		{Key: "ANY /v1/vendors/{vendor_id}/echo", Function: "Echo"},
		{Key: "GET /", Function: "Root"},
	}
}

// zeros is a source of random bytes that are all the same.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// zeroRequestID is what zeros makes of a request id.
const zeroRequestID = "AAAAAAAAAAAAAAA="

func fixed() apifront.Options {
	return apifront.Options{
		AccountID: "123456789012",
		APIID:     "abc123",
		Now:       func() time.Time { return time.Date(2026, 11, 22, 17, 30, 1, 5e6, time.FixedZone("", 8*3600)) },
		Random:    zeros{},
	}
}

func newFront(t testing.TB, routes []apifront.Route, invoke apifront.Invoke, options apifront.Options) http.Handler {
	t.Helper()
	h, err := apifront.New(routes, invoke, options)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return h
}

// answer is an Invoke that always answers the same.
func answer(text string) apifront.Invoke {
	return func(context.Context, string, []byte) ([]byte, error) { return []byte(text), nil }
}

func readRequest(t *testing.T, path string) *http.Request {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "203.0.113.7:50123"
	return r
}

// TestGoldenEvents turns each HTTP request of testdata/events into its event,
// and reads that with the type that functions use.
func TestGoldenEvents(t *testing.T) {
	requests, err := filepath.Glob("testdata/events/*.http")
	if err != nil || len(requests) == 0 {
		t.Fatalf("no requests found: %v", err)
	}
	for _, path := range requests {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".http"), func(t *testing.T) {
			var payload []byte
			invoke := func(_ context.Context, _ string, p []byte) ([]byte, error) {
				payload = p
				return []byte(`{"statusCode":204}`), nil
			}
			w := httptest.NewRecorder()
			newFront(t, routes(), invoke, fixed()).ServeHTTP(w, readRequest(t, path))
			if w.Code != http.StatusNoContent {
				t.Fatalf("status: got %d, want 204", w.Code)
			}
			golden := strings.TrimSuffix(path, ".http") + ".json"
			if *update {
				var indented bytes.Buffer
				if err := json.Indent(&indented, payload, "", "  "); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, append(indented.Bytes(), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, want), decode(t, payload)); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(decode(t, payload), decode(t, roundTrip(t, payload))); diff != "" {
				t.Errorf("through events.APIGatewayV2HTTPRequest (-want +got):\n%s", diff)
			}
		})
	}
}

func decode(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// roundTrip reads an event with the functions' type, refusing members that it
// does not have, and writes it again without what that type always adds.
func roundTrip(t *testing.T, payload []byte) []byte {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	var e events.APIGatewayV2HTTPRequest
	if err := dec.Decode(&e); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	v := decode(t, again)
	delete(v["requestContext"].(map[string]any), "authentication")
	again, err = json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestBodyEncoding checks which content types reach a function as text.
func TestBodyEncoding(t *testing.T) {
	tests := []struct {
		contentType string
		encoded     bool
	}{
		{"application/json", false},
		{"Application/JSON", false},
		{"application/json; charset=utf-8", false},
		{"application/json; charset", false},
		{"application/xml", false},
		{"application/javascript", false},
		{"text/xml", false},
		{"text/plain; charset=gbk", false},
		{"", true},
		{"application/jsonp", true},
		{"application/problem+json", true},
		{"application/x-www-form-urlencoded", true},
		{"textual/plain", true},
	}
	for _, tt := range tests {
		t.Run(tt.contentType, func(t *testing.T) {
			var got events.APIGatewayV2HTTPRequest
			invoke := func(_ context.Context, _ string, p []byte) ([]byte, error) {
				return []byte(`{}`), json.Unmarshal(p, &got)
			}
			r := httptest.NewRequest(http.MethodPost, "/v1/vendors/a/echo", strings.NewReader("hi"))
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			newFront(t, routes(), invoke, fixed()).ServeHTTP(httptest.NewRecorder(), r)
			want := "hi"
			if tt.encoded {
				want = "aGk="
			}
			if got.IsBase64Encoded != tt.encoded || got.Body != want {
				t.Errorf("got %t, %q, want %t, %q", got.IsBase64Encoded, got.Body, tt.encoded, want)
			}
		})
	}
}

func TestRouting(t *testing.T) {
	table := []apifront.Route{
		{Key: "$default", Function: "default"},
		{Key: "ANY /{all+}", Function: "all"},
		{Key: "ANY /pets/{rest+}", Function: "rest"},
		{Key: "GET /pets/{id}", Function: "id"},
		{Key: "ANY /pets/{id}", Function: "any id"},
		{Key: "GET /pets/dog", Function: "dog"},
		{Key: "GET /{kind}/dog", Function: "kind"},
		{Key: "POST /pets", Function: "pets"},
	}
	tests := []struct {
		method, path, want string
	}{
		{"GET", "/pets/dog", "dog map[]"},
		{"POST", "/pets/dog", "any id map[id:dog]"},
		{"GET", "/pets/cat", "id map[id:cat]"},
		{"GET", "/pets/c%C3%A4t%20", "id map[id:cät ]"},
		{"GET", "/pets/a%2Fb", "rest map[rest:a/b]"},
		{"GET", "/plants/dog", "kind map[kind:plants]"},
		{"GET", "/pets/cat/tail", "rest map[rest:cat/tail]"},
		{"POST", "/pets", "pets map[]"},
		{"GET", "/pets", "all map[all:pets]"},
		{"POST", "/pets/", "all map[all:pets/]"},
		{"GET", "/", "default map[]"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			var got string
			invoke := func(_ context.Context, function string, p []byte) ([]byte, error) {
				var e events.APIGatewayV2HTTPRequest
				err := json.Unmarshal(p, &e)
				got = fmt.Sprint(function, " ", e.PathParameters)
				return []byte(`{}`), err
			}
			r := httptest.NewRequest(tt.method, tt.path, nil)
			newFront(t, table, invoke, fixed()).ServeHTTP(httptest.NewRecorder(), r)
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	good := apifront.Route{Key: "GET /a/{x}", Function: "F"}
	tests := []struct {
		name string
		bad  apifront.Route
	}{
		{"no function", apifront.Route{Key: "GET /b"}},
		{"no key", apifront.Route{Function: "F"}},
		{"no path", apifront.Route{Key: "GET", Function: "F"}},
		{"relative path", apifront.Route{Key: "GET b", Function: "F"}},
		{"unknown method", apifront.Route{Key: "get /b", Function: "F"}},
		{"variable without a name", apifront.Route{Key: "GET /{}", Function: "F"}},
		{"open variable", apifront.Route{Key: "GET /{b", Function: "F"}},
		{"variable in a segment", apifront.Route{Key: "GET /b{c}", Function: "F"}},
		{"nested variable", apifront.Route{Key: "GET /{{b}}", Function: "F"}},
		{"variable twice", apifront.Route{Key: "GET /{b}/{b}", Function: "F"}},
		{"greedy in the middle", apifront.Route{Key: "GET /{b+}/c", Function: "F"}},
		{"the same key", good},
		{"the same shape", apifront.Route{Key: "GET /a/{y}", Function: "F"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := apifront.New([]apifront.Route{good, tt.bad}, answer(`{}`), apifront.Options{})
			if !errors.Is(err, apifront.ErrRoute) {
				t.Errorf("got %v, want %v", err, apifront.ErrRoute)
			}
			if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%q", tt.bad.Key)) {
				t.Errorf("got %q, want the key %q in it", err, tt.bad.Key)
			}
		})
	}
}

func TestResponses(t *testing.T) {
	const plain = "text/plain; charset=utf-8"
	failed := func(name, answer string) scenario {
		return scenario{name, answer, 500, "application/json", `{"message":"Internal Server Error"}`, nil, nil}
	}
	tests := []scenario{
		{"whole", `{"statusCode":201,"headers":{"Content-Type":"application/problem+json","request-id":"r","X-N":7,"X-B":true},"cookies":["a=1","b=2"],"body":"{}"}`,
			201, "application/problem+json", "{}", map[string]string{"Request-Id": "r", "X-N": "7", "X-B": "true"}, []string{"a=1", "b=2"}},
		{"as aws-lambda-go writes it", `{"statusCode":200,"headers":null,"multiValueHeaders":null,"body":"","cookies":null}`, 200, "", "", nil, nil},
		{"no content", `{"statusCode":204,"body":"ignored"}`, 204, plain, "", nil, nil},
		{"no content type", `{"statusCode":200,"body":"<html>"}`, 200, plain, "<html>", nil, nil},
		{"base64", `{"statusCode":200,"body":"AAE=","isBase64Encoded":true}`, 200, plain, "\x00\x01", nil, nil},
		{"headers of the connection", `{"statusCode":200,"headers":{"content-length":"9","transfer-encoding":"chunked","connection":"close"},"body":"abc"}`, 200, plain, "abc", nil, nil},
		{"no statusCode", ` {"body":"x"} `, 200, "application/json", `{"body":"x"}`, nil, nil},
		{"a string", `"open \u4eac"`, 200, "application/json", "open 京", nil, nil},
		{"a number", `7`, 200, "application/json", "7", nil, nil},
		{"an array", `[1, 2]`, 200, "application/json", "[1, 2]", nil, nil},
		{"null", `null`, 200, "application/json", "null", nil, nil},
		failed("empty", ``),
		failed("not JSON", `open`),
		failed("two values", `{} {}`),
		failed("status as text", `{"statusCode":"200"}`),
		failed("status null", `{"statusCode":null}`),
		failed("status with a fraction", `{"statusCode":200.5}`),
		failed("status too low", `{"statusCode":199}`),
		failed("status too high", `{"statusCode":600}`),
		failed("headers as a list", `{"statusCode":200,"headers":[]}`),
		failed("header value null", `{"statusCode":200,"headers":{"a":null}}`),
		failed("header value list", `{"statusCode":200,"headers":{"a":["b"]}}`),
		failed("header name with a space", `{"statusCode":200,"headers":{"a b":"c"}}`),
		failed("header without a name", `{"statusCode":200,"headers":{"":"c"}}`),
		failed("header over two lines", `{"statusCode":200,"headers":{"a":"b\r\nc: d"}}`),
		failed("cookies as text", `{"statusCode":200,"cookies":"a=1"}`),
		failed("cookie over two lines", `{"statusCode":200,"cookies":["a\nb"]}`),
		failed("body as an object", `{"statusCode":200,"body":{}}`),
		failed("bad base64", `{"statusCode":200,"body":"AAE","isBase64Encoded":true}`),
		failed("isBase64Encoded as text", `{"statusCode":200,"body":"AAE=","isBase64Encoded":"true"}`),
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t) })
	}
}

// scenario is a function's answer and what a client must get for it.
type scenario struct {
	name, answer string
	status       int
	contentType  string
	body         string
	headers      map[string]string
	cookies      []string
}

func (s scenario) run(t *testing.T) {
	w := httptest.NewRecorder()
	newFront(t, routes(), answer(s.answer), fixed()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != s.status {
		t.Errorf("status: got %d, want %d", w.Code, s.status)
	}
	// What a response without a body says of its type is of no interest.
	if got := w.Header().Get("Content-Type"); got != s.contentType && s.body != "" {
		t.Errorf("content type: got %q, want %q", got, s.contentType)
	}
	if got := w.Body.String(); got != s.body {
		t.Errorf("body: got %q, want %q", got, s.body)
	}
	for name, want := range s.headers {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff(s.cookies, w.Header().Values("Set-Cookie")); diff != "" {
		t.Errorf("cookies (-want +got):\n%s", diff)
	}
	if got := w.Header().Get("Apigw-Requestid"); got != zeroRequestID {
		t.Errorf("apigw-requestid: got %q, want %q", got, zeroRequestID)
	}
	if got := w.Header().Get("Connection") + w.Header().Get("Transfer-Encoding"); got != "" {
		t.Errorf("headers of the connection: got %q, want none", got)
	}
}

// TestOwnAnswers checks what the front answers without, or in spite of, a
// function.
func TestOwnAnswers(t *testing.T) {
	failing := func(err error) apifront.Invoke {
		return func(context.Context, string, []byte) ([]byte, error) { return nil, err }
	}
	unreachable := failing(errors.New("the function must not be called"))
	post := func(path string, body io.Reader) *http.Request { return httptest.NewRequest("POST", path, body) }
	withHeader := func(size int) *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		const rest = len("GET / HTTP/1.1\r\n") + len("Host: example.com\r\n") + len("X-Long: \r\n")
		r.Header.Set("X-Long", strings.Repeat("x", size-rest))
		return r
	}
	crashed := &lambdahost.FunctionError{Function: "Root", Reason: lambdahost.ErrExited}
	tests := []struct {
		name    string
		request *http.Request
		invoke  apifront.Invoke
		status  int
		body    string
	}{
		{"no such path", post("/v1/nothing", nil), unreachable, 404, `{"message":"Not Found"}`},
		{"no such method", post("/", nil), unreachable, 404, `{"message":"Not Found"}`},
		{"empty variable", post("/v1/vendors//echo", nil), unreachable, 404, `{"message":"Not Found"}`},
		{"trailing slash", post("/v1/vendors/a/echo/", nil), unreachable, 404, `{"message":"Not Found"}`},
		{"largest body", post("/v1/vendors/a/echo", bytes.NewReader(make([]byte, apifront.MaxBody))), answer(`{}`), 200, `{}`},
		{"body too large", post("/v1/vendors/a/echo", bytes.NewReader(make([]byte, apifront.MaxBody+1))), unreachable, 413, `{"message":"Request Entity Too Large"}`},
		{"body that breaks off", post("/v1/vendors/a/echo", io.MultiReader(strings.NewReader("x"), brokenReader{})), unreachable, 400, `{"message":"Bad Request"}`},
		{"largest header", withHeader(apifront.MaxHeader), answer(`{}`), 200, `{}`},
		{"header too large", withHeader(apifront.MaxHeader + 1), unreachable, 431, `{"message":"Request Header Fields Too Large"}`},
		{"function failed", post("/v1/vendors/a/echo", nil), failing(crashed), 500, `{"message":"Internal Server Error"}`},
		{"throttled", post("/v1/vendors/a/echo", nil), failing(fmt.Errorf("%w: F", lambdahost.ErrThrottled)), 503, `{"message":"Service Unavailable"}`},
		{"event too large for Lambda", post("/v1/vendors/a/echo", nil), failing(lambdahost.ErrRequestTooLarge), 413, `{"message":"Request Entity Too Large"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newFront(t, routes(), tt.invoke, fixed()).ServeHTTP(w, tt.request)
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tt.status, tt.body)
			}
			if got, want := w.Header().Get("Content-Type"), "application/json"; got != want {
				t.Errorf("content type: got %q, want %q", got, want)
			}
			if got := w.Header().Get("Apigw-Requestid"); got != zeroRequestID {
				t.Errorf("apigw-requestid: got %q, want %q", got, zeroRequestID)
			}
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestNoRandomness(t *testing.T) {
	options := fixed()
	for _, bytesLeft := range []int{0, 11} { // none for the request's id, none for the trace's
		options.Random = bytes.NewReader(make([]byte, bytesLeft))
		w := httptest.NewRecorder()
		newFront(t, routes(), answer(`{}`), options).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != http.StatusInternalServerError {
			t.Errorf("%d bytes: got %d, want 500", bytesLeft, w.Code)
		}
	}
}

func TestSlowFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		invoke := func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		w := httptest.NewRecorder()
		newFront(t, routes(), invoke, fixed()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if got := time.Since(began); got != apifront.Timeout {
			t.Errorf("answered after %v, want %v", got, apifront.Timeout)
		}
		if want := `{"message":"Service Unavailable"}`; w.Code != 503 || w.Body.String() != want {
			t.Errorf("got %d %s, want 503 %s", w.Code, w.Body, want)
		}
	})
}

// TestRealFunction goes the whole way: a TCP connection, the front, the host and
// a compiled bootstrap.
func TestRealFunction(t *testing.T) {
	host, err := lambdahost.New([]lambdahost.Function{{Name: "Gate", Bootstrap: gateBootstrap}}, lambdahost.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	front := newFront(t, []apifront.Route{{Key: "POST /gates/{gate}", Function: "Gate"}}, host.Invoke, apifront.Options{})
	server := httptest.NewServer(front)
	defer server.Close()
	defer server.Client().CloseIdleConnections()

	tests := []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"answer", "/gates/north", "open 京", 201, "north:open 京"},
		{"plain answer", "/gates/north?how=plain", "", 200, "open"},
		{"error", "/gates/north?how=fail", "", 500, `{"message":"Internal Server Error"}`},
		{"no route", "/doors/north", "", 404, `{"message":"Not Found"}`},
		{"event too large for Lambda", "/gates/north", strings.Repeat("x", lambdahost.MaxPayload), 413, `{"message":"Request Entity Too Large"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := server.Client().Post(server.URL+tt.path, "text/plain", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || string(body) != tt.want {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, tt.status, tt.want)
			}
			id := resp.Header.Get("Apigw-Requestid")
			if len(id) != len(zeroRequestID) {
				t.Errorf("apigw-requestid: got %q", id)
			}
			if tt.status == 201 && resp.Header.Get("Request-Id") != id {
				t.Errorf("the event's request id: got %q, want %q", resp.Header.Get("Request-Id"), id)
			}
		})
	}
	if got, want := host.Stats("Gate").ColdStarts, 1; got != want {
		t.Errorf("cold starts: got %d, want %d", got, want)
	}
}
