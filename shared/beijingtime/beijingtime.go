// Package beijingtime reads and writes the times of WeChat Pay's parking interfaces, which are all Beijing time:
// RFC 3339 at +08:00 in V3 and in everything that the gateway writes, yyyyMMddHHmmss without a zone in V2.
//
// That V2's times are Beijing time is what every known integration does; the official pages do not name the zone.
package beijingtime

import (
	"errors"
	"time"
)

// Zone is UTC+8. China has had no daylight saving time since 1991, so no zone database is needed.
var Zone = time.FixedZone("UTC+8", 8*60*60)

// compactLayout is V2's yyyyMMddHHmmss.
const compactLayout = "20060102150405"

// MaxAhead is how far ahead of our clock a reported moment may lie before it is taken for a mistake.
const MaxAhead = 5 * time.Minute

// ErrMalformed says that a text is not a time in the wanted form.
var ErrMalformed = errors.New("beijingtime: malformed time")

// ParseRFC3339 reads an RFC 3339 time with its offset, as in 2022-06-01T10:43:39+08:00. Fractions of a second are cut.
// Only the years 2000 to 2999 are taken, so that every accepted moment can be written again in four digits.
func ParseRFC3339(s string) (time.Time, error) {
	// time.Parse alone would also take a comma before the fraction and an hour of one digit.
	const head = "2000-00-00T00:00:00"
	if len(s) <= len(head) || s[0] != '2' || s[len(head)] == ',' {
		return time.Time{}, ErrMalformed
	}
	for i, c := range []byte(head) {
		if (c == '0' || c == '2') != (s[i] >= '0' && s[i] <= '9') {
			return time.Time{}, ErrMalformed
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, ErrMalformed
	}
	return t.Truncate(time.Second).In(Zone), nil
}

// ParseCompact reads V2's yyyyMMddHHmmss as Beijing time.
func ParseCompact(s string) (time.Time, error) {
	if len(s) != len(compactLayout) || s[0] != '2' {
		return time.Time{}, ErrMalformed
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return time.Time{}, ErrMalformed
		}
	}
	t, err := time.ParseInLocation(compactLayout, s, Zone)
	if err != nil {
		return time.Time{}, ErrMalformed
	}
	return t, nil
}

// RFC3339 writes a moment as WeChat Pay's V3 does: 2022-06-01T10:43:39+08:00, whole seconds.
func RFC3339(t time.Time) string { return t.In(Zone).Format(time.RFC3339) }

// Compact writes a moment as WeChat Pay's V2 does: yyyyMMddHHmmss.
func Compact(t time.Time) string { return t.In(Zone).Format(compactLayout) }
