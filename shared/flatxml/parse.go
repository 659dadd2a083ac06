package flatxml

import (
	"strings"
	"unicode/utf8"
)

const (
	cdataOpen  = "<![CDATA["
	cdataClose = "]]>"
)

// Parse reads one document. It returns exactly one of this package's errors, as
// it is, when b is anything but a flat document: the package comment says what
// is refused. CDATA and escaped text mean the same, line ends are read as \n
// (XML 1.0, 2.11), <a/> is an empty element, and the elements keep their order.
// An optional XML declaration may stand at the very start, a byte order mark may
// not.
//
// The document shares no memory with b. Parse takes time in proportion to
// len(b), whatever is in it.
func Parse(b []byte) (Document, error) {
	if len(b) > MaxBytes {
		return nil, ErrTooLarge
	}
	s := string(b)
	if err := checkChars(s); err != nil {
		return nil, err
	}
	p := parser{rest: s}
	return p.document()
}

// A parser holds what is still unread.
type parser struct{ rest string }

func (p *parser) document() (Document, error) {
	if err := p.declaration(); err != nil {
		return nil, err
	}
	if err := p.space(); err != nil {
		return nil, err
	}
	root, empty, err := p.startTag()
	if err != nil {
		return nil, err
	}
	if root != "xml" {
		return nil, ErrRoot
	}
	d := Document{}
	if !empty {
		if d, err = p.elements(); err != nil {
			return nil, err
		}
	}
	if skipSpace(p.rest) != "" {
		return nil, ErrTrailing
	}
	return d, nil
}

// elements reads up to and with the root's end tag.
func (p *parser) elements() (Document, error) {
	d := make(Document, 0, 16)
	for {
		if err := p.space(); err != nil {
			return nil, err
		}
		if strings.HasPrefix(p.rest, "</") {
			return d, p.endTag("xml")
		}
		name, empty, err := p.startTag()
		if err != nil {
			return nil, err
		}
		if len(d) == MaxElements {
			return nil, ErrTooManyElements
		}
		if _, twice := d.Lookup(name); twice {
			return nil, ErrDuplicate
		}
		var value string
		if !empty {
			if value, err = p.value(); err != nil {
				return nil, err
			}
			if err := p.endTag(name); err != nil {
				return nil, err
			}
		}
		d = append(d, Element{Name: name, Value: value})
	}
}

// declaration reads an XML declaration when the document starts with one.
func (p *parser) declaration() error {
	if !startsDeclaration(p.rest) {
		return nil
	}
	version, rest := pseudoAttribute(p.rest[len("<?xml"):], "version")
	encoding, rest := pseudoAttribute(rest, "encoding")
	standalone, rest := pseudoAttribute(rest, "standalone")
	rest, ok := strings.CutPrefix(skipSpace(rest), "?>")
	switch {
	case !ok, version != "1.0":
		return ErrDeclaration
	case encoding != "" && !strings.EqualFold(encoding, "UTF-8"):
		return ErrDeclaration
	case standalone != "" && standalone != "yes" && standalone != "no":
		return ErrDeclaration
	}
	p.rest = rest
	return nil
}

// startsDeclaration tells an XML declaration from a processing instruction whose
// name only starts with xml.
func startsDeclaration(s string) bool {
	return strings.HasPrefix(s, "<?xml") && nameLen(s[len("<?"):]) == len("xml")
}

// pseudoAttribute reads white space, name="value" from the start of s, and
// returns the value and what follows; or "" and s as it came.
func pseudoAttribute(s, name string) (value, rest string) {
	t := skipSpace(s)
	if len(t) == len(s) {
		return "", s
	}
	t, ok := strings.CutPrefix(t, name)
	if !ok {
		return "", s
	}
	t, ok = strings.CutPrefix(skipSpace(t), "=")
	if !ok {
		return "", s
	}
	t = skipSpace(t)
	if t == "" || t[0] != '"' && t[0] != '\'' {
		return "", s
	}
	value, rest, ok = strings.Cut(t[1:], t[:1])
	if !ok || value == "" {
		return "", s
	}
	return value, rest
}

// space reads the white space before a tag.
func (p *parser) space() error {
	p.rest = skipSpace(p.rest)
	if p.rest == "" {
		return ErrSyntax
	}
	if p.rest[0] != '<' {
		return ErrText
	}
	return nil
}

// startTag reads <name> or <name/>; empty tells them apart. What is left starts
// with <.
func (p *parser) startTag() (name string, empty bool, err error) {
	if err := markup(p.rest); err != nil {
		return "", false, err
	}
	s := p.rest[1:]
	n := nameLen(s)
	name, rest := s[:n], skipSpace(s[n:])
	switch {
	case strings.HasPrefix(rest, ">"):
		p.rest = rest[1:]
	case strings.HasPrefix(rest, "/>"):
		p.rest, empty = rest[2:], true
	case rest == "", rest[0] == '/', rest[0] == '<':
		return "", false, ErrSyntax
	case n > 0 && len(rest) < len(s)-n:
		return "", false, ErrAttribute
	default:
		return "", false, ErrInvalidName
	}
	if n == 0 {
		return "", false, ErrInvalidName
	}
	return name, empty, nil
}

// endTag reads </name>.
func (p *parser) endTag(name string) error {
	rest, ok := strings.CutPrefix(p.rest, "</")
	if !ok {
		return ErrSyntax
	}
	if rest, ok = strings.CutPrefix(rest, name); !ok {
		return ErrSyntax
	}
	if rest, ok = strings.CutPrefix(skipSpace(rest), ">"); !ok {
		return ErrSyntax
	}
	p.rest = rest
	return nil
}

// value reads text and CDATA sections up to the next tag. A value that stands
// as it is in the document is not copied.
func (p *parser) value() (string, error) {
	var (
		value  string // all parts so far, while joined is nil
		joined []byte // all parts so far
	)
	for {
		part, more, err := p.part()
		if err != nil {
			return "", err
		}
		switch {
		case part == "":
		case joined != nil:
			joined = append(joined, part...)
		case value == "":
			value = part
		default:
			joined = append(append(joined, value...), part...)
		}
		if more {
			continue
		}
		if joined != nil {
			value = string(joined)
		}
		return value, nil
	}
}

// part reads one CDATA section, or the text up to the next <. There is more
// until the end tag is next.
func (p *parser) part() (text string, more bool, err error) {
	if section, ok := strings.CutPrefix(p.rest, cdataOpen); ok {
		text, rest, ok := strings.Cut(section, cdataClose)
		if !ok {
			return "", false, ErrSyntax
		}
		p.rest = rest
		return newlines(text), true, nil
	}
	end := strings.IndexByte(p.rest, '<')
	if end < 0 {
		return "", false, ErrSyntax
	}
	if text, err = unescape(p.rest[:end]); err != nil {
		return "", false, err
	}
	p.rest = p.rest[end:]
	switch {
	case strings.HasPrefix(p.rest, "</"):
		return text, false, nil
	case strings.HasPrefix(p.rest, cdataOpen):
		return text, true, nil
	}
	if err := markup(p.rest); err != nil {
		return "", false, err
	}
	if nameLen(p.rest[1:]) == 0 {
		return "", false, ErrSyntax
	}
	return "", false, ErrNested
}

// markup refuses the markup that a flat document never has where an element may
// start. s starts with <.
func markup(s string) error {
	if len(s) > 1 && s[1] != '!' && s[1] != '?' && s[1] != '/' {
		return nil
	}
	switch {
	case strings.HasPrefix(s, cdataOpen):
		return ErrText
	case strings.HasPrefix(s, "<!--"):
		return ErrComment
	case strings.HasPrefix(s, "<!DOCTYPE"):
		return ErrDoctype
	case startsDeclaration(s):
		return ErrDeclaration
	case strings.HasPrefix(s, "<?"):
		return ErrProcInst
	}
	return ErrSyntax
}

// unescape decodes the text between two tags.
func unescape(s string) (string, error) {
	if hasCDATAClose(s) {
		return "", ErrSyntax
	}
	s = newlines(s)
	amp := strings.IndexByte(s, '&')
	if amp < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for ; amp >= 0; amp = strings.IndexByte(s, '&') {
		b = append(b, s[:amp]...)
		ref, rest, ok := strings.Cut(s[amp+1:], ";")
		if !ok {
			return "", ErrReference
		}
		r, err := reference(ref)
		if err != nil {
			return "", err
		}
		b, s = utf8.AppendRune(b, r), rest
	}
	return string(append(b, s...)), nil
}

// reference returns the character that &ref; stands for.
func reference(ref string) (rune, error) {
	switch ref {
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "amp":
		return '&', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	digits, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return 0, ErrReference
	}
	base := rune(10)
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	if digits == "" {
		return 0, ErrReference
	}
	var r rune
	for i := range len(digits) {
		n, ok := digit(digits[i])
		if !ok || n >= base {
			return 0, ErrReference
		}
		// Held above the last character, so that no number of digits wraps
		// round to a character that is allowed.
		r = min(r*base+n, utf8.MaxRune+1)
	}
	if !isChar(r) {
		return 0, ErrInvalidChar
	}
	return r, nil
}

// digit returns the value of a hexadecimal digit.
func digit(c byte) (n rune, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0'), true
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10, true
	}
	return 0, false
}

// hasCDATAClose reports whether ]]> is in s. Most values hold no ] at all, which
// is quicker to see.
func hasCDATAClose(s string) bool {
	i := strings.IndexByte(s, ']')
	return i >= 0 && strings.Contains(s[i:], cdataClose)
}

// newlines reads every line end as \n.
func newlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// checkChars refuses what is not UTF-8 and what XML does not allow. It runs over
// every byte of every message, so it goes by eights where it can.
func checkChars(s string) error {
	for i := 0; i < len(s); {
		for len(s)-i >= 8 && isPrintable8(s[i:i+8]) {
			i += 8
		}
		for end := min(i+8, len(s)); i < end; {
			r, size := rune(s[i]), 1
			if r >= utf8.RuneSelf {
				if r, size = utf8.DecodeRuneInString(s[i:]); size == 1 {
					return ErrInvalidUTF8
				}
			}
			if !isChar(r) {
				return ErrInvalidChar
			}
			i += size
		}
	}
	return nil
}

// isPrintable8 reports whether the first 8 bytes of s are all ASCII and none of
// them a control character below space.
func isPrintable8(s string) bool {
	_ = s[7]
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	const space, high = 0x2020202020202020, 0x8080808080808080
	// A byte below space borrows, which sets its high bit.
	return (w|(w-space))&high == 0
}
