package rotation

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// rotations are the scripts, in an order in which each goes on from the one before.
func (r *run) rotations(expired *wechatpaysim.Certificate) []rotation {
	if r.Leaked {
		return []rotation{r.apiV2Key(), r.apiV3Key(), r.merchantCertificate()}
	}
	renewed := new(wechatpaysim.Certificate)
	return []rotation{
		r.requestSecret(), r.webhookSecret(), r.apiV2Key(), r.apiV3Key(), r.merchantCertificate(),
		r.platformCertificates(expired, renewed), r.publicKey(renewed),
	}
}

// requestSecret changes what the vendor signs its calls with.
func (r *run) requestSecret() rotation {
	old := r.vendor.Load()
	return rotation{
		name: "vendor's request secret",
		steps: []step{
			r.parkctl("vendor", "rotate", fixture.VendorID, "--only", "request", "--out", "request.gateway.env"),
			{text: "the vendor signs with the new secret", do: func(ctx context.Context) error {
				v, err := r.storedVendor(ctx)
				if err != nil {
					return err
				}
				vendor, err := demovendor.New(fixture.VendorID, v.RequestSecrets[0], r.stack.URL, time.Now)
				if err == nil {
					r.vendor.Store(vendor)
				}
				return err
			}},
			r.parkctl("vendor", "rotate", fixture.VendorID, "--only", "request", "--finish", "--yes"),
		},
		proof: func(ctx context.Context) (string, error) {
			answer, err := old.Call(ctx, demovendor.Parkings, "rotation-old-secret", fixture.ParkingBody("IN", time.Now()))
			if err != nil || answer.Status != http.StatusUnauthorized {
				return "", fmt.Errorf("a call signed with the old secret: status %d, %v, want 401", answer.Status, err)
			}
			return "a call signed with the old secret is answered 401", nil
		},
	}
}

// webhookSecret changes what the vendor verifies its events with.
func (r *run) webhookSecret() rotation {
	return rotation{
		name: "vendor's webhook secret",
		steps: []step{
			r.parkctl("vendor", "rotate", fixture.VendorID, "--only", "webhook", "--out", "webhook.gateway.env"),
			{text: "the vendor verifies with the new secret", do: func(ctx context.Context) error {
				v, err := r.storedVendor(ctx)
				if err != nil {
					return err
				}
				return r.stack.Webhooks.Use(v.WebhookSecrets[0])
			}},
			r.parkctl("vendor", "rotate", fixture.VendorID, "--only", "webhook", "--finish", "--yes"),
		},
		proof: func(ctx context.Context) (string, error) {
			if err := r.flow(ctx); err != nil {
				return "", err
			}
			all := r.stack.Webhooks.Deliveries()
			if n := len(strings.Fields(all[len(all)-1].Header.Get("Webhook-Signature"))); n != 1 {
				return "", fmt.Errorf("the latest event has %d signatures, want 1", n)
			}
			return "events carry the new secret's signature alone", nil
		},
	}
}

// apiV2Key changes the key of entry notifications and plate callbacks. The console holds one, and takes the new one at once.
// The list has the keys in the order in which WeChat Pay takes them: a call that the change overtakes, whose try with the old
// key is rejected, then has the new one before it. The other way round the change may fall between the two tries, and both
// are rejected.
func (r *run) apiV2Key() rotation {
	key := newKey()
	return rotation{
		name: "APIv2 key",
		steps: []step{
			r.file("new-v2.txt", key),
			r.parkctl("secret", "key", "add", "apiv2", "--last", "--file", "new-v2.txt"),
			r.console("set the APIv2 key of new-v2.txt", func(k *wechatpaysim.Keys) { k.APIv2Keys = []string{key} }),
			r.parkctl("secret", "key", "promote", "apiv2", "2"),
			r.parkctl("secret", "key", "remove", "apiv2", "2", "--yes"),
		},
		proof: func(ctx context.Context) (string, error) {
			m, err := r.storedMerchant(ctx)
			if err != nil || len(m.APIv2Keys) != 1 || m.APIv2Keys[0] != key {
				return "", fmt.Errorf("the secret holds %d APIv2 keys, %v, want the new one", len(m.APIv2Keys), err)
			}
			// After the change the old key was tried first; now nothing is rejected any more.
			heard := r.stack.WeChatPay.Requests()
			mark := heard[len(heard)-1].Seq
			if err := r.flow(ctx); err != nil {
				return "", err
			}
			n := 0
			for _, q := range r.stack.WeChatPay.Requests() {
				if q.Seq <= mark || q.Route != wechatpaysim.RouteVehiclePartner {
					continue
				}
				if n++; !q.Accepted {
					return "", fmt.Errorf("WeChat Pay rejects an entry notification: %s", q.Reason)
				}
			}
			return fmt.Sprintf("WeChat Pay takes every entry notification at the first try (%d of %d)", n, n), nil
		},
	}
}

// apiV3Key changes the key that callbacks are encrypted with.
func (r *run) apiV3Key() rotation {
	key := newKey()
	return rotation{
		name: "APIv3 key",
		steps: []step{
			r.file("new-v3.txt", key),
			r.parkctl("secret", "key", "add", "apiv3", "--file", "new-v3.txt"),
			r.console("set the APIv3 key of new-v3.txt", func(k *wechatpaysim.Keys) { k.APIv3Key = key }),
			r.parkctl("secret", "key", "remove", "apiv3", "2", "--yes"),
		},
		proof: func(ctx context.Context) (string, error) {
			m, err := r.storedMerchant(ctx)
			if err != nil || len(m.APIv3Keys) != 1 || m.APIv3Keys[0] != key {
				return "", fmt.Errorf("the secret holds %d APIv3 keys, %v, want the new one", len(m.APIv3Keys), err)
			}
			return "callbacks are decrypted with the new key alone", r.flow(ctx)
		},
	}
}

// merchantCertificate changes the private key that APIv3 requests are signed with, and its certificate's serial number.
func (r *run) merchantCertificate() rotation {
	key, certificate, serial, err := newMerchantCertificate()
	failed := func(context.Context) error { return err }
	if err != nil {
		return rotation{name: "merchant certificate", steps: []step{{text: "make a certificate", do: failed}}}
	}
	private, public := pemOf("PRIVATE KEY", key), pemOf("CERTIFICATE", certificate)
	return rotation{
		name: "merchant certificate",
		steps: []step{
			{text: "merchant console: apply for a new API certificate; the old one stays valid", do: func(context.Context) error {
				parsed, err := x509.ParseCertificate(certificate)
				if err == nil {
					err = r.stack.WeChatPay.ChangeKeys(func(k *wechatpaysim.Keys) { k.MerchantKeys[serial] = parsed.PublicKey.(*rsa.PublicKey) })
				}
				return errors.Join(err, r.write("apiclient_key.pem", private), r.write("apiclient_cert.pem", public))
			}},
			r.parkctl("secret", "merchant-key", "--private-key", "apiclient_key.pem", "--cert", "apiclient_cert.pem"),
			r.console("revoke the old certificate", func(k *wechatpaysim.Keys) {
				k.MerchantKeys = map[string]*rsa.PublicKey{serial: k.MerchantKeys[serial]}
			}),
		},
		proof: func(ctx context.Context) (string, error) {
			if err := r.flow(ctx); err != nil {
				return "", err
			}
			q, err := r.latest(wechatpaysim.RouteParkings)
			if err != nil || !q.Accepted || !strings.Contains(q.Header.Get("Authorization"), `serial_no="`+serial+`"`) {
				return "", fmt.Errorf("the latest request is not taken under the new certificate: %s, %w", q.Reason, err)
			}
			return "requests are signed under the new serial number", nil
		},
	}
}

// platformCertificates follows WeChat Pay, which renews its certificate: certrefresh does all that is to be done.
func (r *run) platformCertificates(expired, renewed *wechatpaysim.Certificate) rotation {
	old := r.stack.World.Identity.Certificate()
	certificate, err := newCertificate(time.Now().Add(-time.Hour), time.Now().AddDate(5, 0, 0))
	if err != nil {
		return rotation{name: "platform certificates", steps: []step{{text: "make a certificate", do: func(context.Context) error { return err }}}}
	}
	*renewed = *certificate
	return rotation{
		name: "platform certificates",
		steps: []step{
			r.weChatPay("lists a new platform certificate and signs with the old one", func(k *wechatpaysim.Keys) {
				k.Certificates = []*wechatpaysim.Certificate{old, renewed}
			}),
			{text: "the schedule invokes certrefresh", waits: true, do: r.refresh},
			r.weChatPay("signs half of its callbacks with the new one", func(k *wechatpaysim.Keys) {
				k.Callbacks = []wechatpaysim.CallbackShare{{Serial: renewed.Serial, PerMille: 500}, {Serial: old.Serial, PerMille: 500}}
			}),
			r.weChatPay("signs everything with the new one", func(k *wechatpaysim.Keys) {
				k.Certificates, k.Callbacks = []*wechatpaysim.Certificate{renewed}, nil
			}),
		},
		proof: func(ctx context.Context) (string, error) {
			m, err := r.storedMerchant(ctx)
			if err != nil {
				return "", err
			}
			if _, still := m.WeChatPayKeys[expired.Serial]; still || m.WeChatPayKeys[renewed.Serial] == "" {
				return "", errors.New("the secret lacks the new certificate, or still holds the expired one")
			}
			if n := r.signedBy(renewed.Serial); n == 0 {
				return "", errors.New("no callback signed with the new certificate was taken")
			}
			return fmt.Sprintf("certrefresh added %s… and dropped the expired %s…; the one before stays until it expires", renewed.Serial[:8], expired.Serial[:8]), nil
		},
	}
}

// publicKey moves from certificates to the WeChat Pay public key.
func (r *run) publicKey(renewed *wechatpaysim.Certificate) rotation {
	identity := r.stack.World.Identity
	share := func(perMille int) step {
		text := fmt.Sprintf("signs %g %% of its callbacks with the public key", float64(perMille)/10)
		return r.weChatPay(text, func(k *wechatpaysim.Keys) {
			k.Callbacks = []wechatpaysim.CallbackShare{{Serial: identity.PublicKeyID, PerMille: perMille}, {Serial: renewed.Serial, PerMille: 1000 - perMille}}
		})
	}
	var later int
	return rotation{
		name: "certificates to public key",
		steps: []step{
			{text: "merchant console: apply for the WeChat Pay public key and download pub_key.pem", do: func(context.Context) error {
				return r.write("pub_key.pem", identity.PublicKeyPEM)
			}},
			r.parkctl("secret", "key", "add", "wechatpay", identity.PublicKeyID, "--file", "pub_key.pem"),
			r.console("start the switch to the public key", func(k *wechatpaysim.Keys) { k.PublicKey = true }),
			share(1), share(10), share(50), share(100), share(200),
			r.parkctl("secret", "key", "respond", identity.PublicKeyID),
			{text: "the schedule invokes certrefresh, which changes nothing", waits: true, do: r.unchanged(r.refresh)},
			share(500), share(1000),
			r.parkctl("secret", "key", "remove", "wechatpay", identity.CertificateSerial, "--yes"),
			{text: "parkctl secret key remove wechatpay " + short(renewed.Serial) + " --yes", waits: true, do: func(ctx context.Context) error {
				return r.parkctl("secret", "key", "remove", "wechatpay", renewed.Serial, "--yes").do(ctx)
			}},
			r.weChatPay("gives the certificates up", func(k *wechatpaysim.Keys) { k.Certificates, k.Callbacks = nil, nil }),
			{text: "the schedule invokes certrefresh, which finds no certificates and changes nothing", do: r.unchanged(r.refresh)},
		},
		proof: func(ctx context.Context) (string, error) {
			later = r.signedBy(identity.PublicKeyID)
			if err := r.flow(ctx); err != nil {
				return "", err
			}
			m, err := r.storedMerchant(ctx)
			if err != nil || len(m.WeChatPayKeys) != 1 || m.WeChatPayKeys[identity.PublicKeyID] == "" {
				return "", fmt.Errorf("the secret holds %d of WeChat Pay's keys, %v, want the public key alone", len(m.WeChatPayKeys), err)
			}
			if r.signedBy(identity.PublicKeyID) <= later {
				return "", errors.New("no callback signed with the public key is taken")
			}
			q, err := r.latest(wechatpaysim.RouteParkings)
			if err != nil || q.Header.Get("Wechatpay-Serial") != identity.PublicKeyID {
				return "", fmt.Errorf("the latest request does not ask for an answer by the public key, %v", err)
			}
			return "callbacks and answers are verified with the public key alone", nil
		},
	}
}

func short(serial string) string {
	if len(serial) < 8 {
		return serial
	}
	return serial[:8] + "…"
}

// weChatPay is a step that is not ours to take.
func (r *run) weChatPay(text string, change func(*wechatpaysim.Keys)) step {
	return step{text: "WeChat Pay " + text, do: func(context.Context) error { return r.stack.WeChatPay.ChangeKeys(change) }}
}

// refresh invokes certrefresh.
func (r *run) refresh(ctx context.Context) error {
	result, err := r.stack.RefreshCertificates(ctx)
	if err == nil && result.Error != "" {
		err = errors.New(result.Error)
	}
	return err
}

// unchanged fails when a step changes what the merchant's secret holds of WeChat Pay's keys.
func (r *run) unchanged(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		before, err := r.storedMerchant(ctx)
		if err != nil {
			return err
		}
		if err := do(ctx); err != nil {
			return err
		}
		after, err := r.storedMerchant(ctx)
		if err == nil && !maps.Equal(before.WeChatPayKeys, after.WeChatPayKeys) {
			err = fmt.Errorf("it changed the keys from %q to %q", slices.Sorted(maps.Keys(before.WeChatPayKeys)), slices.Sorted(maps.Keys(after.WeChatPayKeys)))
		}
		return err
	}
}

// file is a step that makes a file with a new key.
func (r *run) file(name, text string) step {
	return step{text: "make a new key of 32 letters and digits, in " + name, do: func(context.Context) error { return r.write(name, text+"\n") }}
}

func (r *run) write(name, text string) error {
	return os.WriteFile(filepath.Join(r.folder, name), []byte(text), 0o600)
}

// latest is the request that WeChat Pay heard last on a route.
func (r *run) latest(route string) (wechatpaysim.Request, error) {
	for _, q := range slices.Backward(r.stack.WeChatPay.Requests()) {
		if q.Route == route {
			return q, nil
		}
	}
	return wechatpaysim.Request{}, errors.New("WeChat Pay heard nothing")
}

func (r *run) signedBy(serial string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.signers[serial]
}

func (r *run) storedMerchant(ctx context.Context) (m fixture.Merchant, err error) {
	err = r.stored(ctx, r.stack.World.MerchantSecret, &m)
	return m, err
}

func (r *run) storedVendor(ctx context.Context) (*fixture.Vendor, error) {
	var v fixture.Vendors
	if err := r.stored(ctx, r.stack.World.VendorsSecret, &v); err != nil {
		return nil, err
	}
	if v.Vendors[fixture.VendorID] == nil {
		return nil, errors.New("the vendor is gone")
	}
	return v.Vendors[fixture.VendorID], nil
}

func (r *run) stored(ctx context.Context, name string, into any) error {
	out, err := secretsmanager.NewFromConfig(r.stack.AWS).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &name, VersionStage: aws.String("AWSCURRENT"),
	})
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(aws.ToString(out.SecretString)), into)
}

// keyOf is what tells one event's data from another's.
func keyOf(data json.RawMessage) string {
	var told struct {
		Plate       string `json:"plate_number"`
		Transaction string `json:"transaction_id"`
	}
	if json.Unmarshal(data, &told) != nil {
		return ""
	}
	return told.Plate + told.Transaction
}

// newKey makes an APIv2 or APIv3 key.
func newKey() string { return (rand.Text() + rand.Text())[:32] }

func newCertificate(from, to time.Time) (*wechatpaysim.Certificate, error) {
	return wechatpaysim.GenerateCertificate(rand.Reader, from, to)
}

// newMerchantCertificate makes what the merchant console gives out: a private key and its certificate.
func newMerchantCertificate() (key, certificate []byte, serial string, err error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, "", err
	}
	number := make([]byte, 20)
	_, _ = rand.Read(number) // it never fails
	number[0] = number[0]&0x3f | 0x40
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number), Subject: pkix.Name{CommonName: fixture.MchID},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
	}
	if certificate, err = x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private); err != nil {
		return nil, nil, "", err
	}
	key, err = x509.MarshalPKCS8PrivateKey(private)
	return key, certificate, fmt.Sprintf("%X", template.SerialNumber), err
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
