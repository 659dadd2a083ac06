//go:build e2e

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/cmd/parkctl/vendorbook"
	"wechat-parking-gateway/local/fixture"
)

// console is the files that a merchant downloads, in a folder.
type console struct {
	folder      string
	publicKeyID string
	v2Key, v3   string
}

func newConsole(t *testing.T) *console {
	t.Helper()
	world, err := fixture.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0).SetBytes([]byte("12345678901234567890")), Subject: pkix.Name{CommonName: fixture.MchID},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := &console{folder: t.TempDir(), publicKeyID: world.Identity.PublicKeyID, v2Key: world.Merchant.APIv2Keys[0], v3: world.Merchant.APIv3Keys[0]}
	for name, text := range map[string]string{
		"apiclient_key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"apiclient_cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
		"pub_key.pem":        world.Identity.PublicKeyPEM, "platform.pem": world.Identity.CertificatePEM,
		"v2.txt": c.v2Key + "\n", "v3.txt": c.v3 + "\r\n", "short.txt": "tooshort\n", "other_key.pem": world.MerchantKey.PrivateKey,
	} {
		if err := os.WriteFile(filepath.Join(c.folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestSecretInit: the console's files become secrets that pass the check; what exists is overwritten only by --force, and
// vendors never.
func TestSecretInit(t *testing.T) {
	c, w := newConsole(t), newWorld(t, nil)
	t.Chdir(c.folder)
	args := []string{
		"secret", "init", "--mode", "partner", "--mchid", fixture.MchID, "--appid", fixture.AppID, "--public-key", c.publicKeyID + "=pub_key.pem",
		"--platform-cert", "platform.pem", "--api-v2-key-file", "v2.txt", "--api-v3-key-file", "v3.txt",
	}
	if out := w.ok(append(args, "--dry-run")...); !strings.Contains(out, "0 errors, 0 warnings") || !strings.Contains(out, "both live") {
		t.Errorf("got %s", out)
	}
	if got := w.parkctl("secret", "check"); got.status != failedStatus || !strings.Contains(got.out, "3 errors") {
		t.Errorf("got %+v, want a dry run to have stored nothing", got)
	}
	w.ok(args...)
	var stored fixture.Merchant
	if err := json.Unmarshal([]byte(w.get(w.state.MerchantSecret)), &stored); err != nil {
		t.Fatal(err)
	}
	if stored.APIv2Keys[0] != c.v2Key || stored.APIv3Keys[0] != c.v3 || len(stored.WeChatPayKeys) != 2 || len(stored.LogHashKey) < 20 {
		t.Error("the stored document is not what the files say")
	}
	check := w.ok("secret", "check", "--cert", "apiclient_cert.pem")
	if !strings.Contains(check, "0 errors, 0 warnings") || strings.Contains(check, c.v2Key) || strings.Contains(check, "BEGIN") {
		t.Errorf("got %s", check)
	}

	if got := w.parkctl(args...); got.status != failedStatus || !strings.Contains(got.log, "--force") {
		t.Errorf("got %+v, want what exists not overwritten", got)
	}
	w.ok("vendor", "add", "acme", "--sub-mchid", "1900000109", "--vehicle", "--out", "acme.env")
	w.ok(append(args, "--force", "--yes")...)
	var again fixture.Merchant
	if err := json.Unmarshal([]byte(w.get(w.state.MerchantSecret)), &again); err != nil || again.LogHashKey != stored.LogHashKey {
		t.Errorf("want log_hash_key kept: with another, older log lines are not found (%v)", err)
	}
	if len(w.vendors()) != 1 {
		t.Error("the vendors were overwritten")
	}
}

// TestSecretInitFromStdin: keys come in on standard input, line by line.
func TestSecretInitFromStdin(t *testing.T) {
	c, w := newConsole(t), newWorld(t, nil)
	t.Chdir(c.folder)
	got := parkctlWith(t, t.Context(), strings.NewReader(c.v2Key+"\n"+c.v3+"\n"), "secret", "init", "--mode", "direct", "--mchid", fixture.MchID,
		"--appid", fixture.AppID, "--public-key", c.publicKeyID+"=pub_key.pem", "--api-v2-key-file", "-", "--api-v3-key-file", "-", "--json", "--root", w.root)
	if got.status != 0 || strings.Count(got.out, `"result":"created"`) != 3 {
		t.Fatalf("got %+v, want three secrets created", got)
	}
	if stored := w.get(w.state.MerchantSecret); !strings.Contains(stored, c.v2Key) || !strings.Contains(stored, c.v3) {
		t.Error("the keys are not those of standard input")
	}
}

// TestSecretInitRefusals: what is wrong with a file or a flag is named, and nothing is stored.
func TestSecretInitRefusals(t *testing.T) {
	c := newConsole(t)
	t.Chdir(c.folder)
	const good = "--mode partner --mchid 10000098 --appid wxcbda96de0b165486 "
	key := "--public-key " + c.publicKeyID + "=pub_key.pem "
	for _, row := range []struct {
		name, args, want string
		status           int
	}{
		{"no mode", "--mchid 1 --appid wx1", "--mode is missing", usageStatus},
		{"a private key of another certificate", good + key + "--private-key other_key.pem", "not the certificate's", failedStatus},
		{"a certificate for the private key", good + key + "--private-key apiclient_cert.pem", "CERTIFICATE", failedStatus},
		{"a file that is not there", good + key + "--cert nowhere.pem", "nowhere.pem", failedStatus},
		{"a truncated public key id", good + "--public-key PUB_KEY_ID_0000000000000024=pub_key.pem", "34 digits", failedStatus},
		{"a serial for a public key id", good + "--public-key 408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB=pub_key.pem", "PUB_KEY_ID_", failedStatus},
		{"a public key without its id", good + "--public-key pub_key.pem", "ID=FILE", usageStatus},
		{"a short APIv2 key", good + key + "--api-v2-key-file short.txt", "32 characters, this one 8", failedStatus},
		{"a short APIv3 key", good + key + "--api-v3-key-file short.txt", "32 bytes, this one 8", failedStatus},
		{"the merchant's certificate for WeChat Pay's", good + "--api-v3-key-file v3.txt --platform-cert apiclient_cert.pem", "merchant_certificate", failedStatus},
		{"a mode that does not exist", "--mode proxy --mchid 10000098 --appid wxcbda96de0b165486 " + key, "/mode", failedStatus},
		{"nothing on standard input", good + key + "--api-v2-key-file -", "standard input", usageStatus},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, nil)
			got := w.parkctl(append([]string{"secret", "init"}, strings.Fields(row.args)...)...)
			if got.status != row.status || !strings.Contains(got.out+got.log, row.want) || strings.Contains(got.out+got.log, "tooshort") {
				t.Errorf("got %+v, want status %d and %q", got, row.status, row.want)
			}
			if got := w.parkctl("secret", "check"); !strings.Contains(got.out, "3 errors") {
				t.Errorf("something was stored: %+v", got)
			}
		})
	}
}

// TestSecretCheck: the check of what is stored says for machines what it says for people, and ends with 1 for an error alone.
func TestSecretCheck(t *testing.T) {
	world, err := fixture.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	world.Vendors.Vendors[fixture.VendorID].Merchants = []fixture.VendorMerchant{}
	document := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	w := newWorld(t, map[string]string{"merchant": document(world.Merchant), "merchant-key": document(world.MerchantKey), "vendors": document(world.Vendors)})
	got := w.parkctl("secret", "check", "--json")
	if got.status != 0 || strings.Count(got.out, "\n") != 1 || !strings.Contains(got.out, `"code":"no_merchants"`) || !strings.Contains(got.out, `"field":"/vendors/demo-parking/merchants"`) {
		t.Errorf("got %+v, want one warning and status 0", got)
	}
	world.Merchant.APIv2Keys[0] = "short"
	broken := newWorld(t, map[string]string{"merchant": document(world.Merchant), "merchant-key": document(world.MerchantKey), "vendors": vendorbook.Empty})
	got = broken.parkctl("secret", "check")
	if got.status != failedStatus || got.log != "" || !strings.Contains(got.out, "/api_v2_keys/0 [key_length]") || strings.Contains(got.out, "\x1b[") {
		t.Errorf("got %+v, want status 1, and no colours in a pipe", got)
	}
}
