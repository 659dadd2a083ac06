package signing_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
)

const (
	testKey  = "192006250b4c09247ec02edce69f6a2d"
	otherKey = "0123456789abcdefghijklmnopqrstuv"
)

func TestV2Vectors(t *testing.T) {
	for _, v := range loadVectors(t).V2 {
		t.Run(v.Name, func(t *testing.T) {
			key := mustV2Key(t, v.Key)
			if got, want := signing.CanonicalV2(v.document())+"&key="+v.Key, v.StringToSign; got != want {
				t.Errorf("string to sign\ngot  %s\nwant %s", got, want)
			}
			if got := key.Sign(v.document()); got != v.Sign {
				t.Errorf("got %s, want %s", got, v.Sign)
			}
			if got := key.Sign(v.signed()); got != v.Sign {
				t.Errorf("with its sign in: got %s, want %s", got, v.Sign)
			}
			if err := signing.VerifyV2(v.signed(), []*signing.V2Key{key}); err != nil {
				t.Errorf("got error %v", err)
			}
			b, err := flatxml.Append(nil, v.signed())
			if err != nil {
				t.Fatal(err)
			}
			d, err := flatxml.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := signing.VerifyV2(d, []*signing.V2Key{key}); err != nil {
				t.Errorf("over the wire: got error %v", err)
			}
		})
	}
}

func TestVerifyV2(t *testing.T) {
	callback := loadVectors(t).V2[4]
	key, other := mustV2Key(t, testKey), mustV2Key(t, otherKey)
	set := func(name, value string) func(flatxml.Document) flatxml.Document {
		return func(d flatxml.Document) flatxml.Document {
			for i := range d {
				if d[i].Name == name {
					d[i].Value = value
					return d
				}
			}
			return append(d, flatxml.Element{Name: name, Value: value})
		}
	}
	without := func(name string) func(flatxml.Document) flatxml.Document {
		return func(d flatxml.Document) flatxml.Document {
			return slices.DeleteFunc(d, func(e flatxml.Element) bool { return e.Name == name })
		}
	}
	signed := func(mutate func(flatxml.Document) flatxml.Document) func(flatxml.Document) flatxml.Document {
		return func(d flatxml.Document) flatxml.Document {
			d = mutate(d)
			return set("sign", key.Sign(d))(d)
		}
	}
	lastOff := callback.Sign[:len(callback.Sign)-1] + "C"
	firstOff := "5" + callback.Sign[1:]
	for _, tc := range []struct {
		name   string
		mutate func(flatxml.Document) flatxml.Document
		keys   []*signing.V2Key
		want   error
	}{
		{"genuine", nil, []*signing.V2Key{key}, nil},
		{"second key of two", nil, []*signing.V2Key{other, key}, nil},
		{"order does not matter", func(d flatxml.Document) flatxml.Document { slices.Reverse(d); return d }, []*signing.V2Key{key}, nil},
		{"an empty element is not signed", set("err_code", ""), []*signing.V2Key{key}, nil},
		{"a new element is signed", signed(set("new_element", "1")), []*signing.V2Key{key}, nil},
		{"sign_type absent", signed(without("sign_type")), []*signing.V2Key{key}, nil},
		{"sign_type empty", signed(set("sign_type", "")), []*signing.V2Key{key}, nil},
		{"white space is signed as it is", signed(set("parking_name", " \n")), []*signing.V2Key{key}, nil},

		{"no keys", nil, nil, signing.ErrUnknownKey},
		{"another key", nil, []*signing.V2Key{other}, signing.ErrBadSignature},
		{"no sign", without("sign"), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"empty sign", set("sign", ""), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"last digit of sign", set("sign", lastOff), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"first digit of sign", set("sign", firstOff), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign in lower case", set("sign", strings.ToLower(callback.Sign)), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign cut", set("sign", callback.Sign[:63]), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign with a space", set("sign", callback.Sign+" "), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign of great length", set("sign", strings.Repeat(callback.Sign, 500)), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign of zeros", set("sign", strings.Repeat("\x00", 64)), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign with another capital", func(d flatxml.Document) flatxml.Document {
			return append(without("sign")(d), flatxml.Element{Name: "Sign", Value: callback.Sign})
		}, []*signing.V2Key{key}, signing.ErrBadSignature},
		{"changed value", set("plate_number", "粤A00001"), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"emptied value", set("sub_mch_id", ""), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"left out element", without("sub_mch_id"), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"new element that is not signed", set("new_element", "1"), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"MD5", signed(set("sign_type", "MD5")), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign_type in lower case", signed(set("sign_type", "hmac-sha256")), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"sign_type with a space", signed(set("sign_type", "HMAC-SHA256 ")), []*signing.V2Key{key}, signing.ErrBadSignature},
		{"probe", set("sign", "WECHATPAY/SIGNTEST/"+callback.Sign), []*signing.V2Key{key}, signing.ErrProbe},
		{"probe of 64 digits", set("sign", "WECHATPAY/SIGNTEST/"+callback.Sign[19:]), []*signing.V2Key{key}, signing.ErrProbe},
		{"probe without keys", set("sign", "WECHATPAY/SIGNTEST/"), nil, signing.ErrProbe},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := callback.signed()
			if tc.mutate != nil {
				d = tc.mutate(d)
			}
			if got := signing.VerifyV2(d, tc.keys); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCanonicalV2(t *testing.T) {
	long := make(flatxml.Document, 0, 100)
	var parts []string
	for i := range 100 {
		name := fmt.Sprintf("e%02d", i)
		long = append(long, flatxml.Element{Name: name, Value: "v"})
		parts = append(parts, name+"=v")
	}
	slices.Reverse(long)
	for _, tc := range []struct {
		name string
		d    flatxml.Document
		skip []string
		want string
	}{
		{"nothing", nil, nil, ""},
		{"by byte order", flatxml.Document{{Name: "a", Value: "1"}, {Name: "_", Value: "2"}, {Name: "B", Value: "3"}, {Name: "a_b", Value: "4"}, {Name: "aB", Value: "5"}}, nil,
			"B=3&_=2&a=1&aB=5&a_b=4"},
		{"raw values", flatxml.Document{{Name: "a", Value: "<&=%粤 "}, {Name: "b", Value: "1"}}, nil, "a=<&=%粤 &b=1"},
		{"empty and sign are left out", flatxml.Document{{Name: "a"}, {Name: "sign", Value: "S"}, {Name: "b", Value: "1"}}, nil, "b=1"},
		{"skip", flatxml.Document{{Name: "a", Value: "1"}, {Name: "nonce_str", Value: "n"}, {Name: "sign_type", Value: "t"}}, []string{"nonce_str", "sign_type"}, "a=1"},
		{"skip an absent one", flatxml.Document{{Name: "a", Value: "1"}}, []string{"b"}, "a=1"},
		{"many", long, nil, strings.Join(parts, "&")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := slices.Clone(tc.d)
			if got := signing.CanonicalV2(tc.d, tc.skip...); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if !slices.Equal(tc.d, before) {
				t.Errorf("the document is changed: got %q, want %q", tc.d, before)
			}
		})
	}
}

func TestNewV2Key(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		want      error
	}{
		{"32 letters and digits", testKey, nil},
		{"empty", "", signing.ErrInvalidKey},
		{"31", testKey[1:], signing.ErrInvalidKey},
		{"33", testKey + "0", signing.ErrInvalidKey},
		{"line end", testKey[1:] + "\n", signing.ErrInvalidKey},
		{"space", " " + testKey[1:], signing.ErrInvalidKey},
		{"NUL", "\x00" + testKey[1:], signing.ErrInvalidKey},
		{"Chinese, 32 bytes", "车" + testKey[3:], signing.ErrInvalidKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key, err := signing.NewV2Key(tc.key)
			if !errors.Is(err, tc.want) {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			if (key == nil) != (tc.want != nil) {
				t.Errorf("got key %v with error %v", key, err)
			}
			if err != nil && strings.Contains(err.Error(), testKey[4:20]) {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
}

// TestV2KeyIsSafeForConcurrentUse means something under -race.
func TestV2KeyIsSafeForConcurrentUse(t *testing.T) {
	v := loadVectors(t).V2
	key := mustV2Key(t, testKey)
	done := make(chan error)
	for i := range 8 {
		go func() {
			for n := range 100 {
				v := v[(i+n)%len(v)]
				if got := key.Sign(v.document()); got != v.Sign {
					done <- fmt.Errorf("%s: got %s, want %s", v.Name, got, v.Sign)
					return
				}
				if err := signing.VerifyV2(v.signed(), []*signing.V2Key{key}); err != nil {
					done <- fmt.Errorf("%s: %w", v.Name, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// FuzzVerifyV2 parses a document and verifies it. Only the vectors' own fields
// may verify, since nobody else holds the key; what verifies, signs to the same.
func FuzzVerifyV2(f *testing.F) {
	v := loadVectors(f).V2
	genuine := map[string]bool{}
	for _, v := range v {
		genuine[strings.TrimSuffix(v.StringToSign, "&key="+v.Key)] = true
		b, err := flatxml.Append(nil, v.signed())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("<xml><sign>WECHATPAY/SIGNTEST/</sign></xml>"))
	f.Add([]byte("<xml><sign_type>MD5</sign_type><sign>9A0A8659F005D6984697E2CA0A9CF3B7</sign></xml>"))
	keys := []*signing.V2Key{mustV2Key(f, otherKey), mustV2Key(f, testKey)}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := flatxml.Parse(b)
		if err != nil {
			return
		}
		sign := d.Get("sign")
		switch err := signing.VerifyV2(d, keys); err {
		case nil:
			if !genuine[signing.CanonicalV2(d)] || keys[1].Sign(d) != sign {
				t.Fatalf("a forged document verifies: %q", d)
			}
		case signing.ErrProbe:
			if !strings.HasPrefix(sign, "WECHATPAY/SIGNTEST/") {
				t.Fatalf("%q is called a probe", sign)
			}
		case signing.ErrBadSignature:
			if strings.HasPrefix(sign, "WECHATPAY/SIGNTEST/") {
				t.Fatalf("%q is not called a probe", sign)
			}
		default:
			t.Fatalf("got error %v", err)
		}
	})
}
