//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// uses are what proves that a function has the right documents.
var uses = map[string]struct {
	function string
	// warm starts the function without a need for any key or vendor.
	warm func(t *testing.T, g *gateway) int
	use  func(t *testing.T, g *gateway) int
	ok   int
}{
	"parkings": {parkingSync, idle(demovendor.Parkings), busy(demovendor.Parkings), 204},
	"entry":    {vehicleNotify, idle(demovendor.Entry), busy(demovendor.Entry), 200},
	"V2 callback": {notifyCallback, idleCallback, func(t *testing.T, g *gateway) int {
		c := plateState(fixture.VendorID, fixture.PlateState("BLOCKED", "", ""))(t, g)
		a, err := deliveredTo(t, g, c)
		if err != nil || !bytes.Contains(a.body, []byte("SUCCESS")) {
			t.Errorf("got %s, %v, want success", a.body, err)
		}
		return a.status
	}, 200},
	"V3 callback": {notifyCallback, idleCallback, func(t *testing.T, g *gateway) int {
		a, err := deliveredTo(t, g, payment(t, g))
		if err != nil {
			t.Error(err)
		}
		return a.status
	}, 204},
	"V3 callback signed with the certificate": {notifyCallback, idleCallback, func(t *testing.T, g *gateway) int {
		a, err := deliveredTo(t, g, built(t)(g.WeChatPay.SignWith(payment(t, g), g.World.Identity.CertificateSerial)))
		if err != nil {
			t.Error(err)
		}
		return a.status
	}, 204},
}

func idle(route string) func(*testing.T, *gateway) int {
	return func(t *testing.T, g *gateway) int {
		c := g.newCall(route)
		header("Webhook-Id")(c)
		if a := c.do(t); a.status != 401 {
			t.Fatalf("got status %d, want 401", a.status)
		}
		return 0
	}
}

func idleCallback(t *testing.T, g *gateway) int {
	c := payment(t, g)
	c.Header.Del("Wechatpay-Nonce")
	if a, err := deliveredTo(t, g, c); err != nil || a.status != 400 {
		t.Fatalf("got status %d, %v, want 400", a.status, err)
	}
	return 0
}

func busy(route string) func(*testing.T, *gateway) int {
	return func(t *testing.T, g *gateway) int { return g.newCall(route).do(t).status }
}

// TestKeysInMotion: what is added or rotated in Secrets Manager while a function runs is found when it is needed, without
// a restart. Each row starts the function with documents that lack what is then put there.
func TestKeysInMotion(t *testing.T) {
	g := outageLanes(t)
	w := g.World
	otherKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&otherKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	otherPrivate := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	otherPublic := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	suite.private.add(otherPrivate, otherPublic)

	for _, row := range []struct {
		name   string
		before func(old *fixture.World)
		uses   []string
	}{
		{"a vendor added", func(old *fixture.World) { delete(old.Vendors.Vendors, fixture.VendorID) }, []string{"parkings", "entry", "V2 callback", "V3 callback"}},
		{"a vendor's request secret rotated", func(old *fixture.World) {
			old.Vendors.Vendors[fixture.VendorID].RequestSecrets = []string{fixture.NewSecret()}
		}, []string{"parkings", "entry"}},
		{"a vendor's merchant added", func(old *fixture.World) {
			for _, v := range old.Vendors.Vendors {
				v.Merchants = []fixture.VendorMerchant{{SubMchID: "1900009998"}}
			}
		}, []string{"V2 callback", "V3 callback"}},
		{"WeChat Pay's public key added", func(old *fixture.World) {
			delete(old.Merchant.WeChatPayKeys, w.Identity.PublicKeyID)
			old.Merchant.ResponseKeyID = ""
		}, []string{"V3 callback"}},
		{"a platform certificate added", func(old *fixture.World) {
			delete(old.Merchant.WeChatPayKeys, w.Identity.CertificateSerial)
		}, []string{"V3 callback signed with the certificate"}},
		{"WeChat Pay's public key corrected", func(old *fixture.World) {
			old.Merchant.WeChatPayKeys[w.Identity.PublicKeyID] = otherPublic
		}, []string{"parkings", "V3 callback"}},
		{"the APIv2 key rotated", func(old *fixture.World) { old.Merchant.APIv2Keys = []string{newKey()} }, []string{"entry", "V2 callback"}},
		{"the first APIv2 key added", func(old *fixture.World) { old.Merchant.APIv2Keys = nil }, []string{"V2 callback"}},
		{"the APIv3 key rotated", func(old *fixture.World) { old.Merchant.APIv3Keys = []string{newKey()} }, []string{"V3 callback"}},
		{"the merchant's private key rotated", func(old *fixture.World) { old.MerchantKey.PrivateKey = otherPrivate }, []string{"parkings"}},
		{"the merchant's certificate renewed", func(old *fixture.World) {
			old.MerchantKey = fixture.MerchantKey{SerialNo: "508B07E79B8269FEC3D5D3E6AB8ED163A6A380DB", PrivateKey: otherPrivate}
		}, []string{"parkings"}},
	} {
		for _, name := range row.uses {
			t.Run(row.name+", "+name, func(t *testing.T) {
				u := uses[name]
				old := *w
				old.Merchant, old.MerchantKey, old.Vendors = copyOf(t, w.Merchant), copyOf(t, w.MerchantKey), copyOf(t, w.Vendors)
				row.before(&old)
				g.putWorld(t, &old)
				t.Cleanup(func() { g.putWorld(t, w); g.Host.Kill(u.function) })
				g.Host.Kill(u.function)
				before := g.Host.Stats(u.function).ColdStarts
				u.warm(t, g)
				g.putWorld(t, w)
				if got := u.use(t, g); got != u.ok {
					t.Errorf("got status %d, want %d", got, u.ok)
				}
				if got := g.Host.Stats(u.function).ColdStarts - before; got != 1 {
					t.Errorf("the function was started %d times, want once", got)
				}
				g.queue.take(t)
			})
		}
	}
}

// putWorld stores the three secrets.
func (g *gateway) putWorld(t *testing.T, w *fixture.World) {
	t.Helper()
	g.putSecret(t, w, w.MerchantSecret, w.Merchant)
	g.putSecret(t, w, w.MerchantKeySecret, w.MerchantKey)
	g.putSecret(t, w, w.VendorsSecret, w.Vendors)
}

// TestRefreshIsBounded: whoever knocks with unknown names and bad signatures makes a sandbox read its secrets once more,
// not each time; and what is plainly wrong never does.
func TestRefreshIsBounded(t *testing.T) {
	g := outageLanes(t)
	const knocks = 20
	storm := func(function string, send func()) int {
		g.Host.Kill(function)
		send() // starts the sandbox, and may refresh
		before := g.outages.calls(secretsManager)
		for range knocks {
			send()
		}
		return g.outages.calls(secretsManager) - before
	}
	forge := func(how wechatpaysim.Forgery) func() {
		return func() {
			if _, err := deliveredTo(t, g, forgedPayment(how)(t, g)); err != nil {
				t.Fatal(err)
			}
		}
	}
	knock := func(change func(*call)) func() {
		return func() {
			c := g.newCall(demovendor.Parkings)
			change(c)
			c.do(t)
		}
	}
	// The first knock has used up the refresh of the secret in question; another secret's may still be due once.
	for name, got := range map[string]int{
		"unknown vendors":   storm(parkingSync, knock(as(unknownVendor))),
		"bad signatures":    storm(parkingSync, knock(func(c *call) { c.secret = fixture.NewSecret() })),
		"missing headers":   storm(parkingSync, knock(header("Webhook-Id"))),
		"old calls":         storm(parkingSync, knock(sentAt(-time.Hour))),
		"forged callbacks":  storm(notifyCallback, forge(wechatpaysim.ForgeByte)),
		"unknown serials":   storm(notifyCallback, forge(wechatpaysim.ForgeSerial)),
		"probes":            storm(notifyCallback, forge(wechatpaysim.ForgeProbe)),
		"stale callbacks":   storm(notifyCallback, forge(wechatpaysim.ForgeStale)),
		"broken base64":     storm(notifyCallback, forge(wechatpaysim.ForgeBase64)),
		"undecryptable":     storm(notifyCallback, forge(wechatpaysim.ForgeEncryption)),
		"nobody's merchant": storm(notifyCallback, func() { foreignPayment(t, g) }),
	} {
		if got != 0 {
			t.Errorf("%s: Secrets Manager was asked %d times more by %d of them, want never", name, got, knocks)
		}
	}
	for name, row := range map[string]struct {
		function string
		send     func()
	}{
		"missing headers": {parkingSync, knock(header("Webhook-Id"))}, "old calls": {parkingSync, knock(sentAt(-time.Hour))},
		"probes": {notifyCallback, forge(wechatpaysim.ForgeProbe)}, "stale callbacks": {notifyCallback, forge(wechatpaysim.ForgeStale)},
		"broken base64": {notifyCallback, forge(wechatpaysim.ForgeBase64)},
	} {
		g.Host.Kill(row.function)
		before := g.outages.calls(secretsManager)
		row.send()
		secrets := 2 // merchant and vendors
		if row.function == parkingSync {
			secrets = 3 // and the private key
		}
		if got := g.outages.calls(secretsManager) - before; got != secrets {
			t.Errorf("%s: Secrets Manager was asked %d times, want the %d of the start", name, got, secrets)
		}
	}
}

func foreignPayment(t *testing.T, g *gateway) {
	t.Helper()
	if _, err := deliveredTo(t, g, paid(func(p *wechatpaysim.MallTransaction) { p.MchID = "1900009999" })(t, g)); err != nil {
		t.Fatal(err)
	}
}
