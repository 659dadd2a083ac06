package explain

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// variant is one other way to write a body, and how it is called.
type variant struct {
	name string
	body []byte
}

// maxVaried is the largest body of which variants are made, in bytes.
const maxVaried = 256 << 10

// variants returns other ways to write a text, the likely ones first: line ends, a byte order mark, another character set,
// and, for JSON, white space, escapes and the order of members as the usual libraries write them.
func variants(body []byte) []variant {
	if len(body) > maxVaried {
		return nil
	}
	var list []variant
	seen := map[string]bool{string(body): true}
	add := func(name string, b []byte) {
		if !seen[string(b)] {
			seen[string(b)] = true
			list = append(list, variant{name, b})
		}
	}
	const bom = "\uFEFF"
	add("without the line end at its end", bytes.TrimRight(body, "\r\n"))
	add("with a line end (\\n) at its end", append(bytes.Clone(body), '\n'))
	add("with a line end (\\r\\n) at its end", append(bytes.Clone(body), "\r\n"...))
	add("with \\n for its \\r\\n", bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")))
	add("with \\r\\n for its \\n", bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")))
	add("without its byte order mark", bytes.TrimPrefix(body, []byte(bom)))
	add("with a byte order mark", append([]byte(bom), body...))
	add("without white space around it", bytes.TrimSpace(body))
	if b, err := simplifiedchinese.GBK.NewEncoder().Bytes(body); err == nil {
		add("in GBK", b)
	}
	if !utf8.Valid(body) {
		if b, err := simplifiedchinese.GBK.NewDecoder().Bytes(body); err == nil {
			add("in UTF-8 (it came in GBK)", b)
		}
	}
	if tree, ok := parseTree(bytes.TrimPrefix(body, []byte(bom))); ok {
		for _, v := range jsonVariants(tree) {
			add(v.name, v.body)
			add(v.name+", with a line end at its end", append(bytes.Clone(v.body), '\n'))
		}
	}
	return list
}

// node is a JSON value whose members keep their order.
type node struct {
	kind    jsontext.Kind
	text    string // a string's content, or a scalar as it is written
	names   []string
	members []*node
}

// maxDepth is how deep a tree is read.
const maxDepth = 64

// parseTree reads a JSON object or array.
func parseTree(body []byte) (*node, bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	n, ok := readNode(dec, 0)
	if !ok || n.kind != jsontext.KindBeginObject && n.kind != jsontext.KindBeginArray {
		return nil, false
	}
	return n, true
}

func readNode(dec *jsontext.Decoder, depth int) (*node, bool) {
	token, err := dec.ReadToken()
	if err != nil || depth > maxDepth {
		return nil, false
	}
	n := &node{kind: token.Kind()}
	switch n.kind {
	case jsontext.KindBeginObject:
		for dec.PeekKind() != jsontext.KindEndObject {
			name, err := dec.ReadToken()
			if err != nil {
				return nil, false
			}
			text := name.String()
			member, ok := readNode(dec, depth+1)
			if !ok {
				return nil, false
			}
			n.names, n.members = append(n.names, text), append(n.members, member)
		}
		_, err = dec.ReadToken()
	case jsontext.KindBeginArray:
		for dec.PeekKind() != jsontext.KindEndArray {
			member, ok := readNode(dec, depth+1)
			if !ok {
				return nil, false
			}
			n.members = append(n.members, member)
		}
		_, err = dec.ReadToken()
	default:
		n.text = token.String()
	}
	return n, err == nil
}

// style is how a library writes JSON.
type style struct {
	colon, comma string
	indent       string // "" for one line
	escape       func(r rune) string
	sorted       bool
}

// The styles of the usual libraries, by their parts.
var (
	spacings = []struct {
		name, colon, comma, indent string
	}{
		{"compact", ":", ",", ""},
		{"with spaces after : and , (Python)", ": ", ", ", ""},
		{"indented by 2", ": ", ",", "  "},
		{"indented by 4", ": ", ",", "    "},
		{"indented by a tab", ": ", ",", "\t"},
		{"with spaces around : (Jackson)", " : ", ",", "  "},
	}
	escapings = []struct {
		name   string
		escape func(r rune) string
	}{
		{"", func(rune) string { return "" }},
		{`\uXXXX for Chinese characters`, asciiEscape(`\u%04x`)},
		{`\uXXXX for Chinese characters in capitals`, asciiEscape(`\u%04X`)},
		{`\/ for slashes`, slashEscape(func(rune) string { return "" })},
		{`\uXXXX for Chinese characters and \/ for slashes (PHP)`, slashEscape(asciiEscape(`\u%04x`))},
		{`\u003c, \u003e and \u0026 for <, > and & (Go)`, func(r rune) string {
			if r == '<' || r == '>' || r == '&' {
				return fmt.Sprintf(`\u%04x`, r)
			}
			return ""
		}},
	}
)

func asciiEscape(format string) func(r rune) string {
	return func(r rune) string {
		switch {
		case r < 0x80:
			return ""
		case r > 0xFFFF:
			a, b := utf16.EncodeRune(r)
			return fmt.Sprintf(format, a) + fmt.Sprintf(format, b)
		}
		return fmt.Sprintf(format, r)
	}
}

func slashEscape(next func(r rune) string) func(r rune) string {
	return func(r rune) string {
		if r == '/' {
			return `\/`
		}
		return next(r)
	}
}

func jsonVariants(tree *node) []variant {
	var list []variant
	for _, sorted := range []bool{false, true} {
		for _, spacing := range spacings {
			for _, escaping := range escapings {
				name := "as JSON " + spacing.name
				if escaping.name != "" {
					name += ", " + escaping.name
				}
				if sorted {
					name += ", members sorted by name"
				}
				s := style{spacing.colon, spacing.comma, spacing.indent, escaping.escape, sorted}
				list = append(list, variant{name, s.append(nil, tree, 0)})
			}
		}
	}
	return list
}

func (s style) append(b []byte, n *node, depth int) []byte {
	switch n.kind {
	case jsontext.KindString:
		return s.appendString(b, n.text)
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
	default:
		return append(b, n.text...)
	}
	open, end := byte('['), byte(']')
	if n.kind == jsontext.KindBeginObject {
		open, end = '{', '}'
	}
	order := make([]int, len(n.members))
	for i := range order {
		order[i] = i
	}
	if s.sorted && n.kind == jsontext.KindBeginObject {
		slices.SortStableFunc(order, func(x, y int) int { return strings.Compare(n.names[x], n.names[y]) })
	}
	b = append(b, open)
	for at, i := range order {
		if at > 0 {
			b = append(b, s.comma...)
		}
		b = s.newLine(b, depth+1)
		if n.kind == jsontext.KindBeginObject {
			b = append(s.appendString(b, n.names[i]), s.colon...)
		}
		b = s.append(b, n.members[i], depth+1)
	}
	if len(order) > 0 {
		b = s.newLine(b, depth)
	}
	return append(b, end)
}

func (s style) newLine(b []byte, depth int) []byte {
	if s.indent == "" {
		return b
	}
	return append(append(b, '\n'), strings.Repeat(s.indent, depth)...)
}

func (s style) appendString(b []byte, text string) []byte {
	b = append(b, '"')
	for _, r := range text {
		if escaped := s.escape(r); escaped != "" {
			b = append(b, escaped...)
			continue
		}
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		default:
			if r < ' ' {
				b = fmt.Appendf(b, `\u%04x`, r)
			} else {
				b = utf8.AppendRune(b, r)
			}
		}
	}
	return append(b, '"')
}
