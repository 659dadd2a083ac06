package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/jsonedit"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/secretstore"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/wechatpay"
)

// shelf holds the secrets.
type shelf struct {
	documents map[string][]byte
	writes    int
	readErr   error
	editErr   error
	// overtake, when set, is done once between the reading and the writing of an edit, which then begins anew.
	overtake func([]byte) []byte
}

func (s *shelf) Read(_ context.Context, id string) (secretstore.Version, error) {
	if s.readErr != nil {
		return secretstore.Version{}, s.readErr
	}
	d, ok := s.documents[id]
	if !ok {
		return secretstore.Version{}, secretstore.ErrNotFound
	}
	return secretstore.Version{Document: d}, nil
}

func (s *shelf) Edit(_ context.Context, id string, change func([]byte) ([]byte, error)) (secretstore.Result, error) {
	for {
		d := s.documents[id]
		next, err := change(d)
		if s.overtake != nil {
			s.documents[id] = s.overtake(d)
			s.overtake = nil
			continue
		}
		if err == nil {
			err = s.editErr
		}
		written := err == nil && !bytes.Equal(next, d)
		if written {
			s.documents[id] = next
			s.writes++
		}
		return secretstore.Result{Version: secretstore.Version{Document: s.documents[id]}, Written: written}, err
	}
}

// rig is a refresher in a fixture's world, with the simulator behind it.
type rig struct {
	*refresher
	world     *fixture.World
	shelf     *shelf
	simulator *wechatpaysim.Simulator
	log       *functest.Log
	metrics   bytes.Buffer
}

// now is the wall clock's, so that the identity's certificate is valid.
func newRig(t *testing.T, change func(*fixture.World)) *rig {
	t.Helper()
	w := functest.NewWorld(t)
	w.Merchant.ResponseKeyID = ""
	w.Merchant.WeChatPayKeys = map[string]string{w.Identity.CertificateSerial: w.Identity.CertificatePEM}
	w.WeChatPay.Now = time.Now
	if change != nil {
		change(w)
	}
	sim, err := wechatpaysim.New(w.WeChatPay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	if err := sim.ChangeKeys(func(k *wechatpaysim.Keys) { k.PublicKey = false }); err != nil {
		t.Fatal(err)
	}
	g := &rig{world: w, simulator: sim, log: functest.NewLog(t, functest.Private(w)...)}
	document := functest.Document(t, w.Merchant)
	for _, member := range []jsontext.Pointer{"/wechatpay_keys", "/api_v3_keys"} {
		if v, ok := jsonedit.Get(document, member); ok && string(v) == "null" { // a list that is nil is absent
			if document, err = jsonedit.Remove(document, member); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.shelf = &shelf{documents: map[string][]byte{"merchant": document, "key": functest.Document(t, w.MerchantKey)}}
	g.refresher = &refresher{
		store: g.shelf, merchantID: "merchant", keyID: "key",
		wechatPay: &wechatpay.Client{
			BaseURL: "https://wechat.test", BackupURL: "https://wechat.test", Transport: functest.Transport(sim), Now: time.Now, Random: rand.Reader,
		},
		now: time.Now, logger: telemetry.NewLogger(slog.NewJSONHandler(g.log, nil)),
		meter: telemetry.NewMeter(&g.metrics, time.Now, "certrefresh"),
	}
	return g
}

// keys returns the names under wechatpay_keys, sorted.
func (g *rig) keys(t *testing.T) []string {
	t.Helper()
	m, err := merchant.Parse([][]byte{g.shelf.documents["merchant"]})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range m.WeChatPayKeys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func certificate(t testing.TB, from, to time.Time) *wechatpaysim.Certificate {
	t.Helper()
	c, err := wechatpaysim.GenerateCertificate(rand.Reader, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func list(k *wechatpaysim.Keys, c ...*wechatpaysim.Certificate) { k.Certificates = c }

// TestRefresh plays a run against the simulator.
func TestRefresh(t *testing.T) {
	now := time.Now()
	renewed := certificate(t, now.Add(-time.Hour), now.AddDate(5, 0, 0).Add(time.Hour))
	expired := certificate(t, now.AddDate(-5, 0, 0), now.Add(-time.Hour))
	older := certificate(t, now.AddDate(-6, 0, 0), now.AddDate(-1, 0, 0))
	early := certificate(t, now.Add(time.Hour), now.AddDate(5, 0, 0))
	own := func(w *fixture.World) string { return w.Identity.CertificateSerial }
	for name, row := range map[string]struct {
		secret func(*fixture.World)
		keys   func(*wechatpaysim.Keys)
		want   func(*fixture.World) []string // names under wechatpay_keys afterwards
		writes int
		level  string
		log    []string
		days   string // in the metric, "" for none
		fails  string // part of the error, "" for none
	}{
		"nothing new": {
			want: func(w *fixture.World) []string { return []string{own(w)} }, level: "INFO", days: "1825",
		},
		"a new certificate": {
			keys:   func(k *wechatpaysim.Keys) { list(k, k.Certificates[0], renewed) },
			want:   func(w *fixture.World) []string { return []string{own(w), renewed.Serial} },
			writes: 1, level: "INFO", log: []string{`"certificates_added":"` + renewed.Serial + `"`}, days: "1826",
		},
		"the first download": {
			secret: func(w *fixture.World) { w.Merchant.WeChatPayKeys = nil },
			want:   func(w *fixture.World) []string { return []string{own(w)} },
			writes: 1, level: "INFO", log: []string{`"certificates_added":"`}, days: "1825",
		},
		"signed with the new one, which is not known": {
			keys:   func(k *wechatpaysim.Keys) { list(k, renewed, k.Certificates[0]) },
			want:   func(w *fixture.World) []string { return []string{own(w), renewed.Serial} },
			writes: 1, level: "INFO", days: "1826",
		},
		"an expired one in the secret": {
			secret: func(w *fixture.World) { w.Merchant.WeChatPayKeys[expired.Serial] = expired.PEM },
			want:   func(w *fixture.World) []string { return []string{own(w)} },
			writes: 1, level: "INFO", log: []string{`"certificates_dropped":"` + expired.Serial + `"`}, days: "1825",
		},
		"the last one has expired, and a new one has come": {
			secret: func(w *fixture.World) { w.Merchant.WeChatPayKeys = map[string]string{expired.Serial: expired.PEM} },
			want:   func(w *fixture.World) []string { return []string{own(w)} },
			writes: 1, level: "INFO", log: []string{`"certificates_dropped":"` + expired.Serial + `"`}, days: "1825",
		},
		"the expired one is to sign answers": {
			secret: func(w *fixture.World) {
				w.Merchant.WeChatPayKeys[expired.Serial] = expired.PEM
				w.Merchant.ResponseKeyID = expired.Serial
			},
			want:  func(w *fixture.World) []string { return []string{own(w), expired.Serial} },
			level: "WARN", log: []string{"response_key_id"}, days: "-1",
		},
		"a public key beside certificates": {
			secret: func(w *fixture.World) {
				w.Merchant.WeChatPayKeys[w.Identity.PublicKeyID] = w.Identity.PublicKeyPEM
				w.Merchant.WeChatPayKeys[expired.Serial] = expired.PEM
			},
			want:   func(w *fixture.World) []string { return []string{own(w), w.Identity.PublicKeyID} },
			writes: 1, level: "INFO", days: "1825",
		},
		"a certificate that is not valid yet is left for a later run": {
			keys:  func(k *wechatpaysim.Keys) { list(k, k.Certificates[0], early) },
			want:  func(w *fixture.World) []string { return []string{own(w)} },
			level: "WARN", log: []string{early.Serial, "not valid yet"}, days: "1825",
		},
		"an expired one on the list": {
			keys:  func(k *wechatpaysim.Keys) { list(k, k.Certificates[0], expired) },
			want:  func(w *fixture.World) []string { return []string{own(w)} },
			level: "WARN", log: []string{expired.Serial, "expired"}, days: "1825",
		},
		"none on the list can be used": {
			secret: func(w *fixture.World) {
				w.Merchant.WeChatPayKeys = map[string]string{expired.Serial: expired.PEM, older.Serial: older.PEM}
			},
			keys:  func(k *wechatpaysim.Keys) { list(k, expired) },
			want:  func(w *fixture.World) []string { return []string{expired.Serial, older.Serial} },
			level: "ERROR", days: "-1", fails: "none of the 1 platform certificates can be used",
		},
		"another certificate under the same name": {
			secret: func(w *fixture.World) { w.Merchant.WeChatPayKeys[renewed.Serial] = w.Identity.CertificatePEM },
			keys:   func(k *wechatpaysim.Keys) { list(k, k.Certificates[0], renewed) },
			want:   func(w *fixture.World) []string { return []string{own(w), renewed.Serial} },
			level:  "WARN", log: []string{"another certificate"}, days: "1825",
		},
		"the public key alone": {
			secret: func(w *fixture.World) {
				w.Merchant.WeChatPayKeys = map[string]string{w.Identity.PublicKeyID: w.Identity.PublicKeyPEM}
			},
			keys:  func(k *wechatpaysim.Keys) { k.PublicKey, k.Certificates = true, nil },
			want:  func(w *fixture.World) []string { return []string{w.Identity.PublicKeyID} },
			level: "WARN", log: []string{`"reason":"public_key_only"`, "CertificateRefresh", "RESOURCE_NOT_EXISTS"},
		},
		"the public key alone, and a certificate still in the secret": {
			keys:  func(k *wechatpaysim.Keys) { k.PublicKey, k.Certificates = true, nil },
			want:  func(w *fixture.World) []string { return []string{own(w)} },
			level: "WARN", log: []string{`"reason":"public_key_only"`},
		},
		"our signature is rejected": {
			keys:  func(k *wechatpaysim.Keys) { clear(k.MerchantKeys) },
			want:  func(w *fixture.World) []string { return []string{own(w)} },
			level: "ERROR", days: "1825", fails: "signature rejected",
		},
		"another APIv3 key than WeChat Pay's": {
			secret: func(w *fixture.World) { w.Merchant.APIv3Keys = []string{strings.Repeat("x", 32)} },
			want:   func(w *fixture.World) []string { return []string{own(w)} },
			level:  "ERROR", days: "1825", fails: "api_v3_keys",
		},
		"no APIv3 key": {
			secret: func(w *fixture.World) { w.Merchant.APIv3Keys = nil },
			want:   func(w *fixture.World) []string { return []string{own(w)} },
			level:  "ERROR", days: "1825", fails: "holds no APIv3 key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, row.secret)
			if row.keys != nil {
				if err := g.simulator.ChangeKeys(row.keys); err != nil {
					t.Fatal(err)
				}
			}
			before := bytes.Clone(g.shelf.documents["merchant"])
			err := g.handle(t.Context())
			if row.fails == "" && err != nil || row.fails != "" && (err == nil || !strings.Contains(err.Error(), row.fails)) {
				t.Errorf("got error %v, want %q", err, row.fails)
			}
			want := row.want(g.world)
			slices.Sort(want)
			if got := g.keys(t); !slices.Equal(got, want) {
				t.Errorf("got keys %q, want %q", got, want)
			}
			if g.shelf.writes != row.writes {
				t.Errorf("got %d writes, want %d", g.shelf.writes, row.writes)
			}
			if row.writes == 0 && !bytes.Equal(before, g.shelf.documents["merchant"]) {
				t.Error("the document changed without a write")
			}
			for _, part := range append(row.log, `"level":"`+row.level+`"`) {
				if !strings.Contains(g.log.String(), part) {
					t.Errorf("the log lacks %s: %s", part, g.log)
				}
			}
			if got := g.daysMetric(t); got != row.days {
				t.Errorf("got %q days in the metric, want %q", got, row.days)
			}
		})
	}
}

func (g *rig) daysMetric(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(g.metrics.String()) {
		var document map[string]any
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			t.Fatal(err)
		}
		if days, ok := document[string(telemetry.CertificateDaysLeft)]; ok {
			return string(jsontext.Value(func() []byte { b, _ := json.Marshal(days); return b }()))
		}
	}
	return ""
}

// TestOtherFieldsStay: what is not a platform certificate stays byte for byte, and stands where it stood.
func TestOtherFieldsStay(t *testing.T) {
	g := newRig(t, nil)
	expired := certificate(t, time.Now().AddDate(-5, 0, 0), time.Now().Add(-time.Hour))
	renewed := certificate(t, time.Now().Add(-time.Hour), time.Now().AddDate(5, 0, 0))
	quote := func(s string) string { return string(functest.Document(t, s)) }
	w := g.world
	head := "{\n  \"wechatpay_keys\" : {" + "\n    " + quote(expired.Serial) + ": " + quote(expired.PEM) + ",\n    " +
		quote(w.Identity.CertificateSerial) + ": " + quote(w.Identity.CertificatePEM)
	tail := "\n  },\n  \"log_hash_key\":\"\\u6d4b\\/x\",\n\t\"mchid\": \"10000098\", \"mode\":\"partner\",\"appid\" :\"wxcbda96de0b165486\",\n  \"api_v3_keys\":[ " +
		quote(w.Merchant.APIv3Keys[0]) + " ]\n}\n"
	g.shelf.documents["merchant"] = []byte(head + tail)
	if err := g.simulator.ChangeKeys(func(k *wechatpaysim.Keys) { list(k, k.Certificates[0], renewed) }); err != nil {
		t.Fatal(err)
	}
	if err := g.handle(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"wechatpay_keys\" : {\n    " + quote(w.Identity.CertificateSerial) + ": " + quote(w.Identity.CertificatePEM) +
		",\n    " + quote(renewed.Serial) + ": " + quote(renewed.PEM) + tail
	if got := string(g.shelf.documents["merchant"]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestOvertaken: who edited the secret meanwhile loses nothing.
func TestOvertaken(t *testing.T) {
	g := newRig(t, func(w *fixture.World) { w.Merchant.WeChatPayKeys = nil })
	newKey := strings.Repeat("k", 32)
	g.log.Never(newKey)
	g.shelf.overtake = func(d []byte) []byte {
		next, err := jsonedit.Add(d, "/api_v2_keys/0", newKey)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	if err := g.handle(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _ := jsonedit.Get(g.shelf.documents["merchant"], "/api_v2_keys/0")
	if string(first) != `"`+newKey+`"` || len(g.keys(t)) != 1 || g.shelf.writes != 1 {
		t.Errorf("got %d certificates, %d writes", len(g.keys(t)), g.shelf.writes)
	}
}

// TestFaults: an answer that is not WeChat Pay's, or none, changes nothing.
func TestFaults(t *testing.T) {
	for _, kind := range []wechatpaysim.FaultKind{
		wechatpaysim.FaultNoSignature, wechatpaysim.FaultWrongSignature, wechatpaysim.FaultTruncated, wechatpaysim.FaultEncryption,
		wechatpaysim.FaultStale, wechatpaysim.FaultUnknownSerial, wechatpaysim.FaultProbe, wechatpaysim.FaultSystemError,
	} {
		t.Run(string(kind), func(t *testing.T) {
			g := newRig(t, func(w *fixture.World) { w.Merchant.WeChatPayKeys = nil })
			if err := g.simulator.Inject(wechatpaysim.Fault{Kind: kind}); err != nil {
				t.Fatal(err)
			}
			if err := g.handle(t.Context()); err == nil || g.shelf.writes != 0 {
				t.Errorf("got %v and %d writes, want an error and none", err, g.shelf.writes)
			}
			if !strings.Contains(g.log.String(), `"level":"ERROR"`) {
				t.Errorf("got %s", g.log)
			}
		})
	}
}

func TestSecretsOut(t *testing.T) {
	for name, row := range map[string]struct {
		breaks func(*shelf)
		text   string
	}{
		"no merchant":            {func(s *shelf) { delete(s.documents, "merchant") }, "there is no such secret"},
		"no private key":         {func(s *shelf) { delete(s.documents, "key") }, "there is no such secret"},
		"out":                    {func(s *shelf) { s.readErr = errors.New("unreachable") }, "unreachable"},
		"a merchant in no form":  {func(s *shelf) { s.documents["merchant"] = []byte(`{"mode":"x"}`) }, "the secret merchant: merchant document: /mode"},
		"a key in no form":       {func(s *shelf) { s.documents["key"] = []byte(`{}`) }, "the secret key: merchant document: /merchant_serial_no"},
		"it may not be written":  {func(s *shelf) { s.editErr = errors.New("AccessDeniedException") }, "the secret merchant: AccessDeniedException"},
		"it got out of its form": {func(s *shelf) { s.overtake = func([]byte) []byte { return []byte(`{"mode":"x"}`) } }, "merchant document: /mode"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(w *fixture.World) { w.Merchant.WeChatPayKeys = nil })
			row.breaks(g.shelf)
			if err := g.handle(t.Context()); err == nil || !strings.Contains(err.Error(), row.text) || g.shelf.writes != 0 {
				t.Errorf("got %v and %d writes, want %q and none", err, g.shelf.writes, row.text)
			}
		})
	}
}

type panicking struct{ downloader }

func TestPanic(t *testing.T) {
	g := newRig(t, nil)
	g.wechatPay = panicking{}
	if err := g.handle(t.Context()); err == nil || !strings.Contains(g.log.String(), "runtime error") || !strings.Contains(g.metrics.String(), `"Panics"`) {
		t.Errorf("got %v: %s %s", err, g.log, g.metrics.String())
	}
}
