package flatxml

import (
	"slices"
	"strings"
)

const (
	rootOpen  = "<xml>"
	rootClose = "</xml>"
)

// Append writes d to dst and returns the longer slice; the elements keep their
// order and the same document always gives the same bytes, without white space:
//
//	<xml><name><![CDATA[value]]></name></xml>
//
// A value that CDATA would not keep, because it holds ]]> or a carriage return,
// is written as escaped text. What Append writes, Parse reads back as d. On an
// error dst is returned as it came; the error is one of ErrTooLarge (of what is
// appended), ErrTooManyElements, ErrDuplicate, ErrInvalidUTF8, ErrInvalidChar
// and ErrInvalidName.
func Append(dst []byte, d Document) ([]byte, error) {
	if len(d) > MaxElements {
		return dst, ErrTooManyElements
	}
	size := len(rootOpen) + len(rootClose)
	for i := range d {
		size += len("<></>") + 2*len(d[i].Name) + len(cdataOpen) + len(d[i].Value) + len(cdataClose)
	}
	// Escapes may save the CDATA marks and never more, so this much at least.
	if size-len(d)*len(cdataOpen+cdataClose) > MaxBytes {
		return dst, ErrTooLarge
	}
	b := append(slices.Grow(dst, size), rootOpen...)
	for i, e := range d {
		if !isName(e.Name) {
			return dst, ErrInvalidName
		}
		if _, twice := d[:i].Lookup(e.Name); twice {
			return dst, ErrDuplicate
		}
		if err := checkChars(e.Value); err != nil {
			return dst, err
		}
		b = appendElement(b, e)
	}
	b = append(b, rootClose...)
	if len(b)-len(dst) > MaxBytes {
		return dst, ErrTooLarge
	}
	return b, nil
}

func appendElement(b []byte, e Element) []byte {
	b = append(b, '<')
	b = append(b, e.Name...)
	if keptByCDATA(e.Value) {
		b = append(b, ">"+cdataOpen...)
		b = append(b, e.Value...)
		b = append(b, cdataClose+"</"...)
	} else {
		b = append(b, '>')
		b = appendEscaped(b, e.Value)
		b = append(b, "</"...)
	}
	b = append(b, e.Name...)
	return append(b, '>')
}

// keptByCDATA reports whether a CDATA section gives s back: ]]> would end it,
// and a carriage return would be read as a line end.
func keptByCDATA(s string) bool {
	return strings.IndexByte(s, '\r') < 0 && !hasCDATAClose(s)
}

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '\r':
			b = append(b, "&#13;"...)
		default:
			b = append(b, c)
		}
	}
	return b
}
