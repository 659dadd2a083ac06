package reference_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"wechat-parking-gateway/api"
	"wechat-parking-gateway/local/reference"
)

func get(t *testing.T, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := reference.Handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func TestHandler(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
		contentType  string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/index.html", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/reference.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/reference.css", 200, "text/css; charset=utf-8"},
		{"GET", "/swagger-ui-bundle.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/swagger-ui.css", 200, "text/css; charset=utf-8"},
		{"GET", "/openapi.yaml", 200, "application/yaml; charset=utf-8"},
		{"GET", "/page/index.html", 404, "text/plain; charset=utf-8"},
		{"GET", "/../reference.go", 404, "text/plain; charset=utf-8"},
		{"GET", "//", 404, "text/plain; charset=utf-8"},
		{"POST", "/", 405, "text/plain; charset=utf-8"},
	} {
		w := get(t, tt.method, tt.path)
		if w.Code != tt.status || w.Header().Get("Content-Type") != tt.contentType {
			t.Errorf("%s %s: got %d %s, want %d %s", tt.method, tt.path, w.Code, w.Header().Get("Content-Type"), tt.status, tt.contentType)
		}
		policy := w.Header().Get("Content-Security-Policy")
		for _, part := range strings.Split(policy, "; ") {
			for _, source := range strings.Fields(part)[1:] {
				if source != "'none'" && source != "'self'" && (source != "data:" || !strings.HasPrefix(part, "img-src ")) {
					t.Errorf("%s: the policy allows %s: %s", tt.path, source, part)
				}
			}
		}
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s: %s", tt.path, want, policy)
			}
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the type of the content may be guessed", tt.path)
		}
	}
	if got := get(t, "GET", "/openapi.yaml").Body.Bytes(); !bytes.Equal(got, api.OpenAPI) {
		t.Error("the contract is served with changes")
	}
}

// TestPageIsItsOwn: the page names files beside it alone, has the header's policy for where it is published, and nothing
// inline that the policy would block.
func TestPageIsItsOwn(t *testing.T) {
	w := get(t, "GET", "/")
	html := w.Body.String()
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if m[1] == "data:," {
			continue
		}
		if strings.Contains(m[1], "/") || get(t, "GET", "/"+m[1]).Code != http.StatusOK {
			t.Errorf("the page names %s, which does not lie beside it", m[1])
		}
	}
	policy, _, _ := strings.Cut(w.Header().Get("Content-Security-Policy"), "; frame-ancestors")
	if !strings.Contains(html, `content="`+policy+`"`) {
		t.Errorf("the page's own policy is not the header's: %s", policy)
	}
	for _, inline := range []string{"<style", " style=", "<script>", "onload=", "onclick=", "javascript:"} {
		if strings.Contains(html, inline) {
			t.Errorf("the page has %s", inline)
		}
	}
}
