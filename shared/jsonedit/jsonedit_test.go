package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestAdd(t *testing.T) {
	for name, row := range map[string]struct {
		doc     string
		pointer jsontext.Pointer
		value   any
		want    string
	}{
		"a member into an empty object":    {`{}`, "/a", 1, `{"a":1}`},
		"a member after others":            {`{"b": 1.50,"a":"\u00e9"}`, "/c", "x", `{"b": 1.50,"a":"\u00e9","c": "x"}`},
		"a member, replaced in its place":  {`{"a" : [1, 2],"b":2}`, "/a", true, `{"a" : true,"b":2}`},
		"a member of a member":             {`{"a":{"x":1}}`, "/a/y", 2, `{"a":{"x":1,"y":2}}`},
		"a name that needs escapes":        {`{"a":{}}`, `/a/x~1y~0"z`, 2, `{"a":{"x/y~\"z":2}}`},
		"a name that is escaped there":     {`{"\u0061":1}`, "/a", 2, `{"\u0061":2}`},
		"an element into an empty array":   {`{"a":[ ]}`, "/a/0", 1, `{"a":[1 ]}`},
		"an element in front":              {`{"a":[1, 2]}`, "/a/0", 0, `{"a":[0,1, 2]}`},
		"an element between":               {`[1,3]`, "/1", 2, `[1,2,3]`},
		"an element at the end":            {`[1]`, "/1", 2, `[1,2]`},
		"an element at the end, by hyphen": {`[1]`, "/-", 2, `[1,2]`},
		"indented":                         {"{\n  \"a\": 1,\n  \"b\": 2\n}\n", "/c", 3, "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n"},
		"an array, indented":               {"[\n  1\n]", "/0", 0, "[\n  0,\n  1\n]"},
		"no HTML escapes":                  {`{}`, "/a", "<&>", `{"a":"<&>"}`},
		"a value as it is written":         {`{}`, "/a", jsontext.Value(`{"z":1.0,"a":2}`), `{"a":{"z":1.0,"a":2}}`},
		"the whole document":               {`{"a":1}`, "", []int{1}, `[1]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Add([]byte(row.doc), row.pointer, row.value)
			if err != nil || string(got) != row.want {
				t.Errorf("got %s, %v, want %s", got, err, row.want)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	for name, row := range map[string]struct {
		doc     string
		pointer jsontext.Pointer
		want    string
	}{
		"the first member":  {`{"a":1, "b":2}`, "/a", `{"b":2}`},
		"a middle member":   {`{"a":1, "b":2,"c":3}`, "/b", `{"a":1, "c":3}`},
		"the last member":   {`{"a":1, "b":2 }`, "/b", `{"a":1 }`},
		"the only member":   {`{"a":1}`, "/a", `{}`},
		"the first element": {`[1,2]`, "/0", `[2]`},
		"the last element":  {`{"a":[1, 2]}`, "/a/1", `{"a":[1]}`},
		"the only element":  {`{"a":[ 1 ]}`, "/a/0", `{"a":[  ]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Remove([]byte(row.doc), row.pointer)
			if err != nil || string(got) != row.want {
				t.Errorf("got %s, %v, want %s", got, err, row.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	add := func(doc string, p jsontext.Pointer) error { _, err := Add([]byte(doc), p, 1); return err }
	remove := func(doc string, p jsontext.Pointer) error { _, err := Remove([]byte(doc), p); return err }
	for name, row := range map[string]struct {
		do      func(string, jsontext.Pointer) error
		doc     string
		pointer jsontext.Pointer
		want    error
	}{
		"add to no JSON":                      {add, `{"a":`, "/a", ErrMalformed},
		"add beside a member twice":           {add, `{"a":1,"a":2}`, "/a", ErrMalformed},
		"add after the end":                   {add, `{} {}`, "/a", ErrMalformed},
		"add below what is missing":           {add, `{}`, "/a/b", ErrNoPlace},
		"add below a number":                  {add, `{"a":1}`, "/a/b", ErrNoPlace},
		"add to a scalar":                     {add, `1`, "/a", ErrNoPlace},
		"add beyond the end":                  {add, `[1]`, "/2", ErrNoPlace},
		"add at an index with a leading zero": {add, `[1]`, "/00", ErrNoPlace},
		"add at a name of an array":           {add, `[1]`, "/a", ErrNoPlace},
		"remove what is missing":              {remove, `{"a":1}`, "/b", ErrNoPlace},
		"remove below what is missing":        {remove, `{"a":1}`, "/b/c", ErrNoPlace},
		"remove beyond the end":               {remove, `[1]`, "/1", ErrNoPlace},
		"remove the hyphen":                   {remove, `[1]`, "/-", ErrNoPlace},
		"remove everything":                   {remove, `[1]`, "", ErrNoPlace},
		"remove from no JSON":                 {remove, `x`, "/a", ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if err := row.do(row.doc, row.pointer); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
	if _, err := Add([]byte(`{}`), "/a", func() {}); err == nil {
		t.Error("a value that JSON cannot hold: got no error")
	}
}

func TestGet(t *testing.T) {
	doc := []byte(`{"a":[ {"b" : 1.50} ]}`)
	for pointer, want := range map[jsontext.Pointer]string{"/a/0/b": "1.50", "/a/0": `{"b" : 1.50}`, "": string(doc)} {
		if got, ok := Get(doc, pointer); !ok || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", pointer, got, ok, want)
		}
	}
	for _, pointer := range []jsontext.Pointer{"/b", "/a/1", "/a/0/b/c", "/a/0/c"} {
		if got, ok := Get(doc, pointer); ok {
			t.Errorf("%s: got %s, want nothing", pointer, got)
		}
	}
	if _, ok := Get([]byte(`{`), ""); ok {
		t.Error("got a value of a malformed document")
	}
}

// FuzzEdit: what is added is found, and taking it away again gives the bytes back; every other value is as it was.
func FuzzEdit(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[1,2]}`), "c")
	f.Add([]byte("{\n  \"a\": {}\n}"), "a/~\"")
	f.Add([]byte(`[1, {"x":"\u00e9"}]`), "0")
	f.Add([]byte(`[]`), "0")
	f.Fuzz(func(t *testing.T, doc []byte, name string) {
		pointer := jsontext.Pointer("").AppendToken(name)
		added, err := Add(doc, pointer, "new")
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNoPlace) {
				t.Fatalf("got error %v", err)
			}
			return
		}
		if got, ok := Get(added, pointer); name != "-" && (!ok || string(got) != `"new"`) {
			t.Fatalf("got %s, %v of %q", got, ok, added)
		}
		if _, had := Get(doc, pointer); had && doc[bytes.IndexAny(doc, "{[")] == '{' || name == "-" {
			return // replaced, or appended under another name
		}
		back, err := Remove(added, pointer)
		if err != nil {
			t.Fatal(err)
		}
		var before, after any
		if json.Unmarshal(doc, &before) != nil {
			return
		}
		if err := json.Unmarshal(back, &after); err != nil {
			t.Fatalf("%q: %v", back, err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("%q became %q", doc, back)
		}
	})
}
