package flatxml_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/flatxml"
)

func TestAppend(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    flatxml.Document
		want string
	}{
		{"nothing", nil, "<xml></xml>"},
		{"two elements", flatxml.Document{{Name: "return_code", Value: "SUCCESS"}, {Name: "return_msg", Value: "OK"}},
			"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"},
		{"empty", flatxml.Document{{Name: "a"}}, "<xml><a><![CDATA[]]></a></xml>"},
		{"markup", flatxml.Document{{Name: "a", Value: `<b>&"'`}}, `<xml><a><![CDATA[<b>&"']]></a></xml>`},
		{"brackets", flatxml.Document{{Name: "a", Value: "]]"}}, "<xml><a><![CDATA[]]]]></a></xml>"},
		{"the end of CDATA", flatxml.Document{{Name: "a", Value: "<]]>&"}}, "<xml><a>&lt;]]&gt;&amp;</a></xml>"},
		{"carriage return", flatxml.Document{{Name: "a", Value: "b\r\nc"}}, "<xml><a>b&#13;\nc</a></xml>"},
		{"most bytes", flatxml.Document{{Name: "a", Value: strings.Repeat("b", flatxml.MaxBytes-30)}},
			"<xml><a><![CDATA[" + strings.Repeat("b", flatxml.MaxBytes-30) + "]]></a></xml>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := flatxml.Append([]byte("before"), tc.d)
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			if want := "before" + tc.want; string(got) != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			reread, err := flatxml.Parse(got[len("before"):])
			if err != nil || !slices.Equal(reread, tc.d) {
				t.Errorf("read back: got %q, %v, want %q", reread, err, tc.d)
			}
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    flatxml.Document
		want error
	}{
		{"NUL", flatxml.Document{{Name: "a", Value: "\x00"}}, flatxml.ErrInvalidChar},
		{"U+FFFF", flatxml.Document{{Name: "a", Value: "\uffff"}}, flatxml.ErrInvalidChar},
		{"invalid UTF-8", flatxml.Document{{Name: "a", Value: "粤\xe7"}}, flatxml.ErrInvalidUTF8},
		{"no name", flatxml.Document{{Value: "b"}}, flatxml.ErrInvalidName},
		{"markup in a name", flatxml.Document{{Name: "a><b", Value: "c"}}, flatxml.ErrInvalidName},
		{"a name twice", flatxml.Document{{Name: "a"}, {Name: "b"}, {Name: "a"}}, flatxml.ErrDuplicate},
		{"too many elements", manyDocument(flatxml.MaxElements + 1), flatxml.ErrTooManyElements},
		{"a byte too large", flatxml.Document{{Name: "a", Value: strings.Repeat("b", flatxml.MaxBytes-29)}}, flatxml.ErrTooLarge},
		{"far too large", flatxml.Document{{Name: "a", Value: strings.Repeat("b", 1<<20)}}, flatxml.ErrTooLarge},
		{"too large in two", flatxml.Document{{Name: "a", Value: strings.Repeat("b", 40<<10)}, {Name: "b", Value: strings.Repeat("b", 40<<10)}}, flatxml.ErrTooLarge},
		{"too large by its escapes", flatxml.Document{{Name: "a", Value: strings.Repeat("\r", 20<<10)}}, flatxml.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := flatxml.Append([]byte("before"), tc.d)
			if err != tc.want {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			if !errors.Is(err, flatxml.ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			if string(got) != "before" {
				t.Errorf("got %d bytes, want dst as it came", len(got))
			}
		})
	}
}

// FuzzRoundTrip writes a document of two elements and reads it back.
func FuzzRoundTrip(f *testing.F) {
	for _, d := range vectorDocuments(f) {
		f.Add(d[0].Name, d[0].Value, d[1].Name, d[1].Value)
	}
	f.Add("a", "]]>", "b", "\r\n")
	f.Add("a", "]]&gt;", "b", "<![CDATA[")
	f.Add("a b", "\x00", "", "\xff")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		d := flatxml.Document{{Name: name1, Value: value1}, {Name: name2, Value: value2}}
		b, err := flatxml.Append(nil, d)
		if err != nil {
			return
		}
		got, err := flatxml.Parse(b)
		if err != nil {
			t.Fatalf("Parse refuses what Append wrote: %v", err)
		}
		if !slices.Equal(got, d) {
			t.Fatalf("got %q, want %q", got, d)
		}
		if standard, err := standardParse(b); err != nil || !slices.Equal(standard, d) {
			t.Fatalf("encoding/xml got %q, %v, want %q", standard, err, d)
		}
		if again, err := flatxml.Append(nil, d); err != nil || !slices.Equal(again, b) {
			t.Fatalf("written again: got %q, %v, want %q", again, err, b)
		}
	})
}

// TestCharactersAtEveryOffset tries each kind of character at each offset of the
// eight bytes that are looked at together.
func TestCharactersAtEveryOffset(t *testing.T) {
	for _, tc := range []struct {
		name, char string
		want       error
	}{
		{"space", " ", nil},
		{"tilde", "~", nil},
		{"DEL", "\x7f", nil},
		{"tab", "\t", nil},
		{"line feed", "\n", nil},
		{"two bytes", "é", nil},
		{"three bytes", "粤", nil},
		{"four bytes", "🚗", nil},
		{"U+FFFD", "\ufffd", nil},
		{"NUL", "\x00", flatxml.ErrInvalidChar},
		{"U+001F", "\x1f", flatxml.ErrInvalidChar},
		{"U+FFFE", "\ufffe", flatxml.ErrInvalidChar},
		{"0x80", "\x80", flatxml.ErrInvalidUTF8},
		{"0xFF", "\xff", flatxml.ErrInvalidUTF8},
		{"three bytes cut", "\xe7\xb2", flatxml.ErrInvalidUTF8},
	} {
		for before := range 20 {
			for after := range 20 {
				d := flatxml.Document{{Name: "a", Value: strings.Repeat("x", before) + tc.char + strings.Repeat("y", after)}}
				b, err := flatxml.Append(nil, d)
				if err != tc.want {
					t.Fatalf("%s after %d, before %d: got error %v, want %v", tc.name, before, after, err, tc.want)
				}
				if err != nil {
					continue
				}
				if got, err := flatxml.Parse(b); err != nil || !slices.Equal(got, d) {
					t.Fatalf("%s after %d, before %d: read back %q, %v", tc.name, before, after, got, err)
				}
			}
		}
	}
}
