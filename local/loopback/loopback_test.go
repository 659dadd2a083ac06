package loopback_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"wechat-parking-gateway/local/loopback"
)

func TestListen(t *testing.T) {
	for _, tc := range []struct {
		address string
		open    bool
	}{
		{"127.0.0.1:0", true},
		{"localhost:0", true},
		{"0.0.0.0:0", false},
		{":0", false},
		{"[::]:0", false},
		{"192.0.2.1:0", false},
		{"example.com:0", false},
		{"127.0.0.1", false},
	} {
		listener, err := loopback.Listen(tc.address)
		if (err == nil) != tc.open {
			t.Errorf("%s: got error %v, want open %v", tc.address, err, tc.open)
		}
		if err == nil {
			_ = listener.Close()
		}
	}
}

func TestGuard(t *testing.T) {
	handler := loopback.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, tc := range []struct {
		name, method, host, origin, site string
		want                             int
	}{
		{"a page of its own", "GET", "127.0.0.1:8081", "", "none", 204},
		{"by name", "GET", "localhost:8081", "", "", 204},
		{"by name without a port", "GET", "localhost", "", "", 204},
		{"IPv6", "GET", "[::1]:8081", "", "", 204},
		{"IPv6 without a port", "GET", "[::1]", "", "", 204},
		{"a button of its own", "POST", "127.0.0.1:8081", "http://127.0.0.1:8081", "same-origin", 204},
		{"a program", "POST", "127.0.0.1:8081", "", "", 204},
		{"DNS rebinding", "GET", "attacker.example:8081", "", "", 421},
		{"DNS rebinding with a button", "POST", "attacker.example:8081", "http://attacker.example:8081", "same-origin", 421},
		{"a name that begins like one of ours", "GET", "127.0.0.1.attacker.example", "", "", 421},
		{"no name", "GET", "", "", "", 421},
		{"another site's button", "POST", "127.0.0.1:8081", "https://attacker.example", "cross-site", 403},
		{"another port's button", "POST", "127.0.0.1:8081", "http://127.0.0.1:3000", "same-site", 403},
		{"another port's button, an old browser", "POST", "127.0.0.1:8081", "http://127.0.0.1:3000", "", 403},
		{"a page without an origin", "POST", "127.0.0.1:8081", "null", "", 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "/", nil)
			r.Host = tc.host
			for name, value := range map[string]string{"Origin": tc.origin, "Sec-Fetch-Site": tc.site} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tc.want {
				t.Errorf("got %d, want %d", w.Code, tc.want)
			}
		})
	}
}
