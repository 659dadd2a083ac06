package flatxml_test

import (
	"testing"

	"wechat-parking-gateway/shared/flatxml"
)

// The Floor of reading and writing is to copy the bytes once; the Standard is
// what encoding/xml needs for the same elements.

var sink byte

func BenchmarkParse(b *testing.B) {
	document := benchDocument(b)
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := flatxml.Parse(document)
		if err != nil {
			b.Fatal(err)
		}
		sink += d[0].Name[0]
	}
}

func BenchmarkParseFloor(b *testing.B) {
	document := benchDocument(b)
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		sink += string(document)[len(document)-1]
	}
}

func BenchmarkParseStandard(b *testing.B) {
	document := benchDocument(b)
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := standardParse(document)
		if err != nil {
			b.Fatal(err)
		}
		sink += d[0].Name[0]
	}
}

// BenchmarkParseHostile reads 64 KiB made to cost the most: as many elements as
// are allowed, with names that differ in their last letters alone.
func BenchmarkParseHostile(b *testing.B) {
	document := []byte("<xml>")
	for i := range flatxml.MaxElements {
		name := make([]byte, 240)
		for j := range name {
			name[j] = 'a'
		}
		name[len(name)-2], name[len(name)-1] = 'a'+byte(i/16), 'a'+byte(i%16)
		document = append(document, "<"+string(name)+">&#x4e2d;\r\n</"+string(name)+">"...)
	}
	document = append(document, "</xml>"...)
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := flatxml.Parse(document); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	d := vectorDocuments(b)[1]
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out, err := flatxml.Append(buf, d)
		if err != nil {
			b.Fatal(err)
		}
		sink += out[0]
	}
}

func benchDocument(b *testing.B) []byte {
	b.Helper()
	document, err := flatxml.Append(nil, vectorDocuments(b)[4])
	if err != nil {
		b.Fatal(err)
	}
	return document
}
