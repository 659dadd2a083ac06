package strictjson

import (
	stdjson "encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// form holds documents that are refused for their form, by both readers.
var form = []struct {
	name, document string
	want           Error
}{
	{"empty", "", Error{Malformed, "", "The document is empty."}},
	{"white space", " \r\n", Error{Malformed, "", "The document is empty."}},
	{"cut short", `{"a":"x`, Error{Malformed, "", "The document ends too early, after byte 7."}},
	{"cut after a member", `{"a":1`, Error{Malformed, "", "The document ends too early, after byte 6."}},
	{"cut after a name", `{"a"`, Error{Malformed, "", "The document ends too early, after byte 4."}},
	{"cut array", `[1,`, Error{Malformed, "", "The document ends too early, after byte 3."}},
	{"trailing comma", `{"a":1,}`, Error{Malformed, "", "The document is not valid JSON after byte 6."}},
	{"no value", `{"a":}`, Error{Malformed, "", "The document is not valid JSON after byte 5."}},
	{"name without quotes", `{a:1}`, Error{Malformed, "", "The document is not valid JSON after byte 1."}},
	{"number for a name", `{1:2}`, Error{Malformed, "", "The document is not valid JSON after byte 1."}},
	{"single quotes", `{'a':1}`, Error{Malformed, "", "The document is not valid JSON after byte 1."}},
	{"leading zero", `{"a":01}`, Error{Malformed, "", "The document is not valid JSON after byte 6."}},
	{"NaN", `{"a":NaN}`, Error{Malformed, "", "The document is not valid JSON after byte 5."}},
	{"comment", `{"a":1}//`, Error{Malformed, "", "More text follows the JSON value after byte 7."}},
	{"wrong bracket", `{]`, Error{Malformed, "", "The document is not valid JSON after byte 1."}},
	{"bracket alone", `}`, Error{Malformed, "", "The document is not valid JSON after byte 0."}},
	{"line feed in a string", "{\"a\":\"\n\"}", Error{Malformed, "", "The document is not valid JSON after byte 6."}},
	{"second object", `{"a":1}{}`, Error{Malformed, "", "More text follows the JSON value after byte 7."}},
	{"text behind", `{"a":1} x`, Error{Malformed, "", "More text follows the JSON value after byte 7."}},
	{"NUL behind", "{}\x00", Error{Malformed, "", "More text follows the JSON value after byte 2."}},
	{"comma behind", `{},`, Error{Malformed, "", "More text follows the JSON value after byte 2."}},
	{"text behind what is no object", `"a"}`, Error{Malformed, "", "More text follows the JSON value after byte 3."}},
	{"byte order mark", "\ufeff{}", Error{Malformed, "", "The document must not begin with a byte order mark."}},
	{"invalid UTF-8 in a value", "{\"a\":\"\xff\"}", Error{Malformed, "", "The document is not encoded in UTF-8."}},
	{"invalid UTF-8 in a name", "{\"\xff\":1}", Error{Malformed, "", "The document is not encoded in UTF-8."}},
	{"GBK", "{\"a\":\"\xd4\xc1B12345\"}", Error{Malformed, "", "The document is not encoded in UTF-8."}},
	{"encoded surrogate", "{\"a\":\"\xed\xa0\x80\"}", Error{Malformed, "", "The document is not encoded in UTF-8."}},
	{"lone surrogate", `{"a":"\ud800"}`, Error{Malformed, "", "The document is not valid JSON after byte 6."}},
	{"too deep", strings.Repeat(`{"a":`, 20_000), Error{Malformed, "", "The document is not valid JSON after byte 50000."}},
	{"duplicate", `{"a":1,"a":2}`, Error{DuplicateKey, "/a", "The object names this member twice."}},
	{"duplicate by an escape", `{"a":1,"\u0061":2}`, Error{DuplicateKey, "/a", "The object names this member twice."}},
	{"duplicate inside", `{"a":{"b":1,"b":2}}`, Error{DuplicateKey, "/a/b", "The object names this member twice."}},
	{"duplicate inside an array", `{"a":[0,{"b/~":1,"b/~":2}]}`, Error{DuplicateKey, "/a/1/b~1~0", "The object names this member twice."}},
	{"duplicate empty name", `{"":1,"":2}`, Error{DuplicateKey, "/", "The object names this member twice."}},
	{"duplicate of a long name", `{"a":{"` + strings.Repeat("n", 300) + `":1,"` + strings.Repeat("n", 300) + `":1}}`, Error{DuplicateKey, "/a", "The object names this member twice."}},
}

// checkError asserts that err is exactly want.
func checkError(t *testing.T, err error, want Error) {
	t.Helper()
	got, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got error %v, want %v", err, &want)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestObject(t *testing.T) {
	tests := []struct {
		name, document string
		want           map[string]jsontext.Value
	}{
		{"no member", `{}`, map[string]jsontext.Value{}},
		{"white space around", " {\r\n\t} \n", map[string]jsontext.Value{}},
		{
			"every type",
			`{"s":"x","n": 1000 ,"b":true,"z":null,"o":{ "p":1 },"a":[1, 2]}`,
			map[string]jsontext.Value{
				"s": jsontext.Value(`"x"`), "n": jsontext.Value(`1000`), "b": jsontext.Value(`true`), "z": jsontext.Value(`null`),
				"o": jsontext.Value(`{ "p":1 }`), "a": jsontext.Value(`[1, 2]`),
			},
		},
		{"case matters", `{"a":1,"A":2}`, map[string]jsontext.Value{"a": jsontext.Value(`1`), "A": jsontext.Value(`2`)}},
		{"escaped name", `{"\u0061":1}`, map[string]jsontext.Value{"a": jsontext.Value(`1`)}},
		{"one name at two depths", `{"a":{"a":1}}`, map[string]jsontext.Value{"a": jsontext.Value(`{"a":1}`)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Object([]byte(test.document))
			if err != nil {
				t.Fatalf("got error %v, want none", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestObjectRefuses(t *testing.T) {
	tests := append(slices.Clone(form), []struct {
		name, document string
		want           Error
	}{
		{"array", `[]`, Error{WrongType, "", "The document must be an object, not an array."}},
		{"null", `null`, Error{WrongType, "", "The document must be an object, not null."}},
		{"string", `"a"`, Error{WrongType, "", "The document must be an object, not a string."}},
		{"number", `1`, Error{WrongType, "", "The document must be an object, not a number."}},
		{"boolean", `true`, Error{WrongType, "", "The document must be an object, not a boolean."}},
		{"array that holds a duplicate", `[{"a":1,"a":1}]`, Error{DuplicateKey, "/0/a", "The object names this member twice."}},
	}...)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Object([]byte(test.document))
			if got != nil {
				t.Errorf("got %v, want nil", got)
			}
			checkError(t, err, test.want)
		})
	}
}

func TestObjectDoesNotShareMemory(t *testing.T) {
	document := []byte(`{"a":"x"}`)
	got, err := Object(document)
	if err != nil {
		t.Fatal(err)
	}
	clear(document)
	if string(got["a"]) != `"x"` {
		t.Errorf("got %q after the document was overwritten, want %q", got["a"], `"x"`)
	}
}

// secret is a document of the kind that Unmarshal is for.
type secret struct {
	Mode    string           `json:"mode"`
	BrandID int64            `json:"brandid"`
	Ratio   float64          `json:"ratio"`
	Off     *bool            `json:"off"`
	Keys    []string         `json:"keys"`
	Raw     []byte           `json:"raw"`
	Parts   map[string]*part `json:"parts"`
}

type part struct {
	Name string `json:"name"`
}

const valid = `{"mode":"partner","brandid":1000,"ratio":0.5,"off":true,"keys":["k1","k2"],"raw":"YQ==","parts":{"p":{"name":"n"}}}`

func TestUnmarshal(t *testing.T) {
	var got secret
	if err := Unmarshal([]byte(valid), &got); err != nil {
		t.Fatalf("got error %v, want none", err)
	}
	off := true
	want := secret{
		Mode: "partner", BrandID: 1000, Ratio: 0.5, Off: &off, Keys: []string{"k1", "k2"}, Raw: []byte("a"),
		Parts: map[string]*part{"p": {Name: "n"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	const null = "The field must have a value or be left out, not be null."
	mutate := func(from, to string) string {
		if strings.Count(valid, from) != 1 {
			t.Fatalf("%q must be in the valid document once", from)
		}
		return strings.Replace(valid, from, to, 1)
	}
	tests := append(slices.Clone(form), []struct {
		name, document string
		want           Error
	}{
		{"unknown field", mutate(`"mode"`, `"mod"`), Error{UnknownField, "/mod", "No such field is known here."}},
		{"another case", mutate(`"mode"`, `"Mode"`), Error{UnknownField, "/Mode", "No such field is known here."}},
		{"unknown field inside", mutate(`"name"`, `"nam/e"`), Error{UnknownField, "/parts/p/nam~1e", "No such field is known here."}},
		{"number for a string", mutate(`"partner"`, `1`), Error{WrongType, "/mode", "The value must be a string, not a number."}},
		{"object for a string", mutate(`"partner"`, `{}`), Error{WrongType, "/mode", "The value must be a string, not an object."}},
		{"string for an integer", mutate(`1000`, `"1000"`), Error{WrongType, "/brandid", "The value must be an integer, not a string."}},
		{"fraction for an integer", mutate(`1000`, `1000.5`), Error{WrongType, "/brandid", "The value must be an integer that the field can hold."}},
		{"integer that is too large", mutate(`1000`, `99999999999999999999`), Error{WrongType, "/brandid", "The value must be an integer that the field can hold."}},
		{"string for a number", mutate(`0.5`, `"0.5"`), Error{WrongType, "/ratio", "The value must be a number, not a string."}},
		{"string for a boolean", mutate(`true`, `"true"`), Error{WrongType, "/off", "The value must be a boolean, not a string."}},
		{"string for an array", mutate(`["k1","k2"]`, `"k1"`), Error{WrongType, "/keys", "The value must be an array, not a string."}},
		{"number in an array", mutate(`"k2"`, `2`), Error{WrongType, "/keys/1", "The value must be a string, not a number."}},
		{"bad base64", mutate(`"YQ=="`, `"YQ"`), Error{WrongType, "/raw", "The value must be a string that the field can hold."}},
		{"array for an object", mutate(`{"p":{"name":"n"}}`, `[]`), Error{WrongType, "/parts", "The value must be an object, not an array."}},
		{"array for the document", `[]`, Error{WrongType, "", "The value must be an object, not an array."}},
		{"null for a string", mutate(`"partner"`, `null`), Error{WrongType, "/mode", null}},
		{"null in an array", mutate(`"k2"`, `null`), Error{WrongType, "/keys/1", null}},
		{"null inside", mutate(`"n"`, `null`), Error{WrongType, "/parts/p/name", null}},
		{"null for the document", `null`, Error{WrongType, "", null}},
		{"the form is judged before null", `{"keys":[null],"mode":"a","mode":"b"}`, Error{DuplicateKey, "/mode", "The object names this member twice."}},
		{"the form is judged before types", `{"mode":1,"keys":[}`, Error{Malformed, "", "The document is not valid JSON after byte 18."}},
	}...)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var v secret
			checkError(t, Unmarshal([]byte(test.document), &v), test.want)
		})
	}
}

// TestErrorsHoldNoValue puts one marker wherever a value can stand.
func TestErrorsHoldNoValue(t *testing.T) {
	const marker = "5ecre7"
	for _, document := range []string{
		`{"mode":["` + marker + `"]}`, `{"brandid":"` + marker + `"}`, `{"brandid":57` + strings.Repeat("0", 30) + `}`,
		`{"raw":"` + marker + `"}`, `{"off":"` + marker + `"}`, `{"mod":"` + marker + `"}`, `{"mode":` + marker + `}`,
		`{"mode":"` + marker + "\x01\"}", `{"mode":"a"}` + marker, marker, `"` + marker + `"`, `{"mode":"` + marker, `{"mode":"\u` + marker + `"}`,
	} {
		var v secret
		err := Unmarshal([]byte(document), &v)
		if err == nil {
			t.Errorf("%s: got no error, want one", document)
			continue
		}
		if strings.Contains(err.Error(), marker) || strings.Contains(err.Error(), "570") {
			t.Errorf("%s: got the value in %q", document, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  Error
		want string
	}{
		{Error{Malformed, "", "It is."}, "JSON: malformed: It is."},
		{Error{DuplicateKey, "/a", "Twice."}, `JSON: duplicate key at "/a": Twice.`},
		{Error{WrongType, "/a\nb", "Wrong."}, `JSON: wrong type at "/a\nb": Wrong.`},
		{Error{UnknownField, "/a", "No."}, `JSON: unknown field at "/a": No.`},
		{Error{Kind(9), "", "What."}, "JSON: kind 9: What."},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestString(t *testing.T) {
	tests := []struct {
		value, want string
		ok          bool
	}{
		{`"粤B12345"`, "粤B12345", true},
		{`"\u7ca4B\n\"\ud83d\ude97"`, "粤B\n\"🚗", true},
		{`""`, "", true},
		{`"a`, "", false},
		{`1`, "", false},
		{`null`, "", false},
		{`{}`, "", false},
		{``, "", false},
	}
	for _, test := range tests {
		if got, ok := String(jsontext.Value(test.value)); got != test.want || ok != test.ok {
			t.Errorf("String(%s): got %q, %v; want %q, %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

func TestInteger(t *testing.T) {
	tests := []struct {
		value string
		want  int64
		ok    bool
	}{
		{"0", 0, true},
		{"1000", 1000, true},
		{"-1", -1, true},
		{"9223372036854775807", 9223372036854775807, true},
		{"9223372036854775808", 0, false},
		{"1000.0", 0, false},
		{"1e3", 0, false},
		{"01", 0, false},
		{"+1", 0, false},
		{"1_000", 0, false},
		{`"1000"`, 0, false},
		{"null", 0, false},
		{"", 0, false},
	}
	for _, test := range tests {
		if got, ok := Integer(jsontext.Value(test.value)); ok != test.ok || ok && got != test.want {
			t.Errorf("Integer(%s): got %d, %v; want %d, %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

// FuzzObject holds Object against the standard library: what Object accepts,
// encoding/json reads as the same members.
func FuzzObject(f *testing.F) {
	for _, test := range form {
		f.Add([]byte(test.document))
	}
	f.Add([]byte(valid))
	f.Add([]byte(` {"a":{"b":[1e3,"\u7ca4",null]},"A":-0.5} `))
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := Object(document)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Kind < Malformed || e.Kind > WrongType || e.Detail == "" || len(e.Pointer) > maxPointer {
				t.Fatalf("got error %#v, want an *Error", err)
			}
			return
		}
		if !utf8.Valid(document) {
			t.Fatalf("got %q accepted, want UTF-8 only", document)
		}
		var want map[string]stdjson.RawMessage
		if err := stdjson.Unmarshal(document, &want); err != nil {
			t.Fatalf("got it accepted, want %v", err)
		}
		if !maps.EqualFunc(got, want, func(a jsontext.Value, b stdjson.RawMessage) bool { return string(a) == string(b) }) {
			t.Errorf("got %q, want %q", got, want)
		}
		for name, value := range got {
			text, isString := String(value)
			var wantText string
			if stdjson.Unmarshal(value, &wantText) != nil || value.Kind() == jsontext.KindNull {
				if isString {
					t.Errorf("%q: got the string %q, want none", name, text)
				}
			} else if !isString || text != wantText {
				t.Errorf("%q: got %q, %v; want %q", name, text, isString, wantText)
			}
			n, isInteger := Integer(value)
			if isInteger && string(value) != "-0" && string(value) != strconv.FormatInt(n, 10) {
				t.Errorf("%q: got %d, want it as it is written: %s", name, n, value)
			}
		}
	})
}

// FuzzUnmarshal asserts that Unmarshal is never laxer than the standard
// library with unknown fields disallowed.
func FuzzUnmarshal(f *testing.F) {
	for _, test := range form {
		f.Add([]byte(test.document))
	}
	f.Add([]byte(valid))
	f.Add([]byte(`{"mode":null}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		var got secret
		if err := Unmarshal(document, &got); err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind < Malformed || e.Kind > UnknownField || e.Detail == "" || len(e.Pointer) > maxPointer {
				t.Fatalf("got error %#v, want an *Error", err)
			}
			return
		}
		var want secret
		dec := stdjson.NewDecoder(strings.NewReader(string(document)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("got it accepted, want %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestText(t *testing.T) {
	for value, want := range map[string]string{`"1200"`: "1200", `"\u7ca4"`: "粤", `1200`: "1200", `1.50`: "1.50", `""`: "", `true`: "true"} {
		if got := Text(jsontext.Value(value)); got != want {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
}
