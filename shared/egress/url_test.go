package egress

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestCheckURL(t *testing.T) {
	label := strings.Repeat("a", 63)
	longName := strings.Join([]string{label, label, label, label[:61]}, ".") // 253
	tests := []struct {
		name, url string
		want      Reason
	}{
		{"a name", "https://hooks.vendor.example/wechat", ""},
		{"without a path", "https://vendor.example", ""},
		{"a query", "https://vendor.example/a?b=c&d=%20", ""},
		{"a query without a path", "https://vendor.example?b=c", ""},
		{"the port", "https://vendor.example:443/", ""},
		{"capitals", "HTTPS://Vendor.EXAMPLE/", ""},
		{"an international name in ASCII", "https://xn--fiq228c.example/", ""},
		{"digits in a name", "https://1.2.3.4.example/", ""},
		{"a label that starts with a digit", "https://163.com/", ""},
		{"an IPv4 address", "https://8.8.8.8/", ""},
		{"an IPv6 address", "https://[2606:4700::1111]:443/", ""},
		{"a long label", "https://" + label + ".example/", ""},
		{"a long name", "https://" + longName + "/", ""},
		{"a long URL", "https://vendor.example/" + strings.Repeat("a", MaxURL-23), ""},

		{"a URL that is too long", "https://vendor.example/" + strings.Repeat("a", MaxURL-22), ErrBadURL},
		{"empty", "", ErrBadURL},
		{"relative", "/hooks", ErrBadURL},
		{"without a scheme", "//vendor.example/", ErrBadURL},
		{"without a scheme, with a dot", "vendor.example/hooks", ErrBadURL},
		{"opaque", "https:vendor.example", ErrBadURL},
		{"without a host", "https:///hooks", ErrBadURL},
		{"a port alone", "https://:443/", ErrBadURL},
		{"http", "http://vendor.example/", ErrNotHTTPS},
		{"another scheme", "gopher://vendor.example/", ErrNotHTTPS},
		{"a file", "file://vendor.example/etc/passwd", ErrNotHTTPS},
		{"another port", "https://vendor.example:8443/", ErrBadPort},
		{"port 80", "https://vendor.example:80/", ErrBadPort},
		{"port 0443", "https://vendor.example:0443/", ErrBadPort},
		{"port 65979, which is 443 modulo 65536", "https://vendor.example:65979/", ErrBadPort},
		{"port 0", "https://vendor.example:0/", ErrBadPort},
		{"an empty port", "https://vendor.example:/", ErrBadPort},
		{"a service's name", "https://vendor.example:https/", ErrBadURL},
		{"two ports", "https://vendor.example:443:80/", ErrBadURL},
		{"a user", "https://user@vendor.example/", ErrBadURL},
		{"a user and password", "https://user:password@vendor.example/", ErrBadURL},
		{"an empty user", "https://@vendor.example/", ErrBadURL},
		{"a user that looks like a host", "https://vendor.example@169.254.169.254/", ErrBadURL},
		{"a fragment", "https://vendor.example/#part", ErrBadURL},
		{"an empty fragment", "https://vendor.example/#", ErrBadURL},
		{"a fragment that looks like a user", "https://vendor.example#@169.254.169.254/", ErrBadURL},
		{"a backslash", `https://vendor.example\@169.254.169.254/`, ErrBadURL},
		{"a space", "https://vendor.example/a b", ErrBadURL},
		{"a space in front", " https://vendor.example/", ErrBadURL},
		{"a line end", "https://vendor.example/\r\nX: y", ErrBadURL},
		{"a tab in the host", "https://vendor\t.example/", ErrBadURL},
		{"a zero byte", "https://vendor.example/\x00", ErrBadURL},
		{"not UTF-8", "https://vendor.example/\xff", ErrBadURL},
		{"a bad escape", "https://vendor.example/%zz", ErrBadURL},
		{"an international name", "https://停车.example/", ErrBadURL},
		{"full-width digits", "https://１２７.0.0.1/", ErrBadURL},
		{"an ideographic full stop", "https://127。0。0。1/", ErrBadURL},
		{"circled digits, escaped", "https://%E2%91%A0.example/", ErrBadURL},
		{"an escaped host", "https://%31%32%37.0.0.1/", ErrBadURL},
		{"one label", "https://localhost/", ErrBadURL},
		{"a dot at the end", "https://vendor.example./", ErrBadURL},
		{"an empty label", "https://vendor..example/", ErrBadURL},
		{"a dot in front", "https://.vendor.example/", ErrBadURL},
		{"an underscore", "https://my_shop.example/", ErrBadURL},
		{"a hyphen in front", "https://-vendor.example/", ErrBadURL},
		{"a hyphen at a label's end", "https://vendor-.example/", ErrBadURL},
		{"a label that is too long", "https://" + label + "a.example/", ErrBadURL},
		{"a name that is too long", "https://a" + longName + "/", ErrBadURL},
		{"loopback", "https://127.0.0.1/", ErrForbiddenAddress},
		{"metadata", "https://169.254.169.254/latest/meta-data/", ErrForbiddenAddress},
		{"private", "https://10.0.0.1/", ErrForbiddenAddress},
		{"unspecified", "https://0.0.0.0/", ErrForbiddenAddress},
		{"IPv6 loopback", "https://[::1]/", ErrForbiddenAddress},
		{"IPv6 metadata", "https://[fd00:ec2::254]/", ErrForbiddenAddress},
		{"IPv4-mapped", "https://[::ffff:127.0.0.1]/", ErrForbiddenAddress},
		{"IPv4-mapped, in hexadecimal", "https://[::ffff:7f00:1]/", ErrForbiddenAddress},
		{"decimal", "https://2130706433/", ErrBadURL},
		{"octal", "https://0177.0.0.1/", ErrBadURL},
		{"octal throughout", "https://017700000001/", ErrBadURL},
		{"hexadecimal", "https://0x7f000001/", ErrBadURL},
		{"hexadecimal parts", "https://0x7f.0x0.0x0.0x1/", ErrBadURL},
		{"a hexadecimal prefix alone", "https://vendor.0x/", ErrBadURL},
		{"capital hexadecimal", "https://0X7F.1/", ErrBadURL},
		{"two parts", "https://127.1/", ErrBadURL},
		{"three parts", "https://127.0.1/", ErrBadURL},
		{"leading zeros", "https://127.000.000.001/", ErrBadURL},
		{"five parts", "https://1.2.3.4.5/", ErrBadURL},
		{"a part over 255", "https://256.1.1.1/", ErrBadURL},
		{"an address with a dot at its end", "https://127.0.0.1./", ErrBadURL},
		{"a zone", "https://[fe80::1%25eth0]/", ErrBadURL},
		{"a zone of a public address", "https://[2606:4700::1111%25eth0]/", ErrBadURL},
		{"a zone, not escaped", "https://[fe80::1%eth0]/", ErrBadURL},
		{"IPv4 in brackets", "https://[8.8.8.8]/", ErrBadURL},
		{"a name in brackets", "https://[vendor.example]/", ErrBadURL},
		{"IPv6 without brackets", "https://2606:4700::1111/", ErrBadURL},
		{"an open bracket", "https://[::1/", ErrBadURL},
		{"an IPv6 future address", "https://[v1.x]/", ErrBadURL},
	}
	c := New(Options{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := c.CheckURL(test.url)
			if test.want != "" {
				wantReason(t, err, test.want, "vendor", "passw", "127.", "169.254", "latest")
				// Post looks first, and sends nothing.
				_, postErr := c.Post(t.Context(), test.url, nil, nil)
				wantReason(t, postErr, test.want)
			} else if err != nil {
				t.Errorf("got %v, want none", err)
			}
		})
	}
}

// TestCheckURLLoopback: what the local stack's setting adds, and what it does
// not.
func TestCheckURLLoopback(t *testing.T) {
	tests := []struct {
		url  string
		want Reason
	}{
		{"http://127.0.0.1:8080/hooks", ""},
		{"http://localhost:8080/", ""},
		{"http://localhost", ""},
		{"https://localhost:8443/", ""},
		{"http://[::1]:8080/", ""},
		{"https://vendor.example/", ""},
		// What the name resolves to decides, when it is dialed.
		{"http://vendor.example/", ""},
		{"http://8.8.8.8/", ErrForbiddenAddress},
		{"https://8.8.8.8:8443/", ErrForbiddenAddress},
		{"http://10.0.0.1:8080/", ErrForbiddenAddress},
		{"http://169.254.169.254/", ErrForbiddenAddress},
		{"http://user@127.0.0.1/", ErrBadURL},
		{"http://0x7f.1/", ErrBadURL},
		{"http://2130706433/", ErrBadURL},
		{"http://127.0.0.1:0/", ErrBadPort},
		{"http://127.0.0.1:65536/", ErrBadPort},
		{"ftp://127.0.0.1/", ErrNotHTTPS},
	}
	c := New(Options{AllowLoopback: true})
	for _, test := range tests {
		err := c.CheckURL(test.url)
		if test.want != "" {
			wantReason(t, err, test.want)
		} else if err != nil {
			t.Errorf("%s: got %v, want none", test.url, err)
		}
	}
}

// accepted is the form of a URL that is accepted, written once more as one
// expression; the address it may hold is FuzzForbidden's.
var accepted = regexp.MustCompile(`^(?i:https)://` +
	`(?:((?:[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?\.)+[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?)|\[[0-9A-Fa-f:.]+\])` +
	`(?::443)?(?:[/?](?:[0-9A-Za-z._~:/?@\[\]!$&'()*+,;=-]|%[0-9A-Fa-f]{2}|%)*)?$`)

// number is a last label that makes a host an address.
var number = regexp.MustCompile(`(?:^|\.)(?:[0-9]+|0[xX][0-9A-Za-z-]*)$`)

var dotted = regexp.MustCompile(`^(?:(?:25[0-5]|2[0-4][0-9]|1?[1-9]?[0-9]|10[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[1-9]?[0-9]|10[0-9])$`)

// FuzzCheckURL: what is accepted has one form, says one host to everyone, and
// every refusal is one of four reasons.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://hooks.vendor.example/wechat?shop=1", "https://vendor.example:443", "https://[2606:4700::1111]/", "https://8.8.8.8/",
		"https://127.0.0.1/", "https://0x7f.1/", "https://user@vendor.example/", "https://vendor.example/#a", "http://vendor.example/",
		"https://[fe80::1%25eth0]/", "https://停车.example/", "https://%31.example/", `https://a.example\@b.example/`, "https:vendor",
	} {
		f.Add(seed)
	}
	c := New(Options{})
	f.Fuzz(func(t *testing.T, rawURL string) {
		err := c.CheckURL(rawURL)
		if err != nil {
			for _, reason := range []Reason{ErrBadURL, ErrNotHTTPS, ErrBadPort, ErrForbiddenAddress} {
				if errors.Is(err, reason) {
					return
				}
			}
			t.Fatalf("got %v", err)
		}
		form := accepted.FindStringSubmatch(rawURL)
		if form == nil || len(rawURL) > 2048 {
			t.Fatalf("%q is accepted", rawURL)
		}
		if name := form[1]; len(name) > 253 || number.MatchString(name) && !dotted.MatchString(name) {
			t.Fatalf("%q is accepted: its host is no name", rawURL)
		}
		req, err := http.NewRequest(http.MethodPost, rawURL, nil)
		if err != nil {
			t.Fatalf("%q is accepted: %v", rawURL, err)
		}
		if name := form[1]; name != "" && req.URL.Hostname() != name {
			t.Fatalf("%q: net/http reads host %q, this reads %q", rawURL, req.URL.Hostname(), name)
		}
		if uri := req.URL.RequestURI(); strings.ContainsAny(uri, " \r\n\t") || !strings.HasPrefix(uri, "/") {
			t.Fatalf("%q: got request target %q", rawURL, uri)
		}
	})
}
