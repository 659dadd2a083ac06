// Package keyring edits the lists of keys in the merchant's document, one step of a rotation at a time, and refuses a step
// that would stop the gateway: taking the last key away, or the one that answers are asked to be signed with. Whatever it
// does not edit stays byte for byte, and what it returns is a document that the functions take.
//
// No error and nothing that is listed holds a key. Only cmd/parkctl may import it.
package keyring

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/cmd/parkctl/secretdoc"
	"wechat-parking-gateway/shared/jsonedit"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/strictjson"
)

// Kind is a list of keys.
type Kind string

// The kinds. The keys of the first two have places, 1 being the first; those of the last have ids.
const (
	APIv2     Kind = "apiv2"
	APIv3     Kind = "apiv3"
	WeChatPay Kind = "wechatpay"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{APIv2, APIv3, WeChatPay} }

var pointers = map[Kind]jsontext.Pointer{APIv2: "/api_v2_keys", APIv3: "/api_v3_keys", WeChatPay: "/wechatpay_keys"}

var (
	// ErrLast says that a key is the last of its kind.
	ErrLast = errors.New("it is the last one: add its successor first")
	// ErrAnswers says that a key is the one that answers are asked to be signed with.
	ErrAnswers = errors.New("WeChat Pay is asked to sign its answers with it: name another with `parkctl secret key respond` first, and wait for 5 minutes")
	// ErrExists says that a key is there already.
	ErrExists = errors.New("it is there already")
	// ErrMoved says that somebody else has changed the list, so that a place or an id names another key than before.
	ErrMoved = errors.New("somebody else has changed the list meanwhile; look at it with `parkctl secret key list`, and repeat this")
	// ErrUnknown says that there is no such key.
	ErrUnknown = errors.New("there is no such key; `parkctl secret key list` shows them")
)

// Key is one key without its value.
type Key struct {
	Kind Kind `json:"kind"`
	// Name is the place in its list, or the id of a public key, or a certificate's serial number.
	Name string `json:"name"`
	// Use says what the functions do with it.
	Use string `json:"use"`
	// Expires is set for certificates.
	Expires time.Time `json:"expires,omitzero"`
}

// List returns the keys in the order of the document's lists, those of WeChat Pay by their ids.
func List(document []byte) ([]Key, error) {
	m, err := merchant.Parse([][]byte{document})
	if err != nil {
		return nil, err
	}
	var keys []Key
	for kind, n := range map[Kind]int{APIv2: len(m.V2Keys), APIv3: len(m.V3Keys)} {
		for i := range n {
			keys = append(keys, Key{Kind: kind, Name: strconv.Itoa(i + 1), Use: useOf(kind, i)})
		}
	}
	slices.SortStableFunc(keys, func(a, b Key) int { return slices.Index(Kinds(), a.Kind) - slices.Index(Kinds(), b.Kind) })
	for _, id := range slices.Sorted(maps.Keys(m.WeChatPayKeys)) {
		key := Key{Kind: WeChatPay, Name: id, Use: "verifies"}
		if id == m.ResponseKeyID {
			key.Use = "verifies; answers are asked to be signed with it"
		}
		if c := m.Certificates[id]; c != nil {
			key.Expires = c.NotAfter
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func useOf(kind Kind, i int) string {
	switch {
	case kind == APIv3:
		return "decrypts"
	case i == 0:
		return "signs first, and verifies"
	}
	return "verifies; signs where those before it are rejected"
}

// AddSecret puts an APIv2 or APIv3 key in front of its list, or behind the others.
func AddSecret(document []byte, kind Kind, key string, last bool) ([]byte, error) {
	var err error
	switch kind {
	case APIv2:
		_, err = signing.NewV2Key(key)
	case APIv3:
		_, err = signing.NewV3Key(key)
	default:
		err = ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	if _, err := merchant.Parse([][]byte{document}); err != nil {
		return nil, err
	}
	list := pointers[kind]
	if document, err = ensure(document, list, []string{}); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		held, ok := jsonedit.Get(document, list.AppendToken(strconv.Itoa(i)))
		if !ok {
			break
		}
		if text, _ := strictjson.String(held); text == key {
			return nil, fmt.Errorf("%s %d: %w", kind, i+1, ErrExists)
		}
	}
	place := "0"
	if last {
		place = "-"
	}
	return checked(jsonedit.Add(document, list.AppendToken(place), key))
}

// AddWeChatPay adds a WeChat Pay public key under its id, or a platform certificate under its serial number; id may be ""
// for the latter. When a public key is the first, what answers are asked to be signed with stays as it is, and is written
// down: WeChat Pay refuses a request that names a public key before the merchant has begun to move to it.
func AddWeChatPay(document []byte, id, text string) ([]byte, error) {
	m, err := merchant.Parse([][]byte{document})
	if err != nil {
		return nil, err
	}
	if certificate, err := signing.ParseCertificate(text); err == nil {
		serial := secretdoc.Serial(certificate)
		if id != "" && id != serial {
			return nil, fmt.Errorf("the certificate's serial number is %s, not %s", serial, id)
		}
		id = serial
	} else if err := secretdoc.MakePublicKey(id, text); err != nil {
		return nil, err
	}
	if m.WeChatPayKeys[id] != nil {
		return nil, fmt.Errorf("%s: %w", id, ErrExists)
	}
	if document, err = ensure(document, pointers[WeChatPay], map[string]string{}); err != nil {
		return nil, err
	}
	if document, err = jsonedit.Add(document, pointers[WeChatPay].AppendToken(id), text); err != nil {
		return nil, err
	}
	after, err := merchant.Parse([][]byte{document})
	if err != nil {
		return nil, err
	}
	if _, isCertificate := after.Certificates[id]; !isCertificate && m.ResponseKeyID != "" && after.ResponseKeyID != m.ResponseKeyID {
		return checked(jsonedit.Add(document, "/response_key_id", m.ResponseKeyID))
	}
	return document, nil
}

// ensure makes a list that the document lacks.
func ensure(document []byte, pointer jsontext.Pointer, empty any) ([]byte, error) {
	if _, ok := jsonedit.Get(document, pointer); ok {
		return document, nil
	}
	return jsonedit.Add(document, pointer, empty)
}

// Promote brings an APIv2 or APIv3 key to the front of its list.
func Promote(document []byte, kind Kind, name string) ([]byte, error) {
	at, err := place(document, kind, name)
	if err != nil {
		return nil, err
	}
	key, _ := jsonedit.Get(document, at)
	if at.LastToken() == "0" {
		return document, nil
	}
	if document, err = jsonedit.Remove(document, at); err != nil {
		return nil, err
	}
	return checked(jsonedit.Add(document, pointers[kind].AppendToken("0"), key))
}

// place finds a key that has one.
func place(document []byte, kind Kind, name string) (jsontext.Pointer, error) {
	if _, err := merchant.Parse([][]byte{document}); err != nil {
		return "", err
	}
	n, err := strconv.Atoi(name)
	if err == nil && n > 0 && (kind == APIv2 || kind == APIv3) {
		at := pointers[kind].AppendToken(strconv.Itoa(n - 1))
		if _, ok := jsonedit.Get(document, at); ok {
			return at, nil
		}
	}
	return "", fmt.Errorf("%s %s: %w", kind, name, ErrUnknown)
}

// Meant makes a change of the key that a name stands for safe to be repeated on a newer document: where the name stands for
// another key there than in the first document, that key is not the one that was meant, and is left alone.
func Meant(kind Kind, name string, change func(document []byte) ([]byte, error)) func(document []byte) ([]byte, error) {
	var meant string
	return func(document []byte) ([]byte, error) {
		at := pointers[kind].AppendToken(name)
		if kind != WeChatPay {
			var err error
			if at, err = place(document, kind, name); err != nil {
				return nil, err
			}
		}
		held, _ := jsonedit.Get(document, at)
		key := strictjson.Text(held)
		switch meant {
		case "":
			meant = key
		case key:
		default:
			return nil, fmt.Errorf("%s %s: %w", kind, name, ErrMoved)
		}
		return change(document)
	}
}

// Remove takes a key away. The last one of its kind stays, and so do the key that answers are asked to be signed with and
// the last of WeChat Pay's that has not expired at now.
func Remove(document []byte, kind Kind, name string, now time.Time) ([]byte, error) {
	m, err := merchant.Parse([][]byte{document})
	if err != nil {
		return nil, err
	}
	if kind != WeChatPay {
		at, err := place(document, kind, name)
		if err != nil {
			return nil, err
		}
		if _, more := jsonedit.Get(document, pointers[kind].AppendToken("1")); !more {
			return nil, fmt.Errorf("%s %s: %w", kind, name, ErrLast)
		}
		return checked(jsonedit.Remove(document, at))
	}
	if m.WeChatPayKeys[name] == nil {
		return nil, fmt.Errorf("%s %s: %w", kind, name, ErrUnknown)
	}
	usable := 0
	for id := range m.WeChatPayKeys {
		if c := m.Certificates[id]; id != name && (c == nil || now.Before(c.NotAfter)) {
			usable++
		}
	}
	switch {
	case usable == 0:
		return nil, fmt.Errorf("%s: %w", name, ErrLast)
	case name == m.ResponseKeyID:
		return nil, fmt.Errorf("%s: %w", name, ErrAnswers)
	}
	return checked(jsonedit.Remove(document, pointers[WeChatPay].AppendToken(name)))
}

// Respond names the key that WeChat Pay is asked to sign its answers with, or with "" leaves that to the default: the public
// key, or else the newest certificate.
func Respond(document []byte, id string) ([]byte, error) {
	m, err := merchant.Parse([][]byte{document})
	switch {
	case err != nil:
		return nil, err
	case id == "":
		if _, ok := jsonedit.Get(document, "/response_key_id"); !ok {
			return document, nil
		}
		return checked(jsonedit.Remove(document, "/response_key_id"))
	case m.WeChatPayKeys[id] == nil:
		return nil, fmt.Errorf("%s: %w", id, ErrUnknown)
	}
	if held, ok := jsonedit.Get(document, "/response_key_id"); ok && strictjson.Text(held) == id {
		return document, nil
	}
	return checked(jsonedit.Add(document, "/response_key_id", id))
}

// checked passes on a document that the functions take.
func checked(document []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if _, err := merchant.Parse([][]byte{document}); err != nil {
		return nil, err
	}
	return document, nil
}
