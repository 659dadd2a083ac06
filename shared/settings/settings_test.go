package settings_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/shared/settings"
)

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestEveryMissingSettingIsNamed(t *testing.T) {
	r := settings.From(env(map[string]string{"B": " "}))
	r.Required("A")
	r.List("B")
	got := fmt.Sprint(r.Err())
	want := "setting A is missing: set it in the function's environment\nsetting B is missing: set it in the function's environment"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestList(t *testing.T) {
	r := settings.From(env(map[string]string{"IDS": "a, b ,,c"}))
	if got, want := r.List("IDS"), []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r.Err() != nil {
		t.Errorf("got %v, want no error", r.Err())
	}
}

func TestSwitch(t *testing.T) {
	tests := []struct {
		in       string
		want, ok bool
	}{
		{"", false, true}, {"false", false, true}, {"true", true, true}, {" true ", true, true},
		{"TRUE", false, false}, {"1", false, false}, {"yes", false, false},
	}
	for _, tt := range tests {
		r := settings.From(env(map[string]string{"ON": tt.in}))
		if got := r.Switch("ON"); got != tt.want || (r.Err() == nil) != tt.ok {
			t.Errorf("%q: got %v, %v, want %v, ok %v", tt.in, got, r.Err(), tt.want, tt.ok)
		}
	}
}

func TestDuration(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, " 2s ": 2 * time.Second, "1s": time.Second, "5m": 5 * time.Minute, "500ms": -1, "5m1s": -1, "-2s": -1, "2": -1, "soon": -1,
	} {
		r := settings.From(func(string) string { return value })
		got, err := r.Duration("LIFE", 5*time.Minute), r.Err()
		if want < 0 {
			if got != 0 || err == nil || !strings.Contains(err.Error(), "LIFE") {
				t.Errorf("%q: got %v, %v, want an error that names the setting alone", value, got, err)
			}
		} else if got != want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", value, got, err, want)
		}
	}
}

func TestBaseURL(t *testing.T) {
	tests := []struct {
		name, in, want string
		ok             bool
	}{
		{"absent takes the default", "", "https://default.example", true},
		{"https", "https://api.mch.weixin.qq.com", "https://api.mch.weixin.qq.com", true},
		{"slash at the end", "https://host.example/prefix/", "https://host.example/prefix", true},
		{"http on loopback", "http://127.0.0.1:8080", "http://127.0.0.1:8080", true},
		{"http on localhost", "http://localhost:8080", "http://localhost:8080", true},
		{"http on IPv6 loopback", "http://[::1]:8080", "http://[::1]:8080", true},
		{"http elsewhere", "http://host.example", "", false},
		{"no scheme", "host.example", "", false},
		{"other scheme", "ftp://host.example", "", false},
		{"query", "https://host.example/?a=b", "", false},
		{"credentials", "https://user:secret@host.example", "", false},
		{"not a URL", "https://host.example/%zz", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := settings.From(env(map[string]string{"URL": tt.in}))
			if got := r.BaseURL("URL", "https://default.example"); got != tt.want || (r.Err() == nil) != tt.ok {
				t.Errorf("got %q, %v, want %q, ok %v", got, r.Err(), tt.want, tt.ok)
			}
		})
	}
}

func TestPublicURL(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "https://parking.example.com/": "https://parking.example.com", "http://10.1.2.3:8080": "http://10.1.2.3:8080",
	} {
		r := settings.From(env(map[string]string{"URL": in}))
		if got := r.PublicURL("URL"); got != want || r.Err() != nil {
			t.Errorf("%q: got %q, %v, want %q", in, got, r.Err(), want)
		}
	}
	r := settings.From(env(map[string]string{"URL": "parking.example.com"}))
	if got := r.PublicURL("URL"); got != "" || r.Err() == nil {
		t.Errorf("without a scheme: got %q, %v, want an error", got, r.Err())
	}
}

func Example() {
	r := settings.From(env(map[string]string{"IDEMPOTENCY_TABLE": "table"}))
	fmt.Println(r.Required("IDEMPOTENCY_TABLE"))
	r.Required("MERCHANT_SECRET_ID")
	fmt.Println(r.Err())
	// Output:
	// table
	// setting MERCHANT_SECRET_ID is missing: set it in the function's environment
}
