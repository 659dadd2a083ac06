// Package jsonedit changes one place of a JSON document and leaves every other byte of it as it was: the order of
// members, white space, the spelling of numbers and of escapes, and members that nobody here knows.
//
// It is for the secrets, which people write by hand and tools change beside them. The places are named, and the two
// operations behave, as JSON Patch has it (RFC 6902, sections 4.1 and 4.2, with pointers of RFC 6901); packages for whole
// patches decode a document and write it anew, which moves its members about. It knows no network and no file, and its
// errors hold pointers, which are names of the document, and never a value.
package jsonedit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	// ErrMalformed says that the document is not one JSON value in UTF-8 without a member twice.
	ErrMalformed = errors.New("the document is not valid JSON")

	// ErrNoPlace says that the document has no such place: what the pointer goes through is missing, is neither an object
	// nor an array, or is a shorter array. The error names the pointer.
	ErrNoPlace = errors.New("the document has no such place")
)

// Get returns the value at a place as it is written, and false where the document has no such place or is malformed.
func Get(doc []byte, pointer jsontext.Pointer) (jsontext.Value, bool) {
	if pointer == "" {
		v := jsontext.Value(doc)
		return v, v.IsValid()
	}
	in, err := open(doc, pointer.Parent())
	if err != nil {
		return nil, false
	}
	i := in.find(pointer.LastToken())
	if i < 0 {
		return nil, false
	}
	return jsontext.Value(doc[in.items[i].value:in.items[i].end]), true
}

// Add returns the document with a value put at a place. A member of an object is replaced where it stands, or comes last
// where there was none. An element of an array comes before the one that has the index now; the index that is the array's
// length, or "-", appends. What the place is in must be there. value is encoded by encoding/json's rules without HTML
// escapes; a jsontext.Value goes in as it is written.
func Add(doc []byte, pointer jsontext.Pointer, value any) ([]byte, error) {
	encoded, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("the value for %s cannot be written as JSON", pointer)
	}
	if pointer == "" {
		return encoded, nil
	}
	in, err := open(doc, pointer.Parent())
	if err != nil {
		return nil, err
	}
	token := pointer.LastToken()
	i := in.find(token)
	if in.object {
		if i >= 0 {
			return splice(doc, in.items[i].value, in.items[i].end, encoded), nil
		}
		name, err := jsontext.AppendQuote(nil, token)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", ErrNoPlace, pointer)
		}
		encoded = append(append(name, in.colon(doc)...), encoded...)
		return in.append(doc, encoded), nil
	}
	switch {
	case i >= 0:
		return splice(doc, in.items[i].start, in.items[i].start, append(encoded, in.gap(doc)...)), nil
	case token == "-" || token == strconv.Itoa(len(in.items)):
		return in.append(doc, encoded), nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNoPlace, pointer)
}

// Remove returns the document without the member or the element at a place, which must be there.
func Remove(doc []byte, pointer jsontext.Pointer) ([]byte, error) {
	if pointer == "" {
		return nil, fmt.Errorf("%w: the whole document cannot be removed", ErrNoPlace)
	}
	in, err := open(doc, pointer.Parent())
	if err != nil {
		return nil, err
	}
	i, last := in.find(pointer.LastToken()), len(in.items)-1
	switch {
	case i < 0:
		return nil, fmt.Errorf("%w: %s", ErrNoPlace, pointer)
	case i < last: // with the comma after it
		return splice(doc, in.items[i].start, in.items[i+1].start, nil), nil
	case i > 0: // with the comma before it
		return splice(doc, in.items[i-1].end, in.items[i].end, nil), nil
	}
	return splice(doc, in.items[i].start, in.items[i].end, nil), nil
}

// container is an object or an array of a document, by offsets.
type container struct {
	object bool
	opened int // after the bracket
	items  []item
}

// item is a member or an element.
type item struct {
	name   string // of a member
	start  int    // of the name, or of the element
	nameTo int    // end of the name
	value  int    // start of the value
	end    int
}

// open finds the container at a place.
func open(doc []byte, pointer jsontext.Pointer) (*container, error) {
	if !jsontext.Value(doc).IsValid() {
		return nil, ErrMalformed
	}
	from, to := 0, len(doc)
	for token := range pointer.Tokens() {
		in := read(doc, from, to)
		i := -1
		if in != nil {
			i = in.find(token)
		}
		if i < 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoPlace, pointer)
		}
		from, to = in.items[i].value, in.items[i].end
	}
	in := read(doc, from, to)
	if in == nil {
		return nil, fmt.Errorf("%w: %s is neither an object nor an array", ErrNoPlace, pointer)
	}
	return in, nil
}

// read reads the container that a valid value is, and returns nil for a value of another kind.
func read(doc []byte, from, to int) *container {
	dec := jsontext.NewDecoder(strings.NewReader(string(doc[from:to])))
	kind := dec.PeekKind()
	if kind != jsontext.KindBeginObject && kind != jsontext.KindBeginArray {
		return nil
	}
	// The document was found valid, so that nothing here fails.
	_, _ = dec.ReadToken()
	in := &container{object: kind == jsontext.KindBeginObject, opened: from + int(dec.InputOffset())}
	next := func() (start, end int, text jsontext.Value) {
		text, _ = dec.ReadValue()
		end = from + int(dec.InputOffset())
		return end - len(text), end, text
	}
	for k := dec.PeekKind(); k != jsontext.KindEndObject && k != jsontext.KindEndArray; k = dec.PeekKind() {
		var it item
		if in.object {
			var quoted jsontext.Value
			it.start, it.nameTo, quoted = next()
			name, _ := jsontext.AppendUnquote(nil, quoted)
			it.name = string(name)
		}
		it.value, it.end, _ = next()
		if !in.object {
			it.start = it.value
		}
		in.items = append(in.items, it)
	}
	return in
}

// find returns the place of a member or of an element among the items, and -1 where there is none.
func (in *container) find(token string) int {
	if !in.object {
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(in.items) || strconv.Itoa(i) != token {
			return -1
		}
		return i
	}
	for i, it := range in.items {
		if it.name == token {
			return i
		}
	}
	return -1
}

// gap is what stands between two items, made like what stands before the first.
func (in *container) gap(doc []byte) string {
	if len(in.items) == 0 {
		return ""
	}
	return "," + string(doc[in.opened:in.items[0].start])
}

// colon is what stands between a name and its value, as it is at the first member.
func (in *container) colon(doc []byte) string {
	if len(in.items) == 0 {
		return ":"
	}
	return string(doc[in.items[0].nameTo:in.items[0].value])
}

// append puts an item after the last.
func (in *container) append(doc, text []byte) []byte {
	at := in.opened
	if n := len(in.items); n > 0 {
		at = in.items[n-1].end
	}
	return splice(doc, at, at, append([]byte(in.gap(doc)), text...))
}

// splice returns doc with what is from from to to replaced.
func splice(doc []byte, from, to int, text []byte) []byte {
	out := make([]byte, 0, len(doc)-(to-from)+len(text))
	out = append(out, doc[:from]...)
	out = append(out, text...)
	return append(out, doc[to:]...)
}
