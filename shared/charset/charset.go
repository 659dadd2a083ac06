// Package charset tells whether a text is made of a few ASCII characters alone: ids, names of keys, reasons. It stands in
// for regular expressions, each of which costs every start of a function its compilation.
package charset

import "strings"

// What sets are put together from: Fits(s, 64, Alphanumeric+"-_").
const (
	Digits       = "0123456789"
	Lower        = "abcdefghijklmnopqrstuvwxyz"
	Upper        = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	Alphanumeric = Digits + Lower + Upper
)

// Fits reports whether s consists of 1 to limit bytes, all of them in set.
func Fits(s string, limit int, set string) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return false
		}
	}
	return true
}
