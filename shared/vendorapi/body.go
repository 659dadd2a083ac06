package vendorapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/strictjson"
)

// Kind is the JSON type that a field takes.
type Kind int

// The kinds that the routes' flat bodies need.
const (
	Text Kind = iota + 1
	Number
	TextOrNumber
)

var kindName = map[Kind]string{Text: "a string", Number: "a number", TextOrNumber: "a string or a number"}

// Schema is what a route's body may hold: the kind of each field, and hints for names that are nearly right.
type Schema struct {
	Fields map[string]Kind
	Hints  map[string]string
}

// maxErrors is how many field errors an answer lists at the most.
const maxErrors = 32

// Body is a route's flat JSON object: every member known to be of its kind, and the field errors found so far.
type Body struct {
	members map[string]jsontext.Value
	adopted map[string]string // name of a member that came from inside another: that one's name
	Errors  []problem.FieldError
}

// Adopt takes a member that stood inside the text of the member called from, and tells whether there was room: a member
// of the same name that holds a value is kept.
func (b *Body) Adopt(name string, v jsontext.Value, from string) bool {
	if b.Text(name) != "" {
		return false
	}
	if b.adopted == nil {
		b.adopted = make(map[string]string)
	}
	b.members[name], b.adopted[name] = v, from
	return true
}

// ReadBody reads an object of the schema. Broken JSON, a duplicate key and a wrong type are problems at once; unknown
// members become field errors, which come later in the order of checks.
func ReadBody(b []byte, schema Schema) (*Body, *problem.Problem) {
	members, err := strictjson.Object(b)
	if err != nil {
		return nil, jsonProblem(err)
	}
	body := &Body{members: members}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		kind, known := schema.Fields[name]
		switch {
		case !known:
			hint := schema.Hints[name]
			if hint == "" {
				hint = "There is no such field; see the API reference for those that there are."
			}
			body.Fail(name, problem.UnknownField, hint)
		case !fits(members[name].Kind(), kind):
			return nil, problem.New(problem.WrongType,
				fmt.Sprintf("%s must be %s (leave a field out instead of sending null).", pointer(name), kindName[kind]))
		}
	}
	return body, nil
}

func jsonProblem(err error) *problem.Problem {
	var e *strictjson.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case strictjson.DuplicateKey:
			return problem.New(problem.DuplicateKey, "The body has the same key twice.")
		case strictjson.WrongType:
			return problem.New(problem.WrongType, "The body must be a JSON object.")
		}
	}
	return problem.New(problem.MalformedJSON, "The body must be one JSON object in UTF-8, with nothing after it.")
}

func fits(got jsontext.Kind, want Kind) bool {
	switch got {
	case '"':
		return want == Text || want == TextOrNumber
	case '0':
		return want == Number || want == TextOrNumber
	}
	return false
}

// pointer returns the JSON pointer (RFC 6901) of a top-level member. What a caller invented is cut, not echoed at length.
func pointer(name string) string {
	if utf8.RuneCountInString(name) > 64 {
		name = string([]rune(name)[:64])
	}
	return string(jsontext.Pointer("").AppendToken(name))
}

// Text returns the member called name as text: a string's content, a number as it was written, "" where it is absent.
// An empty string counts as absent everywhere, since many vendors' serialisers send every field.
func (b *Body) Text(name string) string {
	v, ok := b.members[name]
	if !ok {
		return ""
	}
	return strictjson.Text(v)
}

// Optional returns the text of a member, or nil where it is absent or empty.
func (b *Body) Optional(name string) *string {
	if s := b.Text(name); s != "" {
		return &s
	}
	return nil
}

// Fail notes that the member called name is wrong.
func (b *Body) Fail(name string, code problem.FieldCode, detail string) {
	if len(b.Errors) == maxErrors {
		return
	}
	if from, ok := b.adopted[name]; ok {
		name, detail = from, name+": "+detail
	}
	b.Errors = append(b.Errors, problem.FieldError{Pointer: pointer(name), Code: code, Detail: detail})
}

// Required returns the member's text and notes its absence.
func (b *Body) Required(name string) (string, bool) {
	s := b.Text(name)
	if s == "" {
		b.Fail(name, problem.Required, "This field is required.")
		return "", false
	}
	return s, true
}

// CheckLength notes a text of more than limit characters, and tells whether it fits.
func (b *Body) CheckLength(name, s string, limit int) bool {
	if utf8.RuneCountInString(s) <= limit {
		return true
	}
	b.Fail(name, problem.TooLong, fmt.Sprintf("At most %d characters are taken.", limit))
	return false
}

// CheckToken notes a text that is not 1 to limit visible ASCII characters, as ids of WeChat Pay's are.
func (b *Body) CheckToken(name, s string, limit int) {
	if !b.CheckLength(name, s, limit) {
		return
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		b.Fail(name, problem.BadValue, "Only visible ASCII characters without spaces are taken.")
	}
}

// CheckWords notes a text that is longer than limit characters or holds control characters, which XML cannot carry.
func (b *Body) CheckWords(name, s string, limit int) {
	if !b.CheckLength(name, s, limit) {
		return
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\uFFFE' || r == '\uFFFF' }) {
		b.Fail(name, problem.BadValue, "Control characters are not taken.")
	}
}

// Problem returns invalid_fields with everything noted, or nil.
func (b *Body) Problem() *problem.Problem {
	if len(b.Errors) == 0 {
		return nil
	}
	return &problem.Problem{Code: problem.InvalidFields, Errors: b.Errors,
		Detail: "The request was understood, but some of its fields cannot be taken; see errors."}
}
