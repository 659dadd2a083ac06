package keyring_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/cmd/parkctl/keyring"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/signing"
)

const (
	newKey   = "newnewnewnewnewnewnewnewnewnew12"
	thirdKey = "thirdthirdthirdthirdthirdthird12"
)

// scene is a merchant's document, and what WeChat Pay has.
type scene struct {
	world            *fixture.World
	public, platform string // ids
	expired, newer   *wechatpaysim.Certificate
}

// certificates are made once: an expired one and one that is newer than the world's.
var certificates = sync.OnceValues(func() (made [2]*wechatpaysim.Certificate, err error) {
	for i, from := range []time.Time{time.Now().AddDate(-6, 0, 0), time.Now().Add(-time.Minute)} {
		if made[i], err = wechatpaysim.GenerateCertificate(rand.Reader, from, from.AddDate(5, 0, 0)); err != nil {
			return made, err
		}
	}
	return made, nil
})

func newScene(t *testing.T) *scene {
	t.Helper()
	w := functest.NewWorld(t)
	s := &scene{world: w, public: w.Identity.PublicKeyID, platform: w.Identity.CertificateSerial}
	made, err := certificates()
	if err != nil {
		t.Fatal(err)
	}
	s.expired, s.newer = made[0], made[1]
	w.Merchant.ResponseKeyID = ""
	return s
}

// hold makes the document hold these of WeChat Pay's keys.
func (s *scene) hold(ids ...string) {
	s.world.Merchant.WeChatPayKeys = map[string]string{}
	for _, id := range ids {
		text := map[string]string{
			s.public: s.world.Identity.PublicKeyPEM, s.platform: s.world.Identity.CertificatePEM, s.expired.Serial: s.expired.PEM, s.newer.Serial: s.newer.PEM,
		}[id]
		s.world.Merchant.WeChatPayKeys[id] = text
	}
}

func TestEdits(t *testing.T) {
	old := func(s *scene) string { return s.world.Merchant.APIv2Keys[0] }
	for name, row := range map[string]struct {
		before func(*scene)
		edit   func(*scene, []byte) ([]byte, error)
		after  func(*scene, *fixture.Merchant) bool
		want   error
	}{
		"an APIv2 key in front": {
			edit:  func(_ *scene, d []byte) ([]byte, error) { return keyring.AddSecret(d, keyring.APIv2, newKey, false) },
			after: func(s *scene, m *fixture.Merchant) bool { return m.APIv2Keys[0] == newKey && m.APIv2Keys[1] == old(s) },
		},
		"an APIv2 key behind": {
			edit:  func(_ *scene, d []byte) ([]byte, error) { return keyring.AddSecret(d, keyring.APIv2, newKey, true) },
			after: func(s *scene, m *fixture.Merchant) bool { return m.APIv2Keys[1] == newKey && m.APIv2Keys[0] == old(s) },
		},
		"the first APIv3 key": {
			before: func(s *scene) { s.world.Merchant.APIv3Keys = []string{} },
			edit:   func(_ *scene, d []byte) ([]byte, error) { return keyring.AddSecret(d, keyring.APIv3, newKey, false) },
			after:  func(_ *scene, m *fixture.Merchant) bool { return len(m.APIv3Keys) == 1 },
		},
		"a short key": {
			edit: func(_ *scene, d []byte) ([]byte, error) { return keyring.AddSecret(d, keyring.APIv2, "short", false) }, want: signing.ErrInvalidKey,
		},
		"a key twice": {
			edit: func(s *scene, d []byte) ([]byte, error) { return keyring.AddSecret(d, keyring.APIv2, old(s), false) }, want: keyring.ErrExists,
		},
		"the second key to the front": {
			before: func(s *scene) { s.world.Merchant.APIv2Keys = []string{newKey, thirdKey} },
			edit:   func(_ *scene, d []byte) ([]byte, error) { return keyring.Promote(d, keyring.APIv2, "2") },
			after: func(_ *scene, m *fixture.Merchant) bool {
				return m.APIv2Keys[0] == thirdKey && m.APIv2Keys[1] == newKey
			},
		},
		"the first key to the front": {
			edit:  func(_ *scene, d []byte) ([]byte, error) { return keyring.Promote(d, keyring.APIv2, "1") },
			after: func(s *scene, m *fixture.Merchant) bool { return m.APIv2Keys[0] == old(s) },
		},
		"a place that is not there": {
			edit: func(_ *scene, d []byte) ([]byte, error) { return keyring.Promote(d, keyring.APIv2, "2") }, want: keyring.ErrUnknown,
		},
		"place 0": {
			edit: func(_ *scene, d []byte) ([]byte, error) { return keyring.Remove(d, keyring.APIv3, "0", time.Now()) }, want: keyring.ErrUnknown,
		},
		"the second key away": {
			before: func(s *scene) { s.world.Merchant.APIv3Keys = []string{newKey, thirdKey} },
			edit:   func(_ *scene, d []byte) ([]byte, error) { return keyring.Remove(d, keyring.APIv3, "2", time.Now()) },
			after:  func(_ *scene, m *fixture.Merchant) bool { return len(m.APIv3Keys) == 1 && m.APIv3Keys[0] == newKey },
		},
		"the last key away": {
			edit: func(_ *scene, d []byte) ([]byte, error) { return keyring.Remove(d, keyring.APIv2, "1", time.Now()) }, want: keyring.ErrLast,
		},
		"the public key beside a certificate: answers stay as they are": {
			before: func(s *scene) { s.hold(s.platform) },
			edit: func(s *scene, d []byte) ([]byte, error) {
				return keyring.AddWeChatPay(d, s.public, s.world.Identity.PublicKeyPEM)
			},
			after: func(s *scene, m *fixture.Merchant) bool {
				return len(m.WeChatPayKeys) == 2 && m.ResponseKeyID == s.platform
			},
		},
		"the public key alone": {
			before: func(s *scene) { s.hold() },
			edit: func(s *scene, d []byte) ([]byte, error) {
				return keyring.AddWeChatPay(d, s.public, s.world.Identity.PublicKeyPEM)
			},
			after: func(_ *scene, m *fixture.Merchant) bool { return len(m.WeChatPayKeys) == 1 && m.ResponseKeyID == "" },
		},
		"a certificate": {
			before: func(s *scene) { s.hold(s.platform) },
			edit:   func(s *scene, d []byte) ([]byte, error) { return keyring.AddWeChatPay(d, "", s.newer.PEM) },
			after: func(s *scene, m *fixture.Merchant) bool {
				return m.WeChatPayKeys[s.newer.Serial] == s.newer.PEM && m.ResponseKeyID == ""
			},
		},
		"a certificate twice": {
			before: func(s *scene) { s.hold(s.platform) },
			edit: func(s *scene, d []byte) ([]byte, error) {
				return keyring.AddWeChatPay(d, "", s.world.Identity.CertificatePEM)
			}, want: keyring.ErrExists,
		},
		"answers with the public key": {
			before: func(s *scene) { s.hold(s.platform, s.public); s.world.Merchant.ResponseKeyID = s.platform },
			edit:   func(s *scene, d []byte) ([]byte, error) { return keyring.Respond(d, s.public) },
			after:  func(s *scene, m *fixture.Merchant) bool { return m.ResponseKeyID == s.public },
		},
		"answers with the default": {
			before: func(s *scene) { s.hold(s.platform, s.public); s.world.Merchant.ResponseKeyID = s.platform },
			edit:   func(_ *scene, d []byte) ([]byte, error) { return keyring.Respond(d, "") },
			after:  func(_ *scene, m *fixture.Merchant) bool { return m.ResponseKeyID == "" },
		},
		"answers with a key that is not there": {
			before: func(s *scene) { s.hold(s.platform) },
			edit:   func(s *scene, d []byte) ([]byte, error) { return keyring.Respond(d, s.public) }, want: keyring.ErrUnknown,
		},
		"the certificate away after the move": {
			before: func(s *scene) { s.hold(s.platform, s.public); s.world.Merchant.ResponseKeyID = s.public },
			edit: func(s *scene, d []byte) ([]byte, error) {
				return keyring.Remove(d, keyring.WeChatPay, s.platform, time.Now())
			},
			after: func(s *scene, m *fixture.Merchant) bool {
				return len(m.WeChatPayKeys) == 1 && m.ResponseKeyID == s.public
			},
		},
		"the key that answers are signed with": {
			before: func(s *scene) { s.hold(s.platform, s.public); s.world.Merchant.ResponseKeyID = s.platform },
			edit: func(s *scene, d []byte) ([]byte, error) {
				return keyring.Remove(d, keyring.WeChatPay, s.platform, time.Now())
			}, want: keyring.ErrAnswers,
		},
		"the key that answers are signed with by default": {
			before: func(s *scene) { s.hold(s.platform, s.public) },
			edit: func(s *scene, d []byte) ([]byte, error) {
				return keyring.Remove(d, keyring.WeChatPay, s.public, time.Now())
			}, want: keyring.ErrAnswers,
		},
		"the last that has not expired": {
			before: func(s *scene) { s.hold(s.platform, s.expired.Serial) },
			edit: func(s *scene, d []byte) ([]byte, error) {
				return keyring.Remove(d, keyring.WeChatPay, s.platform, time.Now())
			}, want: keyring.ErrLast,
		},
		"an unknown id": {
			edit: func(_ *scene, d []byte) ([]byte, error) {
				return keyring.Remove(d, keyring.WeChatPay, "5A", time.Now())
			}, want: keyring.ErrUnknown,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if row.before != nil {
				row.before(s)
			}
			document := functest.Document(t, s.world.Merchant)
			kept := bytes.Clone(document)
			got, err := row.edit(s, document)
			if !errors.Is(err, row.want) || row.want == nil && err != nil {
				t.Fatalf("got error %v, want %v", err, row.want)
			}
			if !bytes.Equal(document, kept) {
				t.Error("the document that was given was changed")
			}
			if err != nil {
				for _, word := range append(functest.Private(s.world), newKey, thirdKey) {
					if strings.Contains(err.Error(), word) {
						t.Errorf("the error holds a key: %v", err)
					}
				}
				return
			}
			var m fixture.Merchant
			if err := json.Unmarshal(got, &m); err != nil || !row.after(s, &m) {
				t.Errorf("got keys %d %d %d, answers %q, %v", len(m.APIv2Keys), len(m.APIv3Keys), len(m.WeChatPayKeys), m.ResponseKeyID, err)
			}
		})
	}
}

// TestAddWeChatPayRefuses: what is no key of WeChat Pay's does not get in.
func TestAddWeChatPayRefuses(t *testing.T) {
	s := newScene(t)
	s.hold(s.platform)
	document := functest.Document(t, s.world.Merchant)
	for name, row := range map[string]struct{ id, text, want string }{
		"a private key":                     {s.public, s.world.MerchantKey.PrivateKey, "PUBLIC KEY"},
		"an id that is cut":                 {s.public[:20], s.world.Identity.PublicKeyPEM, "digits"},
		"no id":                             {"", s.world.Identity.PublicKeyPEM, "PUB_KEY_ID_"},
		"another certificate's id":          {s.platform, s.newer.PEM, "serial number is"},
		"a public key id for a certificate": {s.public, s.newer.PEM, "serial number is"},
	} {
		if _, err := keyring.AddWeChatPay(document, row.id, row.text); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", name, err, row.want)
		}
	}
	broken := []byte(`{"mode":"x"}`)
	for name, edit := range map[string]func() error{
		"list":    func() error { _, err := keyring.List(broken); return err },
		"add":     func() error { _, err := keyring.AddSecret(broken, keyring.APIv2, newKey, false); return err },
		"add key": func() error { _, err := keyring.AddWeChatPay(broken, "", s.newer.PEM); return err },
		"promote": func() error { _, err := keyring.Promote(broken, keyring.APIv2, "1"); return err },
		"remove":  func() error { _, err := keyring.Remove(broken, keyring.APIv2, "1", time.Now()); return err },
		"respond": func() error { _, err := keyring.Respond(broken, "x"); return err },
	} {
		if err := edit(); err == nil || !strings.Contains(err.Error(), "/mode") {
			t.Errorf("%s of a document that is out of its form: got %v", name, err)
		}
	}
}

// TestNewestCertificateAnswers: what the help of key add says of certificates.
func TestNewestCertificateAnswers(t *testing.T) {
	s := newScene(t)
	s.hold(s.platform)
	document, err := keyring.AddWeChatPay(functest.Document(t, s.world.Merchant), "", s.newer.PEM)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.List(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if asked := strings.Contains(k.Use, "asked"); asked != (k.Name == s.newer.Serial) {
			t.Errorf("%s %s: %s, want the newer certificate alone asked for", k.Kind, k.Name, k.Use)
		}
	}
}

// TestMeant: whoever is overtaken by another editor takes away the key that was meant, or none.
func TestMeant(t *testing.T) {
	document := func(keys ...string) []byte {
		s := newScene(t)
		s.world.Merchant.APIv2Keys = keys
		return functest.Document(t, s.world.Merchant)
	}
	old := newScene(t).world.Merchant.APIv2Keys[0]
	for name, row := range map[string]struct {
		first, then []byte
		want        error
	}{
		"nothing of the list changed":       {document(newKey, old), document(newKey, old), nil},
		"another key came in front":         {document(newKey, old), document(thirdKey, newKey, old), keyring.ErrMoved},
		"the key is gone, and so the place": {document(newKey, old), document(newKey), keyring.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			remove := keyring.Meant(keyring.APIv2, "2", func(document []byte) ([]byte, error) {
				return keyring.Remove(document, keyring.APIv2, "2", time.Now())
			})
			if _, err := remove(row.first); err != nil {
				t.Fatal(err)
			}
			got, err := remove(row.then)
			if !errors.Is(err, row.want) || row.want == nil && (err != nil || strings.Contains(string(got), old)) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if err != nil && strings.Contains(err.Error(), newKey) {
				t.Errorf("the error %v shows a key", err)
			}
		})
	}
}

func TestList(t *testing.T) {
	s := newScene(t)
	s.hold(s.platform, s.public)
	s.world.Merchant.APIv2Keys = []string{newKey, thirdKey}
	keys, err := keyring.List(functest.Document(t, s.world.Merchant))
	if err != nil || len(keys) != 5 {
		t.Fatalf("got %v, %v", keys, err)
	}
	text := string(functest.Document(t, keys))
	for _, word := range append(functest.Private(s.world), newKey, thirdKey) {
		if strings.Contains(text, word) {
			t.Error("the list holds a key")
		}
	}
	if keys[0].Name != "1" || !strings.Contains(keys[0].Use, "signs first") || keys[1].Name != "2" || keys[2].Kind != keyring.APIv3 {
		t.Errorf("got %+v", keys)
	}
	for _, k := range keys[3:] {
		if answers := strings.Contains(k.Use, "answers"); answers != (k.Name == s.public) || k.Expires.IsZero() != (k.Name == s.public) {
			t.Errorf("got %+v", k)
		}
	}
}
