//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/jsonedit"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/secretstore"
)

// certificateStack is that of a merchant that verifies with certificates alone.
var certificateStack = sync.OnceValues(func() (*gateway, error) {
	g, err := startStack(func(w *fixture.World) {
		w.Merchant.WeChatPayKeys = map[string]string{w.Identity.CertificateSerial: w.Identity.CertificatePEM}
		w.Merchant.ResponseKeyID = ""
	}, nil)
	if err != nil {
		return nil, err
	}
	return g, g.WeChatPay.ChangeKeys(func(k *wechatpaysim.Keys) { k.PublicKey = false })
})

// TestCertRefresh runs the compiled function, as its schedule does. The steps go on from one another.
func TestCertRefresh(t *testing.T) {
	t.Parallel()
	g, err := certificateStack()
	if err != nil {
		t.Fatal(err)
	}
	store := secretstore.New(g.secrets)
	read := func() secretstore.Version {
		t.Helper()
		v, err := store.Read(t.Context(), g.World.MerchantSecret)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	refresh := func() stack.Refreshed {
		t.Helper()
		result, err := g.RefreshCertificates(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	own := g.World.Identity.CertificateSerial
	first := read()

	if result := refresh(); result.Error != "" || !slices.Equal(result.WeChatPayKeys, []string{own}) || read().ID != first.ID {
		t.Errorf("with nothing new: got %+v, and version %s after %s, want none written", result, read().ID, first.ID)
	}

	// The sandbox that serves callbacks is up, and does not know the certificate that comes now.
	g.warmCallbacks(t)
	issued, err := g.IssueCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []wechatpaysim.FaultKind{
		wechatpaysim.FaultNoSignature, wechatpaysim.FaultWrongSignature, wechatpaysim.FaultEncryption, wechatpaysim.FaultTruncated,
		wechatpaysim.FaultStale, wechatpaysim.FaultUnknownSerial, wechatpaysim.FaultSystemError,
	} {
		if err := g.WeChatPay.Inject(wechatpaysim.Fault{Kind: kind, Route: wechatpaysim.RouteCertificates}); err != nil {
			t.Fatal(err)
		}
		if result := refresh(); result.Error == "" || read().ID != first.ID {
			t.Errorf("%s: got %+v, want an error and nothing written", kind, result)
		}
		g.WeChatPay.ClearFaults()
	}

	// Twenty people edit the secret while it runs.
	var people sync.WaitGroup
	for i := range 20 {
		people.Go(func() {
			key := newKey()
			suite.private.add(key)
			if _, err := store.Edit(t.Context(), g.World.MerchantSecret, func(d []byte) ([]byte, error) {
				return jsonedit.Add(d, "/api_v3_keys/-", key)
			}); err != nil {
				t.Errorf("person %d: %v", i, err)
			}
		})
	}
	result := refresh()
	people.Wait()
	want := []string{own, issued.SerialNo}
	slices.Sort(want)
	if result.Error != "" || !slices.Equal(keysOf(t, read()), want) {
		t.Errorf("beside twenty others: got %+v and %q, want %q", result, keysOf(t, read()), want)
	}
	if m, err := merchant.Parse([][]byte{read().Document}); err != nil || len(m.V3Keys) != 21 {
		t.Errorf("of the others' keys %d are there, %v, want 20 and the one before", len(m.V3Keys), err)
	}

	// A callback under the new certificate is taken by the sandbox that was there before.
	if a, err := deliveredTo(t, g, built(t)(g.WeChatPay.SignWith(payment(t, g), issued.SerialNo))); err != nil || a.status != 204 {
		t.Errorf("a callback under the new certificate: got %d, %v", a.status, err)
	}
	if got := g.Host.Stats(notifyCallback).ColdStarts; got != 1 {
		t.Errorf("got %d sandboxes, want the one that was there before", got)
	}

	// What expired goes, once something is left to go by.
	expired, err := wechatpaysim.GenerateCertificate(rand.Reader, time.Now().AddDate(-5, 0, 0), time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	before, err := store.Edit(t.Context(), g.World.MerchantSecret, func(d []byte) ([]byte, error) {
		return jsonedit.Add(d, jsontext.Pointer("/wechatpay_keys").AppendToken(expired.Serial), expired.PEM)
	})
	if err != nil {
		t.Fatal(err)
	}
	if result := refresh(); result.Error != "" || !slices.Equal(result.WeChatPayKeys, want) {
		t.Errorf("with an expired one: got %+v, want %q", result, want)
	}
	without, err := jsonedit.Remove(before.Version.Document, jsontext.Pointer("/wechatpay_keys").AppendToken(expired.Serial))
	if err != nil || !bytes.Equal(read().Document, without) {
		t.Errorf("it changed more than the expired certificate, %v", err)
	}

	// A merchant that has moved to the public key has no certificates.
	last := read()
	if err := g.WeChatPay.ChangeKeys(func(k *wechatpaysim.Keys) { k.PublicKey, k.Certificates, k.Callbacks = true, nil, nil }); err != nil {
		t.Fatal(err)
	}
	if result := refresh(); result.Error != "" || read().ID != last.ID {
		t.Errorf("without certificates: got %+v, want no error and nothing written", result)
	}
	suite.log.wait(t, `"reason":"public_key_only"`)
}

func keysOf(t *testing.T, v secretstore.Version) []string {
	t.Helper()
	m, err := merchant.Parse([][]byte{v.Document})
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

// warmCallbacks starts the function that serves callbacks.
func (g *gateway) warmCallbacks(t *testing.T) {
	t.Helper()
	if a, err := deliveredTo(t, g, payment(t, g)); err != nil || a.status != 204 {
		t.Fatalf("a callback: got %d, %v", a.status, err)
	}
}
