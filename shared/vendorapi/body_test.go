package vendorapi_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/vendorapi"
)

var schema = vendorapi.Schema{
	Fields: map[string]vendorapi.Kind{"text": vendorapi.Text, "number": vendorapi.Number, "either": vendorapi.TextOrNumber},
	Hints:  map[string]string{"txt": "It is spelt text."},
}

func TestReadBody(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want problem.Code // "" where it is read
	}{
		"all":                    {`{"text":"a","number":1,"either":"1"}`, ""},
		"either is a number":     {`{"either":1.5e3}`, ""},
		"nothing in it":          {`{}`, ""},
		"white space around":     {" \r\n\t{} ", ""},
		"empty":                  {``, problem.MalformedJSON},
		"cut":                    {`{"text":"a"`, problem.MalformedJSON},
		"two":                    {`{}{}`, problem.MalformedJSON},
		"a comma at the end":     {`{"text":"a",}`, problem.MalformedJSON},
		"single quotes":          {`{'text':'a'}`, problem.MalformedJSON},
		"a comment":              {`{} // x`, problem.MalformedJSON},
		"NaN":                    {`{"number":NaN}`, problem.MalformedJSON},
		"a byte order mark":      {"\ufeff{}", problem.MalformedJSON},
		"no UTF-8":               {"{\"text\":\"\xff\"}", problem.MalformedJSON},
		"half a surrogate":       {`{"text":"\ud800"}`, problem.MalformedJSON},
		"GBK":                    {"{\"text\":\"\xd4\xc1B888888\"}", problem.MalformedJSON},
		"a form":                 {`text=a`, problem.MalformedJSON},
		"XML":                    {`<xml></xml>`, problem.MalformedJSON},
		"a key twice":            {`{"text":"a","text":"a"}`, problem.DuplicateKey},
		"twice by an escape":     {`{"text":"a","te\u0078t":"b"}`, problem.DuplicateKey},
		"an unknown key twice":   {`{"x":1,"x":2}`, problem.DuplicateKey},
		"an array":               {`[{}]`, problem.WrongType},
		"a string":               {`"{}"`, problem.WrongType},
		"null":                   {`null`, problem.WrongType},
		"text is a number":       {`{"text":1}`, problem.WrongType},
		"text is null":           {`{"text":null}`, problem.WrongType},
		"text is a list":         {`{"text":["a"]}`, problem.WrongType},
		"text is an object":      {`{"text":{"text":"a"}}`, problem.WrongType},
		"number is a string":     {`{"number":"1"}`, problem.WrongType},
		"number is a boolean":    {`{"number":true}`, problem.WrongType},
		"either is a boolean":    {`{"either":false}`, problem.WrongType},
		"wrong type and unknown": {`{"text":1,"x":1}`, problem.WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			body, p := vendorapi.ReadBody([]byte(tc.body), schema)
			if tc.want == "" {
				if p != nil || body.Problem() != nil {
					t.Errorf("got %v, want it read", p)
				}
				return
			}
			if p == nil || p.Code != tc.want {
				t.Errorf("got %v, want %s", p, tc.want)
			}
			if body != nil {
				t.Error("got a body with the problem, want none")
			}
		})
	}
}

func TestUnknownFields(t *testing.T) {
	long := strings.Repeat("长", 100)
	body, p := vendorapi.ReadBody([]byte(`{"z":1,"txt":null,"a/b~c":{},"Text":"a","`+long+`":[],"":0}`), schema)
	if p != nil {
		t.Fatal(p)
	}
	var got []string
	for _, e := range body.Errors {
		if e.Code != problem.UnknownField {
			t.Errorf("%s: got %s, want %s", e.Pointer, e.Code, problem.UnknownField)
		}
		if e.Pointer == "/txt" && e.Detail != "It is spelt text." {
			t.Errorf("got detail %q, want the hint", e.Detail)
		}
		got = append(got, e.Pointer)
	}
	want := []string{"/", "/Text", "/a~1b~0c", "/txt", "/z", "/" + strings.Repeat("长", 64)}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: sorted, escaped and cut", got, want)
	}
	if p := body.Problem(); p == nil || p.Code != problem.InvalidFields || len(p.Errors) != len(want) {
		t.Errorf("got %v, want %s with all of them", p, problem.InvalidFields)
	}
}

func TestFields(t *testing.T) {
	read := func(text string) *vendorapi.Body {
		body, p := vendorapi.ReadBody([]byte(text), schema)
		if p != nil {
			t.Fatal(p)
		}
		return body
	}
	body := read(`{"text":"","number":1e2}`)
	if got := body.Text("number"); got != "1e2" {
		t.Errorf("got %q, want a number as it was written", got)
	}
	if body.Optional("text") != nil || body.Optional("either") != nil || *body.Optional("number") != "1e2" {
		t.Error("an empty field counts as absent, and a given one does not")
	}
	body.Required("text")
	body.Required("either")
	body.CheckLength("text", "长长", 2)
	body.CheckLength("text", "长长长", 2)
	for _, s := range []string{"", "a", "~!\"<", "aaaa"} {
		body.CheckToken("text", s, 4)
	}
	body.CheckToken("text", "a b", 4)
	body.CheckToken("text", "长", 4)
	body.CheckToken("text", "a\x7f", 4)
	body.CheckToken("text", "aaaaa", 4)
	for _, s := range []string{"", "长 <&>]]>", "😀"} {
		body.CheckWords("text", s, 8)
	}
	body.CheckWords("text", "a\nb", 8)
	body.CheckWords("text", "a\u0085", 8)
	body.CheckWords("text", "\ufffe", 8)
	body.CheckWords("text", "\uffff", 8)
	body.CheckWords("text", "123456789", 8)
	var got []string
	for _, e := range body.Errors {
		got = append(got, e.Pointer+" "+string(e.Code))
	}
	want := []string{
		"/text required", "/either required", "/text too_long",
		"/text bad_value", "/text bad_value", "/text bad_value", "/text too_long",
		"/text bad_value", "/text bad_value", "/text bad_value", "/text bad_value", "/text too_long",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAdopt holds that what stood inside another member's text is named by that member when it is wrong.
func TestAdopt(t *testing.T) {
	body, p := vendorapi.ReadBody([]byte(`{"text":"{…}","number":1,"either":""}`), schema)
	if p != nil {
		t.Fatal(p)
	}
	if body.Adopt("number", []byte("2"), "text") || body.Text("number") != "1" {
		t.Error("a member with a value gave way")
	}
	if !body.Adopt("either", []byte(`"3"`), "text") || body.Text("either") != "3" {
		t.Error("an empty member did not give way")
	}
	body.Fail("either", problem.BadValue, "No.")
	if want := (problem.FieldError{Pointer: "/text", Code: problem.BadValue, Detail: "either: No."}); body.Errors[0] != want {
		t.Errorf("got %+v, want %+v", body.Errors[0], want)
	}
}

// FuzzReadBody reads anything: never a panic, a problem of the three codes or a body whose field errors are fit to be
// answered.
func FuzzReadBody(f *testing.F) {
	for _, seed := range []string{
		`{"text":"a","number":1,"either":"1"}`, `{"text":null}`, `{"a/b~c":1,"txt":2}`, `[]`, `{"text":"\ud83d\ude00"}`, "{\"\xff\":1}", `{"a":{"b":1,"b":2}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		body, p := vendorapi.ReadBody(b, schema)
		if p != nil {
			if p.Code.Status() != 400 {
				t.Fatalf("got %s, want a 400", p.Code)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatal("read what encoding/json calls invalid")
		}
		for _, e := range body.Errors {
			if !strings.HasPrefix(e.Pointer, "/") || !utf8.ValidString(e.Pointer) || utf8.RuneCountInString(e.Pointer) > 129 {
				t.Fatalf("got pointer %q", e.Pointer)
			}
		}
		for name := range schema.Fields {
			if !utf8.ValidString(body.Text(name)) {
				t.Fatalf("got %s that is no UTF-8", name)
			}
		}
	})
}
