package flatxml_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/shared/flatxml"
)

func TestParse(t *testing.T) {
	one := func(value string) flatxml.Document { return flatxml.Document{{Name: "a", Value: value}} }
	for _, tc := range []struct {
		name, in string
		want     flatxml.Document
	}{
		{"no elements", "<xml></xml>", flatxml.Document{}},
		{"root that closes itself", "<xml/>", flatxml.Document{}},
		{"root that closes itself after a space", "<xml />", flatxml.Document{}},
		{"text", "<xml><a>b</a></xml>", one("b")},
		{"order is kept", "<xml><b>1</b><a>2</a></xml>", flatxml.Document{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}}},
		{"white space between", " \r\n\t<xml>\r\n\t<a>b</a>\n </xml>\n\t ", one("b")},
		{"white space in a value", "<xml><a> b\t</a></xml>", one(" b\t")},
		{"white space in tags", "<xml\n><a\t>b</a \r\n></xml >", one("b")},
		{"empty", "<xml><a></a></xml>", one("")},
		{"closes itself", "<xml><a/></xml>", one("")},
		{"closes itself after a space", "<xml><a /></xml>", one("")},
		{"CDATA", "<xml><a><![CDATA[b]]></a></xml>", one("b")},
		{"CDATA, empty", "<xml><a><![CDATA[]]></a></xml>", one("")},
		{"CDATA holds markup", "<xml><a><![CDATA[<c>&amp;</a><!--]]></a></xml>", one("<c>&amp;</a><!--")},
		{"CDATA holds brackets", "<xml><a><![CDATA[]]]]></a></xml>", one("]]")},
		{"CDATA between text", "<xml><a>b<![CDATA[c]]>d</a></xml>", one("bcd")},
		{"CDATA after CDATA", "<xml><a><![CDATA[]]]]><![CDATA[>]]></a></xml>", one("]]>")},
		{"CDATA after CDATA, one empty", "<xml><a><![CDATA[]]><![CDATA[b]]><![CDATA[]]></a></xml>", one("b")},
		{"entities", "<xml><a>&lt;&gt;&amp;&apos;&quot;</a></xml>", one(`<>&'"`)},
		{"entities are read once", "<xml><a>&amp;lt;</a></xml>", one("&lt;")},
		{"references", "<xml><a>&#65;&#x4e2d;&#x4E2D;&#x1F697;&#0065;</a></xml>", one("A中中🚗A")},
		{"references to white space", "<xml><a>&#13;&#10;&#9;</a></xml>", one("\r\n\t")},
		{"line ends", "<xml><a>b\r\nc\rd\ne</a></xml>", one("b\nc\nd\ne")},
		{"line ends in CDATA", "<xml><a><![CDATA[b\r\nc\rd]]></a></xml>", one("b\nc\nd")},
		{"line end cut by CDATA", "<xml><a>b\r<![CDATA[\n]]></a></xml>", one("b\n\n")},
		{"Chinese", "<xml><plate_number>粤A00000</plate_number></xml>", flatxml.Document{{Name: "plate_number", Value: "粤A00000"}}},
		{"declaration", `<?xml version="1.0"?><xml><a>b</a></xml>`, one("b")},
		{"declaration in full", "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\n<xml><a>b</a></xml>", one("b")},
		{"last allowed characters", "<xml><a>\u007f\ud7ff\ue000\ufffd\U0010ffff</a></xml>", one("\u007f\ud7ff\ue000\ufffd\U0010ffff")},
		{"names", "<xml><_/><A-b.c_9/></xml>", flatxml.Document{{Name: "_"}, {Name: "A-b.c_9"}}},
		{"names apart by case", "<xml><a/><A/></xml>", flatxml.Document{{Name: "a"}, {Name: "A"}}},
		{"an element named xml", "<xml><xml>b</xml></xml>", flatxml.Document{{Name: "xml", Value: "b"}}},
		{"most elements", manyElements(flatxml.MaxElements), manyDocument(flatxml.MaxElements)},
		{"most bytes", padded(flatxml.MaxBytes), one("")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := flatxml.Parse([]byte(tc.in))
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if want, err := standardParse([]byte(tc.in)); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, encoding/xml got %q, %v", got, want, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", flatxml.ErrSyntax},
		{"white space alone", " \n", flatxml.ErrSyntax},
		{"too large", padded(flatxml.MaxBytes + 1), flatxml.ErrTooLarge},
		{"too many elements", manyElements(flatxml.MaxElements + 1), flatxml.ErrTooManyElements},
		{"a name twice", "<xml><a>1</a><b/><a>1</a></xml>", flatxml.ErrDuplicate},

		{"invalid UTF-8", "<xml><a>\xff</a></xml>", flatxml.ErrInvalidUTF8},
		{"overlong UTF-8", "<xml><a>\xc0\xbc</a></xml>", flatxml.ErrInvalidUTF8},
		{"a surrogate in UTF-8", "<xml><a>\xed\xa0\x80</a></xml>", flatxml.ErrInvalidUTF8},
		{"UTF-8 cut short", "<xml><a>粤\xe7\xb2</a></xml>", flatxml.ErrInvalidUTF8},
		{"UTF-16", "\xff\xfe<\x00x\x00m\x00l\x00/\x00>\x00", flatxml.ErrInvalidUTF8},
		{"NUL", "<xml><a>b\x00c</a></xml>", flatxml.ErrInvalidChar},
		{"NUL in a name", "<xml><a\x00>b</a></xml>", flatxml.ErrInvalidChar},
		{"NUL after the root", "<xml></xml>\x00", flatxml.ErrInvalidChar},
		{"a control character", "<xml><a>a long value of text, then \x1b</a></xml>", flatxml.ErrInvalidChar},
		{"U+FFFE", "<xml><a>\ufffe</a></xml>", flatxml.ErrInvalidChar},
		{"U+FFFF in CDATA", "<xml><a><![CDATA[\uffff]]></a></xml>", flatxml.ErrInvalidChar},
		{"reference to NUL", "<xml><a>&#0;</a></xml>", flatxml.ErrInvalidChar},
		{"reference to a control character", "<xml><a>&#x1b;</a></xml>", flatxml.ErrInvalidChar},
		{"reference to a surrogate", "<xml><a>&#xD800;</a></xml>", flatxml.ErrInvalidChar},
		{"reference to U+FFFF", "<xml><a>&#65535;</a></xml>", flatxml.ErrInvalidChar},
		{"reference beyond Unicode", "<xml><a>&#x110000;</a></xml>", flatxml.ErrInvalidChar},
		{"reference that wraps 32 bits", "<xml><a>&#x100000041;</a></xml>", flatxml.ErrInvalidChar},
		{"reference that wraps 64 bits", "<xml><a>&#18446744073709551681;</a></xml>", flatxml.ErrInvalidChar},

		{"unknown entity", "<xml><a>&nbsp;</a></xml>", flatxml.ErrReference},
		{"bare ampersand", "<xml><a>b & c</a></xml>", flatxml.ErrReference},
		{"reference without an end", "<xml><a>&amp</a></xml>", flatxml.ErrReference},
		{"reference that ends in another value", "<xml><a>&am</a><b>p;</b></xml>", flatxml.ErrReference},
		{"empty reference", "<xml><a>&;</a></xml>", flatxml.ErrReference},
		{"numeric reference without digits", "<xml><a>&#;</a></xml>", flatxml.ErrReference},
		{"hexadecimal reference without digits", "<xml><a>&#x;</a></xml>", flatxml.ErrReference},
		{"upper-case X", "<xml><a>&#X41;</a></xml>", flatxml.ErrReference},
		{"hexadecimal digit in decimal", "<xml><a>&#4A;</a></xml>", flatxml.ErrReference},
		{"sign in a reference", "<xml><a>&#+65;</a></xml>", flatxml.ErrReference},

		{"document type", "<!DOCTYPE xml><xml></xml>", flatxml.ErrDoctype},
		{"document type with an entity", `<?xml version="1.0"?><!DOCTYPE xml [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><a>&e;</a></xml>`, flatxml.ErrDoctype},
		{"document type in the root", "<xml><!DOCTYPE xml></xml>", flatxml.ErrDoctype},
		{"document type in a value", "<xml><a><!DOCTYPE xml></a></xml>", flatxml.ErrDoctype},
		{"entity declaration", "<xml><!ENTITY e 'x'></xml>", flatxml.ErrSyntax},
		{"comment before the root", "<!-- c --><xml></xml>", flatxml.ErrComment},
		{"comment between elements", "<xml><!-- c --><a>b</a></xml>", flatxml.ErrComment},
		{"comment in a value", "<xml><a>b<!-- c --></a></xml>", flatxml.ErrComment},
		{"comment after the root", "<xml></xml><!-- c -->", flatxml.ErrTrailing},
		{"processing instruction", "<xml><?php ?></xml>", flatxml.ErrProcInst},
		{"style sheet", `<?xml-stylesheet href="x"?><xml></xml>`, flatxml.ErrProcInst},
		{"processing instruction in a value", "<xml><a><?b?></a></xml>", flatxml.ErrProcInst},

		{"declaration after white space", ` <?xml version="1.0"?><xml></xml>`, flatxml.ErrDeclaration},
		{"declaration twice", `<?xml version="1.0"?><?xml version="1.0"?><xml></xml>`, flatxml.ErrDeclaration},
		{"version 1.1", `<?xml version="1.1"?><xml></xml>`, flatxml.ErrDeclaration},
		{"no version", `<?xml encoding="UTF-8"?><xml></xml>`, flatxml.ErrDeclaration},
		{"another encoding", `<?xml version="1.0" encoding="GBK"?><xml></xml>`, flatxml.ErrDeclaration},
		{"empty encoding", `<?xml version="1.0" encoding=""?><xml></xml>`, flatxml.ErrDeclaration},
		{"encoding first", `<?xml encoding="UTF-8" version="1.0"?><xml></xml>`, flatxml.ErrDeclaration},
		{"encoding twice", `<?xml version="1.0" encoding="UTF-8" encoding="GBK"?><xml></xml>`, flatxml.ErrDeclaration},
		{"standalone maybe", `<?xml version="1.0" standalone="maybe"?><xml></xml>`, flatxml.ErrDeclaration},
		{"declaration without quotes", `<?xml version=1.0?><xml></xml>`, flatxml.ErrDeclaration},
		{"declaration with no end", `<?xml version="1.0"`, flatxml.ErrDeclaration},
		{"declaration with no end of a quote", `<?xml version="1.0?><xml></xml>`, flatxml.ErrDeclaration},

		{"byte order mark", "\ufeff<xml></xml>", flatxml.ErrText},
		{"JSON", `{"return_code":"SUCCESS"}`, flatxml.ErrText},
		{"text in the root", "<xml>b</xml>", flatxml.ErrText},
		{"text after an element", "<xml><a>b</a>c</xml>", flatxml.ErrText},
		{"CDATA in the root", "<xml><![CDATA[ ]]></xml>", flatxml.ErrText},
		{"CDATA before the root", "<![CDATA[]]><xml></xml>", flatxml.ErrText},
		{"reference in the root", "<xml>&#32;</xml>", flatxml.ErrText},
		{"space that is not XML's", "<xml>\u00a0<a>b</a></xml>", flatxml.ErrText},

		{"another root", "<html></html>", flatxml.ErrRoot},
		{"root in capitals", "<XML></XML>", flatxml.ErrRoot},
		{"root that starts xml", "<xmlx></xmlx>", flatxml.ErrRoot},
		{"attribute of the root", `<xml a="b"></xml>`, flatxml.ErrAttribute},
		{"attribute", `<xml><a b="c">d</a></xml>`, flatxml.ErrAttribute},
		{"namespace", `<xml><a xmlns="urn:b">d</a></xml>`, flatxml.ErrAttribute},
		{"attribute of an end tag", `<xml><a>d</a b="c"></xml>`, flatxml.ErrSyntax},
		{"nested", "<xml><a><b>c</b></a></xml>", flatxml.ErrNested},
		{"nested and empty", "<xml><a>b<c/></a></xml>", flatxml.ErrNested},
		{"nested in itself", "<xml><a>" + strings.Repeat("<a>", 9000), flatxml.ErrNested},
		{"prefix", "<xml><b:a>c</b:a></xml>", flatxml.ErrInvalidName},
		{"digit first", "<xml><1>c</1></xml>", flatxml.ErrInvalidName},
		{"hyphen first", "<xml><-a>c</-a></xml>", flatxml.ErrInvalidName},
		{"Chinese name", "<xml><车>c</车></xml>", flatxml.ErrInvalidName},
		{"no name", "<xml><>c</></xml>", flatxml.ErrInvalidName},
		{"space before a name", "<xml>< a>c</a></xml>", flatxml.ErrInvalidName},

		{"second root", "<xml></xml><xml></xml>", flatxml.ErrTrailing},
		{"text after the root", "<xml></xml>x", flatxml.ErrTrailing},
		{"end tag after the root", "<xml/></xml>", flatxml.ErrTrailing},

		{"end tag alone", "</xml>", flatxml.ErrSyntax},
		{"end tag of another name", "<xml><a>b</c></xml>", flatxml.ErrSyntax},
		{"end tag of a longer name", "<xml><a>b</ab></xml>", flatxml.ErrSyntax},
		{"end tag in capitals", "<xml><a>b</A></xml>", flatxml.ErrSyntax},
		{"space in an end tag", "<xml><a>b< /a></xml>", flatxml.ErrSyntax},
		{"root ends inside", "<xml><a>b</xml>", flatxml.ErrSyntax},
		{"no end tag of the root", "<xml><a>b</a>", flatxml.ErrSyntax},
		{"no end tag", "<xml><a>b", flatxml.ErrSyntax},
		{"cut in a start tag", "<xml><a", flatxml.ErrSyntax},
		{"cut after <", "<xml><", flatxml.ErrSyntax},
		{"cut in an end tag", "<xml><a>b</a", flatxml.ErrSyntax},
		{"cut in the root's end tag", "<xml><a>b</a></xml", flatxml.ErrSyntax},
		{"cut after < in a value", "<xml><a>b<", flatxml.ErrSyntax},
		{"cut in CDATA", "<xml><a><![CDATA[b]]", flatxml.ErrSyntax},
		{"cdata in small letters", "<xml><a><![cdata[b]]></a></xml>", flatxml.ErrSyntax},
		{"bare ]]>", "<xml><a>b]]>c</a></xml>", flatxml.ErrSyntax},
		{"bare < in a value", "<xml><a>1 < 2</a></xml>", flatxml.ErrSyntax},
		{"two slashes", "<xml><a//></xml>", flatxml.ErrSyntax},
		{"start tag in a start tag", "<xml><a<b></a></xml>", flatxml.ErrSyntax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := flatxml.Parse([]byte(tc.in))
			if err != tc.want {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			if !errors.Is(err, flatxml.ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			if d != nil {
				t.Errorf("got %q with an error, want nothing", d)
			}
		})
	}
}

// TestParseSharesNoMemory guards callers that reuse the buffer they read into.
func TestParseSharesNoMemory(t *testing.T) {
	b := []byte("<xml><a>genuine</a></xml>")
	d, err := flatxml.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if got, want := d.Get("a"), "genuine"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLookup(t *testing.T) {
	d := flatxml.Document{{Name: "return_code", Value: "SUCCESS"}, {Name: "err_code"}}
	for _, tc := range []struct {
		name, want string
		ok         bool
	}{
		{"return_code", "SUCCESS", true},
		{"err_code", "", true},
		{"result_code", "", false},
		{"", "", false},
	} {
		got, ok := d.Lookup(tc.name)
		if got != tc.want || ok != tc.ok {
			t.Errorf("Lookup(%q): got %q, %v, want %q, %v", tc.name, got, ok, tc.want, tc.ok)
		}
		if got := d.Get(tc.name); got != tc.want {
			t.Errorf("Get(%q): got %q, want %q", tc.name, got, tc.want)
		}
	}
}

// FuzzParse holds Parse to encoding/xml: what Parse accepts, the standard
// library reads as the same elements.
func FuzzParse(f *testing.F) {
	for _, d := range vectorDocuments(f) {
		b, err := flatxml.Append(nil, d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add([]byte(strings.NewReplacer("<![CDATA[", "", "]]>", "", `"`, "&quot;").Replace(string(b))))
	}
	for _, s := range []string{
		"<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\n<xml><a>b</a></xml>\n",
		"<xml><a>b\r\nc\r<![CDATA[\nd]]]]><![CDATA[>]]>&#13;&#x4e2d;&lt;</a ><b/></xml >",
		`<!DOCTYPE xml [<!ENTITY e "e">]><xml><a b="c">&e;</a><!-- d --><?e?></xml>`,
		"<xml><xml>\ufffd\U0010ffff</xml><_.-9/></xml>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := flatxml.Parse(b)
		if err != nil {
			if !errors.Is(err, flatxml.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		want, err := standardParse(b)
		if err != nil {
			t.Fatalf("Parse accepts what encoding/xml refuses: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("encoding/xml -, Parse +\n%s", diff)
		}
		// What is read can be written and read again, unless CDATA marks and
		// escapes make it too large.
		again, err := flatxml.Append(nil, got)
		if err == flatxml.ErrTooLarge {
			return
		}
		if err != nil {
			t.Fatalf("Append refuses what Parse read: %v", err)
		}
		if reread, err := flatxml.Parse(again); err != nil || !slices.Equal(reread, got) {
			t.Fatalf("read again: got %q, %v, want %q", reread, err, got)
		}
	})
}

// standardParse reads a flat document with encoding/xml.
func standardParse(b []byte) (flatxml.Document, error) {
	decoder := xml.NewDecoder(strings.NewReader(string(b)))
	d := flatxml.Document{}
	depth, root := 0, false
	for {
		token, err := decoder.Token()
		if err == io.EOF && root && depth == 0 {
			return d, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(token.Attr) > 0 || token.Name.Space != "" {
				return nil, fmt.Errorf("attributes or a namespace on %s", token.Name.Local)
			}
			switch depth {
			case 0:
				if root || token.Name.Local != "xml" {
					return nil, fmt.Errorf("root %s", token.Name.Local)
				}
				root = true
			case 1:
				d = append(d, flatxml.Element{Name: token.Name.Local})
			default:
				return nil, fmt.Errorf("%s is nested", token.Name.Local)
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 2 {
				d[len(d)-1].Value += string(token)
			} else if strings.Trim(string(token), " \t\r\n") != "" {
				return nil, fmt.Errorf("text outside the elements")
			}
		case xml.ProcInst:
			if token.Target != "xml" || root {
				return nil, fmt.Errorf("processing instruction %s", token.Target)
			}
		default:
			return nil, fmt.Errorf("token %T", token)
		}
	}
}

// vectorDocuments returns the V2 messages of the known-answer vectors, signed.
func vectorDocuments(t testing.TB) []flatxml.Document {
	t.Helper()
	b, err := os.ReadFile("../../testdata/wechatpay.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		V2 []struct {
			Fields map[string]string `json:"fields"`
			Sign   string            `json:"sign"`
		} `json:"v2_hmac_sha256"`
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	var all []flatxml.Document
	for _, v := range vectors.V2 {
		d := flatxml.Document{{Name: "sign", Value: v.Sign}}
		for name, value := range v.Fields {
			d = append(d, flatxml.Element{Name: name, Value: value})
		}
		slices.SortFunc(d, func(x, y flatxml.Element) int { return strings.Compare(x.Name, y.Name) })
		all = append(all, d)
	}
	if len(all) == 0 {
		t.Fatal("no vectors")
	}
	return all
}

// padded returns a document of n bytes.
func padded(n int) string {
	const head, tail = "<xml><a/>", "</xml>"
	return head + strings.Repeat(" ", n-len(head)-len(tail)) + tail
}

func manyElements(n int) string {
	var b strings.Builder
	for _, e := range manyDocument(n) {
		fmt.Fprintf(&b, "<%s>%s</%[1]s>", e.Name, e.Value)
	}
	return "<xml>" + b.String() + "</xml>"
}

func manyDocument(n int) flatxml.Document {
	d := flatxml.Document{}
	for i := range n {
		d = append(d, flatxml.Element{Name: fmt.Sprintf("coupon_id_%d", i), Value: fmt.Sprint(i)})
	}
	return d
}
