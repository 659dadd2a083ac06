package apifront_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"wechat-parking-gateway/local/apifront"
)

// FuzzResponse feeds arbitrary answers of a function: whatever it answers, a
// client gets a valid status, and a broken answer never half.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `"text"`, `{}`, `{"statusCode":204}`, `{"statusCode":"204"}`,
		`{"statusCode":200,"headers":{"a":"b","n":1},"cookies":["c=d"],"body":"AAE=","isBase64Encoded":true}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		invoke := func(context.Context, string, []byte) ([]byte, error) { return b, nil }
		w := httptest.NewRecorder()
		newFront(t, routes(), invoke, fixed()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("status: got %d", w.Code)
		}
		if !json.Valid(b) && w.Code != http.StatusInternalServerError {
			t.Errorf("no JSON: got %d, want 500", w.Code)
		}
		for name, values := range w.Header() {
			if strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") {
				t.Errorf("header %q: %q", name, values)
			}
		}
	})
}

// FuzzEvent feeds arbitrary requests: each becomes an event that functions can
// read, with the body whole.
func FuzzEvent(f *testing.F) {
	f.Add("/v1/vendors/a/echo", "a=1&a=2", "application/json", "a=b; c", []byte(`{"a":1}`))
	f.Add("/a%2Fb/", "%zz&&=", "", ";;", []byte{0xff, 0})
	f.Fuzz(func(t *testing.T, path, query, contentType, cookie string, body []byte) {
		var event events.APIGatewayV2HTTPRequest
		invoke := func(_ context.Context, _ string, p []byte) ([]byte, error) {
			return []byte(`{}`), json.Unmarshal(p, &event)
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(string(body)))
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		all := []apifront.Route{{Key: "$default", Function: "F"}, {Key: "ANY /{x}/{y+}", Function: "F"}}
		newFront(t, all, invoke, fixed()).ServeHTTP(w, r)
		if w.Code == http.StatusRequestHeaderFieldsTooLarge {
			return
		}
		if w.Code != http.StatusOK {
			t.Fatalf("status: got %d, want 200", w.Code)
		}
		if got, want := eventBody(t, event), asText(t, body, event.IsBase64Encoded); got != want {
			t.Errorf("body: got %q, want %q", got, want)
		}
	})
}

func eventBody(t *testing.T, event events.APIGatewayV2HTTPRequest) string {
	t.Helper()
	if !event.IsBase64Encoded {
		return event.Body
	}
	decoded, err := base64.StdEncoding.DecodeString(event.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded)
}

// asText is a body as JSON text can hold it, unless it travels encoded.
func asText(t *testing.T, body []byte, encoded bool) string {
	t.Helper()
	if encoded {
		return string(body)
	}
	quoted, err := json.Marshal(string(body))
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		t.Fatal(err)
	}
	return text
}
