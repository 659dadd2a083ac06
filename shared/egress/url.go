package egress

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	httpsPort = 443
	maxName   = 253 // RFC 1035 2.3.4, in text
	maxLabel  = 63
)

// target is a URL that may be posted to.
type target struct {
	url    *url.URL
	secure bool
	// host is a DNS name or an address, without brackets.
	host string
	port uint16
	// literal tells that host is an address.
	literal bool
}

// key names the target's connections: any two URLs with one key may share them.
func (t *target) key() string { return t.url.Scheme + " " + t.address() }

// address is what to dial. A name is given as complete (with a dot at its end),
// so that no resolver tries it below the local domain; but for a name of a single
// label, which only the local stack may use.
func (t *target) address() string {
	host := t.host
	if !t.literal && strings.Contains(host, ".") {
		host += "."
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.port)))
}

// parse reads a URL of one narrow form, so that no two readers can differ about
// it: https, a DNS name in ASCII or an address in its usual spelling, port 443,
// RFC 3986's characters, no user information and no fragment.
func parse(rawURL string, allowLoopback bool) (*target, error) {
	if len(rawURL) > MaxURL {
		return nil, failure(ErrBadURL, "the URL is longer than 2048 bytes")
	}
	if strings.ContainsFunc(rawURL, func(r rune) bool { return !isURLCharacter(r) }) {
		return nil, failure(ErrBadURL, "the URL has a character that is not RFC 3986's; an international name is written as xn--")
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme == "" || u.Opaque != "" || u.Host == "" {
		return nil, failure(ErrBadURL, "it is not an absolute URL with a host")
	}
	secure := u.Scheme == "https"
	if !secure && !(allowLoopback && u.Scheme == "http") {
		return nil, failure(ErrNotHTTPS, "the scheme is not https")
	}
	if u.User != nil {
		return nil, failure(ErrBadURL, "the URL has user information")
	}
	if strings.Contains(rawURL, "#") {
		return nil, failure(ErrBadURL, "the URL has a fragment")
	}
	t := &target{url: u, secure: secure, host: strings.ToLower(u.Hostname())}
	if err := t.setPort(allowLoopback); err != nil {
		return nil, err
	}
	if err := t.checkHost(allowLoopback); err != nil {
		return nil, err
	}
	return t, nil
}

func isURLCharacter(r rune) bool {
	return r < 0x80 && (isAlphanumeric(byte(r)) || strings.ContainsRune("-._~:/?#[]@!$&'()*+,;=%", r))
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// setPort reads the port in its one spelling, the scheme's own when there is
// none.
func (t *target) setPort(allowLoopback bool) error {
	text, given := t.url.Port(), strings.HasSuffix(t.url.Host, ":")
	t.port = httpsPort
	if !t.secure {
		t.port = 80
	}
	if text == "" && !given {
		return nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || strconv.FormatUint(port, 10) != text {
		return failure(ErrBadPort, "the port is not a number as it is usually written")
	}
	if port != httpsPort && !allowLoopback {
		return failure(ErrBadPort, "the port is not 443")
	}
	t.port = uint16(port)
	return nil
}

// checkHost takes an address or a DNS name.
func (t *target) checkHost(allowLoopback bool) error {
	bracketed := strings.HasPrefix(t.url.Host, "[")
	if address, err := netip.ParseAddr(t.host); err == nil {
		if address.Is6() != bracketed || address.Zone() != "" {
			return failure(ErrBadURL, "the host is not an address as it is usually written")
		}
		t.literal = true
		return permit(address, t.port, t.secure, allowLoopback)
	}
	if bracketed {
		return failure(ErrBadURL, "the host is not an address as it is usually written")
	}
	if !isName(t.host) {
		return failure(ErrBadURL, "the host is neither a DNS name nor an address as it is usually written")
	}
	if !strings.Contains(t.host, ".") && !allowLoopback {
		return failure(ErrBadURL, "the host's name has one label only")
	}
	return nil
}

// isName tells a host name (RFC 1123 2.1) from everything else, and from the
// spellings of an IPv4 address that some resolvers take: a last label that is a
// decimal, octal or hexadecimal number makes the whole a number
// (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func isName(host string) bool {
	if host == "" || len(host) > maxName {
		return false
	}
	var last string
	for label := range strings.SplitSeq(host, ".") {
		if !isLabel(label) {
			return false
		}
		last = label
	}
	_, hexadecimal := strings.CutPrefix(last, "0x")
	return !hexadecimal && strings.Trim(last, "0123456789") != ""
}

func isLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		if !isAlphanumeric(label[i]) && label[i] != '-' {
			return false
		}
	}
	return true
}
