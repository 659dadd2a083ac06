package beijingtime_test

import (
	"errors"
	"fmt"
	"testing"

	"wechat-parking-gateway/shared/beijingtime"
)

func TestParseRFC3339(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"Beijing", "2022-06-01T10:43:39+08:00", "2022-06-01T10:43:39+08:00"},
		{"UTC", "2022-06-01T02:43:39Z", "2022-06-01T10:43:39+08:00"},
		{"west of Greenwich, the day changes", "2022-05-31T20:43:39-06:00", "2022-06-01T10:43:39+08:00"},
		{"fraction is cut, not rounded", "2022-06-01T10:43:39.999999+08:00", "2022-06-01T10:43:39+08:00"},
		{"no offset", "2022-06-01T10:43:39", ""},
		{"space for T", "2022-06-01 10:43:39+08:00", ""},
		{"lower-case t", "2022-06-01t10:43:39+08:00", ""},
		{"comma before the fraction", "2022-06-01T10:43:39,5+08:00", ""},
		{"offset without colon", "2022-06-01T10:43:39+0800", ""},
		{"offset out of range", "2022-06-01T10:43:39+25:00", ""},
		{"no such day", "2022-02-30T10:43:39+08:00", ""},
		{"hour 24", "2022-06-01T24:00:00+08:00", ""},
		{"one-digit hour", "2022-06-01T1:43:39+08:00", ""},
		{"year 1999", "1999-06-01T10:43:39+08:00", ""},
		{"Unix seconds", "1654051419", ""},
		{"empty", "", ""},
		{"bytes after it", "2022-06-01T10:43:39+08:00 ", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, tt.in, tt.want, beijingRFC3339) })
	}
}

func TestParseCompact(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"Beijing", "20170926114339", "2017-09-26T11:43:39+08:00"},
		{"no such minute", "20170926116039", ""},
		{"no such day", "20170231114339", ""},
		{"too short", "2017092611433", ""},
		{"too long", "201709261143390", ""},
		{"sign inside", "2017+926114339", ""},
		{"full-width digits", "２０１７０９２６", ""},
		{"year 1917", "19170926114339", ""},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, tt.in, tt.want, beijingCompact) })
	}
}

func beijingRFC3339(s string) (string, error) {
	v, err := beijingtime.ParseRFC3339(s)
	return beijingtime.RFC3339(v), err
}

func beijingCompact(s string) (string, error) {
	v, err := beijingtime.ParseCompact(s)
	return beijingtime.RFC3339(v), err
}

func check(t *testing.T, in, want string, parse func(string) (string, error)) {
	t.Helper()
	got, err := parse(in)
	if want == "" {
		if !errors.Is(err, beijingtime.ErrMalformed) {
			t.Fatalf("parse(%q): got %v, %v, want ErrMalformed", in, got, err)
		}
		return
	}
	if err != nil || got != want {
		t.Fatalf("parse(%q): got %v, %v, want %v", in, got, err, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"2022-06-01T10:43:39+08:00", "2022-06-01T10:43:39.123Z", "20170926114339", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := beijingtime.ParseRFC3339(s); err == nil {
			again, err := beijingtime.ParseRFC3339(beijingtime.RFC3339(v))
			if err != nil && v.Year() >= 2000 && v.Year() < 3000 {
				t.Fatalf("%q was accepted, but what we write of it is not: %v", s, err)
			}
			if err == nil && !again.Equal(v) {
				t.Fatalf("%q: got %v after a round trip, want %v", s, again, v)
			}
		}
		if v, err := beijingtime.ParseCompact(s); err == nil && beijingtime.Compact(v) != s {
			t.Fatalf("%q: got %q after a round trip", s, beijingtime.Compact(v))
		}
	})
}

func ExampleCompact() {
	t, err := beijingtime.ParseRFC3339("2017-09-26T03:43:39Z")
	if err != nil {
		panic(err)
	}
	fmt.Println(beijingtime.Compact(t))
	// Output: 20170926114339
}
