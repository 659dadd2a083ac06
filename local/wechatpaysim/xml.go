package wechatpaysim

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Element is one element of a V2 document.
type Element struct{ Name, Value string }

var errXML = errors.New("XML格式错误")

// parseXML reads a V2 document: one root `xml`, one level of elements, no attribute, comment, instruction,
// DTD or duplicate, and nothing but white space between the elements and around the root.
func parseXML(b []byte) ([]Element, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%w: not UTF-8", errXML)
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	var (
		doc   []Element
		open  []string
		value strings.Builder
		ended bool
	)
	for first := true; ; first = false {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: not well-formed", errXML)
		}
		switch t := t.(type) {
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return nil, fmt.Errorf("%w: a processing instruction", errXML)
			}
		case xml.Directive:
			return nil, fmt.Errorf("%w: a DTD", errXML)
		case xml.Comment:
			return nil, fmt.Errorf("%w: a comment", errXML)
		case xml.StartElement:
			if err := mayOpen(t, open, doc, ended); err != nil {
				return nil, err
			}
			open = append(open, t.Name.Local)
			value.Reset()
		case xml.CharData:
			if len(open) == 2 {
				value.Write(t)
			} else if len(bytes.Trim(t, " \t\r\n")) > 0 {
				return nil, fmt.Errorf("%w: text outside the elements", errXML)
			}
		case xml.EndElement:
			if len(open) == 2 {
				doc = append(doc, Element{Name: t.Name.Local, Value: value.String()})
			} else {
				ended = true
			}
			open = open[:len(open)-1]
		}
	}
	if !ended {
		return nil, fmt.Errorf("%w: no root", errXML)
	}
	return doc, nil
}

func mayOpen(t xml.StartElement, open []string, doc []Element, ended bool) error {
	name := t.Name.Local
	switch {
	case ended:
		return fmt.Errorf("%w: something follows the root", errXML)
	case len(t.Attr) > 0 || t.Name.Space != "":
		return fmt.Errorf("%w: an attribute or a namespace", errXML)
	case len(open) == 0 && name != "xml":
		return fmt.Errorf("%w: the root is not xml", errXML)
	case len(open) == 2:
		return fmt.Errorf("%w: a nested element", errXML)
	case len(open) == 1 && slices.ContainsFunc(doc, func(e Element) bool { return e.Name == name }):
		return fmt.Errorf("%w: an element stands twice", errXML)
	}
	return nil
}

func fieldsOf(doc []Element) map[string]string {
	m := make(map[string]string, len(doc))
	for _, e := range doc {
		m[e.Name] = e.Value
	}
	return m
}

// writeXML writes a V2 document. WeChat Pay answers in CDATA and sends notifications as plain text.
func writeXML(doc []Element, cdata bool) []byte {
	var b bytes.Buffer
	b.WriteString("<xml>")
	for _, e := range doc {
		b.WriteString("<" + e.Name + ">")
		// CDATA can hold neither its own end nor a carriage return, which a reader makes a newline.
		if cdata && !strings.Contains(e.Value, "]]>") && !strings.Contains(e.Value, "\r") {
			b.WriteString("<![CDATA[" + e.Value + "]]>")
		} else {
			// A bytes.Buffer never fails to take what is written.
			_ = xml.EscapeText(&b, []byte(e.Value))
		}
		b.WriteString("</" + e.Name + ">")
	}
	b.WriteString("</xml>")
	return b.Bytes()
}

// stringToSign is V2's: every element but sign, none of them empty, sorted by name, and the key at the end.
func stringToSign(fields map[string]string, key string) string {
	var b strings.Builder
	for _, name := range sortedNames(fields) {
		if name != "sign" && fields[name] != "" {
			b.WriteString(name + "=" + fields[name] + "&")
		}
	}
	return b.String() + "key=" + key
}

// signV2 is the upper-case hexadecimal HMAC-SHA256 of the string to sign, keyed with the same key again.
func signV2(fields map[string]string, key string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(stringToSign(fields, key)))
	return strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
}
