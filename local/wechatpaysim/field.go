package wechatpaysim

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// rule is what a document says of one field. check returns what is wrong with a value, or nothing; it never
// repeats the value.
type rule struct {
	name     string
	required bool
	check    func(string) string
}

// apply holds fields against rules. It returns the first field that breaks one, and how.
func apply(rules []rule, fields map[string]string) (field, issue string) {
	for _, name := range sortedNames(fields) {
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.name == name }) {
			return name, "is not a field of this interface"
		}
	}
	for _, r := range rules {
		v, ok := fields[r.name]
		if !ok && !r.required {
			continue
		}
		if !ok {
			return r.name, "is required"
		}
		if v == "" {
			return r.name, "is empty"
		}
		if issue := r.check(v); issue != "" {
			return r.name, issue
		}
	}
	return "", ""
}

func sortedNames(fields map[string]string) []string {
	names := make([]string, 0, len(fields))
	for n := range fields {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func limit(f func(string, int) string, n int) func(string) string {
	return func(s string) string { return f(s, n) }
}

func oneOf(values ...string) func(string) string {
	return func(s string) string {
		if slices.Contains(values, s) {
			return ""
		}
		return "must be " + strings.Join(values, " or ")
	}
}

// text is any text of at most n characters without control characters.
func text(s string, n int) string {
	if utf8.RuneCountInString(s) > n {
		return fmt.Sprintf("is over %d characters", n)
	}
	if strings.TrimSpace(s) != s {
		return "begins or ends with a space"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		return "holds a control character or broken text"
	}
	return ""
}

// token is an id: at most n of letters, digits, _ and -.
func token(s string, n int) string {
	if len(s) > n {
		return fmt.Sprintf("is over %d characters", n)
	}
	for _, c := range []byte(s) {
		if !strings.ContainsRune(alphanumeric+"_-", rune(c)) {
			return "holds something else than letters, digits, _ and -"
		}
	}
	if s == "" {
		return "is empty"
	}
	return ""
}

// digits is a number written out, at most n of 0-9.
func digits(s string, n int) string {
	if len(s) > n {
		return fmt.Sprintf("is over %d digits", n)
	}
	if s == "" || strings.Trim(s, decimal) != "" {
		return "must be digits"
	}
	return ""
}

// seconds is a length of time as V2 wants it: a string of digits, not padded.
func seconds(s string) string {
	if issue := digits(s, 16); issue != "" {
		return issue
	}
	if len(s) > 1 && s[0] == '0' {
		return "has a leading zero"
	}
	return ""
}

const provinces = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"

// plate is a plate number: a province's character, then upper-case letters, digits and Han, 7 or 8 in all
// and no separator. The pages say string(32) and give no smallest length; 7 and 8 are what real plates have.
func plate(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if !strings.ContainsRune(provinces, first) {
		return "must begin with a province's character"
	}
	for _, r := range s[size:] {
		if (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !unicode.Is(unicode.Han, r) {
			return "may hold upper-case letters, digits and Chinese characters alone"
		}
	}
	if n := utf8.RuneCountInString(s); n != 7 && n != 8 {
		return "must have 7 or 8 characters"
	}
	return ""
}

const v2Time = "20060102150405"

// stamp is V2's yyyyMMddHHmmss.
func stamp(s string) string {
	t, err := time.Parse(v2Time, s)
	if err != nil || t.Format(v2Time) != s {
		return "must be yyyyMMddHHmmss"
	}
	return ""
}

var rfc3339Beijing = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+08:00$`)

// instant is V3's time: RFC 3339 without fractions. WeChat Pay takes any offset; the gateway promises +08:00.
func instant(s string) string {
	if _, err := time.Parse(time.RFC3339, s); err != nil || !rfc3339Beijing.MatchString(s) {
		return "must be yyyy-MM-DDTHH:mm:ss+08:00"
	}
	return ""
}

// notifyURL is an address that WeChat Pay may call: a full path, no query, https on a public name. http is
// for private lines alone: an address that is private or of this machine.
func notifyURL(s string) string {
	if len(s) > 256 {
		return "is over 256 characters"
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return "must be a full address"
	case strings.ContainsAny(s, "?#"):
		return "must have no query and no fragment"
	case u.User != nil:
		return "must have no user"
	case u.Path == "" || u.Path == "/":
		return "must have a path"
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return "must be https"
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() == "localhost" || err == nil && (ip.IsPrivate() || ip.IsLoopback()) {
		return ""
	}
	return "must be https outside a private line"
}

// nonce is 1 to 32 letters and digits.
func nonce(s string) string {
	if len(s) > 32 {
		return "is over 32 characters"
	}
	if s == "" || strings.Trim(s, alphanumeric) != "" {
		return "must be letters and digits"
	}
	return ""
}
