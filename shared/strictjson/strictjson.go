// Package strictjson reads JSON that comes from outside, strictly: one value
// in UTF-8, no member twice at any depth, nothing after it, names compared
// letter by letter. What two readers could understand differently is refused.
//
// The rooms that read a vendor's body, a callback's content or a secret may
// import it; it imports no other room. Its errors name a place and a way to
// fail and never quote a value, so that a secret cannot leak through them.
//
// Sources: RFC 8259 (the grammar), RFC 7493 (I-JSON: UTF-8 and unique names),
// RFC 6901 (pointers).
package strictjson

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxPointer is the longest pointer, in bytes, that an Error carries. Names
// are the sender's, and a body may hold one of 64 KiB.
const maxPointer = 256

// Kind is a way in which a document can be refused.
type Kind int

// The kinds. The whole document is read before its types and names are judged,
// so WrongType and UnknownField are said of documents that are otherwise in
// order; of the first two, the one that comes first in the text is said.
const (
	// Malformed: not exactly one JSON value in UTF-8.
	Malformed Kind = iota + 1
	// DuplicateKey: an object names a member twice.
	DuplicateKey
	// WrongType: a value of another type than the one that belongs there.
	WrongType
	// UnknownField: a member that nothing here is called.
	UnknownField
)

// String returns the kind in words, for logs and tests.
func (k Kind) String() string {
	switch k {
	case Malformed:
		return "malformed"
	case DuplicateKey:
		return "duplicate key"
	case WrongType:
		return "wrong type"
	case UnknownField:
		return "unknown field"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Error is the only error of this package.
type Error struct {
	// Kind is what a program acts on.
	Kind Kind
	// Pointer is the RFC 6901 pointer of the member at fault, "" for the
	// whole document. One of over 256 bytes is cut to the nearest parent that
	// fits. The names in it come from the document.
	Pointer string
	// Detail is one plain sentence without anything from the document.
	Detail string
}

// Error returns the kind, the pointer and the detail.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return "JSON: " + e.Kind.String() + ": " + e.Detail
	}
	return "JSON: " + e.Kind.String() + " at " + strconv.Quote(e.Pointer) + ": " + e.Detail
}

func newError(kind Kind, pointer jsontext.Pointer, detail string) *Error {
	for len(pointer) > maxPointer {
		pointer = pointer.Parent()
	}
	return &Error{Kind: kind, Pointer: string(pointer), Detail: detail}
}

// Object returns the members of a document that is one JSON object, each
// value as it was written, without white space around it. The values are
// valid JSON of their own and do not share b's memory. The error is an *Error of
// kind Malformed, DuplicateKey, or WrongType for a document that is valid but
// no object.
func Object(b []byte) (map[string]jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(b))
	if kind := dec.PeekKind(); kind != jsontext.KindBeginObject {
		if _, err := dec.ReadValue(); err != nil {
			return nil, syntaxError(b, err)
		}
		if err := end(dec); err != nil {
			return nil, err
		}
		return nil, newError(WrongType, "", "The document must be an object, not "+kindName(kind)+".")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(b, err)
	}
	members := make(map[string]jsontext.Value)
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxError(b, err)
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(b, err)
		}
		members[name] = value.Clone()
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(b, err)
	}
	if err := end(dec); err != nil {
		return nil, err
	}
	return members, nil
}

// Unmarshal decodes a whole document into v, a non-nil pointer, for documents
// whose every member is ours, such as secrets. Beyond what Object refuses it
// refuses members that v does not have, in their exact letters, and null
// anywhere: a member is given a value or left out, so that "absent" is written
// in one way only. The error is an *Error of any kind; v is then in no
// particular state.
func Unmarshal(b []byte, v any) error {
	if err := check(b); err != nil {
		return err
	}
	err := json.Unmarshal(b, v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return syntaxError(b, err)
	}
	if semantic.Err == json.ErrUnknownName {
		return newError(UnknownField, semantic.JSONPointer, "No such field is known here.")
	}
	return newError(WrongType, semantic.JSONPointer, wrongType(semantic))
}

// String returns the text of a JSON string, and false for any other value.
func String(v jsontext.Value) (string, bool) {
	if v.Kind() != jsontext.KindString {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", false
	}
	return string(text), true
}

// Text returns a JSON string's content, and any other value as it was written.
func Text(v jsontext.Value) string {
	if s, ok := String(v); ok {
		return s
	}
	return string(v)
}

// Integer returns a JSON number that is written as an integer and fits 64
// bits, and false for any other value: for 1.0 and 1e3 too, which not every
// reader takes for integers.
func Integer(v jsontext.Value) (int64, bool) {
	if v.Kind() != jsontext.KindNumber || !v.IsValid() {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// check walks the whole document, so that its form is judged before its types,
// and finds a null, which decoding would take for an absent member.
func check(b []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(b))
	var null *Error
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return syntaxError(b, err)
		}
		if token.Kind() == jsontext.KindNull && null == nil {
			null = newError(WrongType, dec.StackPointer(), "The field must have a value or be left out, not be null.")
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if err := end(dec); err != nil {
		return err
	}
	if null != nil {
		return null
	}
	return nil
}

// end refuses anything but white space after the first value.
func end(dec *jsontext.Decoder) error {
	valueEnd := dec.InputOffset()
	if _, err := dec.ReadToken(); err != io.EOF {
		return newError(Malformed, "", "More text follows the JSON value after byte "+offset(valueEnd)+".")
	}
	return nil
}

func syntaxError(b []byte, err error) *Error {
	if err == io.EOF {
		return newError(Malformed, "", "The document is empty.")
	}
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return newError(Malformed, "", "The document is not valid JSON.")
	case syntactic.Err == jsontext.ErrDuplicateName:
		return newError(DuplicateKey, syntactic.JSONPointer, "The object names this member twice.")
	case errors.Is(syntactic.Err, io.ErrUnexpectedEOF):
		return newError(Malformed, "", "The document ends too early, after byte "+offset(syntactic.ByteOffset)+".")
	case bytes.HasPrefix(b, []byte("\uFEFF")):
		return newError(Malformed, "", "The document must not begin with a byte order mark.")
	case !utf8.Valid(b):
		return newError(Malformed, "", "The document is not encoded in UTF-8.")
	}
	return newError(Malformed, "", "The document is not valid JSON after byte "+offset(syntactic.ByteOffset)+".")
}

func offset(n int64) string { return strconv.FormatInt(n, 10) }

// wrongType says what is expected and what kind of value is there instead. The
// error's own text is not used: it quotes the value.
func wrongType(err *json.SemanticError) string {
	want, got := "", kindName(err.JSONKind)
	if err.GoType != nil {
		want = typeName(err.GoType)
	}
	switch {
	case want == "" || got == "":
		return "The value is not of the expected type."
	case want == got, want == "an integer" && got == "a number":
		return "The value must be " + want + " that the field can hold."
	}
	return "The value must be " + want + ", not " + got + "."
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "an array"
	}
	return ""
}

// typeName returns the JSON type that belongs to a Go type, and "" for a type
// that decodes itself.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string"
		}
		return "an array"
	}
	return ""
}
