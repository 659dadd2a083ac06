package wechatpaysim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

var errJSON = errors.New("not a JSON object")

// member is one member of a JSON object. value is a string, a json.Number, a bool, nil, or []member.
type member struct {
	name  string
	value any
}

// parseObject reads one JSON object with nothing after it. Its members are scalars or, one level down,
// objects of scalars; arrays, duplicates, broken UTF-8 and half surrogate pairs are refused.
func parseObject(b []byte) ([]member, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errJSON
	}
	members, err := readMembers(d, 1)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return members, nil
}

func readMembers(d *json.Decoder, deeper int) ([]member, error) {
	members := []member{}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errJSON
		}
		name, _ := t.(string)
		if seen[name] {
			return nil, errors.New("a member stands twice")
		}
		seen[name] = true
		value, err := d.Token()
		if err != nil {
			return nil, errJSON
		}
		m := member{name: name, value: value}
		if value == json.Delim('[') || value == json.Delim('{') && deeper == 0 {
			return nil, errors.New("an array or an object stands where a scalar is due")
		}
		if value == json.Delim('{') {
			if m.value, err = readMembers(d, deeper-1); err != nil {
				return nil, err
			}
		}
		if s, ok := value.(string); ok && bytes.ContainsRune([]byte(s), utf8.RuneError) {
			return nil, errors.New("a string holds broken text")
		}
		members = append(members, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, errJSON
	}
	return members, nil
}

// marshal is encoding/json without HTML escapes and without a newline at the end.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
