package charset_test

import (
	"fmt"
	"regexp"
	"testing"

	"wechat-parking-gateway/shared/charset"
)

func Example() {
	fmt.Println(charset.Fits("visit-4711", 64, charset.Alphanumeric+"-_"), charset.Fits("visit 4711", 64, charset.Alphanumeric+"-_"))
	// Output: true false
}

func TestFits(t *testing.T) {
	for _, tc := range []struct {
		s     string
		limit int
		set   string
		want  bool
	}{
		{"", 3, charset.Digits, false},
		{"0", 3, charset.Digits, true},
		{"123", 3, charset.Digits, true},
		{"1234", 3, charset.Digits, false},
		{"12a", 3, charset.Digits, false},
		{"a\x00", 3, charset.Lower, false},
		{"é", 3, charset.Lower, false},
		{"粤", 3, charset.Alphanumeric, false},
		{"aZ9", 3, charset.Alphanumeric, true},
		{"a\n", 3, charset.Lower, false},
	} {
		if got := charset.Fits(tc.s, tc.limit, tc.set); got != tc.want {
			t.Errorf("%q of at most %d in %q: got %t, want %t", tc.s, tc.limit, tc.set, got, tc.want)
		}
	}
}

// FuzzFits holds Fits against the regular expression that it stands in for.
func FuzzFits(f *testing.F) {
	form := regexp.MustCompile(`\A[A-Za-z0-9_-]{1,64}\z`)
	for _, s := range []string{"", "a", "a b", "evt_4fd06cd4e5268e395f91928df3ab522e9877e6df", "粤B888888", "a\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := charset.Fits(s, 64, charset.Alphanumeric+"-_"), form.MatchString(s); got != want {
			t.Errorf("%q: got %t, want %t", s, got, want)
		}
	})
}
