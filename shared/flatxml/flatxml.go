// Package flatxml reads and writes the flat XML documents of WeChat Pay's V2
// interfaces: one root element named xml, one level of elements below it, text
// in each, nothing else.
//
//	<xml>
//	<return_code><![CDATA[SUCCESS]]></return_code>
//	<return_msg><![CDATA[OK]]></return_msg>
//	</xml>
//
// A V2 signature covers the names and the decoded values, not the bytes, so two
// readers that disagree about one document disagree about what was signed. Parse
// therefore accepts a small language only, and whatever it accepts, encoding/xml
// reads in the same way (a fuzz test holds it to that). Document types, entities
// beyond the five of XML, comments, processing instructions, attributes, nested
// and repeated elements are refused: WeChat Pay sends none of them, and its
// guide to XML parsing (pay.weixin.qq.com/wiki/doc/api/micropay.php?chapter=23_5)
// asks receivers to refuse external entities.
//
// The package is pure and imports nothing of this module. Package signing and
// the code that speaks V2 to WeChat Pay import it.
package flatxml

// The limits of a document. Genuine messages hold about 20 elements in less
// than 4 KiB.
const (
	// MaxBytes is the largest document that is read or written, in bytes.
	MaxBytes = 64 << 10
	// MaxElements is the most elements that a document may hold below its root.
	MaxElements = 128
)

// An Element is one element below the root: its name and its decoded text.
type Element struct{ Name, Value string }

// A Document is the elements below the root, in the order in which they stand.
// Its names are unique when it comes from Parse.
type Document []Element

// Lookup returns the value of the named element, and whether the document has
// that element. An element can be present and empty.
func (d Document) Lookup(name string) (value string, ok bool) {
	for i := range d {
		if d[i].Name == name {
			return d[i].Value, true
		}
	}
	return "", false
}

// Get returns the value of the named element, and "" when the document has no
// such element. WeChat Pay gives both the same meaning: an empty value is not
// signed.
func (d Document) Get(name string) string {
	value, _ := d.Lookup(name)
	return value
}

// isName reports whether s can name an element: a letter or an underscore, then
// letters, digits, and _ . - of ASCII. It is narrower than XML's Name, and holds
// every name that WeChat Pay uses; a colon, which would mean a namespace, is
// outside.
func isName(s string) bool {
	n := nameLen(s)
	return n > 0 && n == len(s)
}

// nameLen returns the length of the longest name that s starts with.
func nameLen(s string) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '.' || c == '-'):
		default:
			return i
		}
	}
	return len(s)
}

// isChar reports whether XML 1.0 allows r in a document (section 2.2, Char).
func isChar(r rune) bool {
	switch {
	case r < 0x20:
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	default:
		return 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= 0x10FFFF
	}
}

// skipSpace returns s from its first byte that is not white space in XML.
func skipSpace(s string) string {
	for i := range len(s) {
		if c := s[i]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return s[i:]
		}
	}
	return ""
}
