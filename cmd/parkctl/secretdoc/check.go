package secretdoc

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/egress"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/secretstore"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/strictjson"
	"wechat-parking-gateway/shared/vendor"
)

// Level says how bad a finding is.
type Level string

// The levels. An error is what a function refuses, or what keeps one from its work; with a warning the gateway works, but
// something in it does not, or will not for long.
const (
	Error   Level = "error"
	Warning Level = "warning"
)

// Finding is one thing that is wrong.
type Finding struct {
	Level  Level  `json:"level"`
	Secret string `json:"secret"`
	// Field is an RFC 6901 pointer into the secret's document, "" for the whole of it.
	Field string `json:"field"`
	// Code names the kind of finding, for machines.
	Code string `json:"code"`
	Why  string `json:"why"`
	Do   string `json:"do"`
}

// Secret is one secret as it was found.
type Secret struct {
	Name     string
	Document []byte
	// Missing says why there is no document, nil if there is one.
	Missing error
}

// Set is all that is checked together.
type Set struct {
	Merchant, MerchantKey Secret
	Vendors               []Secret
	// Certificate is the merchant's API certificate (apiclient_cert.pem), if it is at hand; it is stored nowhere.
	Certificate string
	// AllowLoopback lets webhook_url name this machine, as on the local stack.
	AllowLoopback bool
}

// Report is what a check found.
type Report struct {
	Findings []Finding `json:"findings"`
	// Facts say what the secrets hold, in words.
	Facts []string `json:"facts"`
}

// Failed tells whether there is an error among the findings.
func (r Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Error })
}

// Bounds of what is put up with, and when to speak up.
const (
	soon          = 30 * 24 * time.Hour
	fullFrom      = secretstore.MaxSize * 8 / 10
	minSecret     = 24 // bytes, of the Standard Webhooks specification
	minLogHashKey = 16
)

// Check checks the secrets at a time.
func Check(set Set, now time.Time) Report {
	c := &checker{now: now, set: set, byPointer: map[string]bool{}}
	c.merchant()
	c.merchantKey()
	c.vendors()
	if c.report.Findings == nil {
		c.report.Findings = []Finding{}
	}
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(string(a.Level), string(b.Level)), strings.Compare(a.Secret, b.Secret),
			strings.Compare(a.Field, b.Field), strings.Compare(a.Code, b.Code))
	})
	return c.report
}

type checker struct {
	now    time.Time
	set    Set
	report Report
	// byPointer is where an error was found, so that the functions' own parser does not say it again.
	byPointer map[string]bool

	doc       *Merchant // nil when it cannot be read
	platforms map[string]*x509.Certificate
	privKey   *rsa.PrivateKey
}

func (c *checker) add(level Level, secret, field, code, why, do string) {
	c.report.Findings = append(c.report.Findings, Finding{level, secret, field, code, why, do})
	if level == Error {
		c.byPointer[secret+field] = true
	}
}

func (c *checker) fact(format string, args ...any) {
	c.report.Facts = append(c.report.Facts, fmt.Sprintf(format, args...))
}

// readable tells whether there is a document to look into, and decodes it.
func (c *checker) readable(s Secret, into any) bool {
	switch {
	case s.Missing != nil:
		c.add(Error, s.Name, "", "missing", s.Missing.Error(), "make it with `parkctl secret init`, or say where it is with --merchant-secret, --merchant-key-secret, --vendors-secret")
		return false
	case len(s.Document) == 0:
		c.add(Error, s.Name, "", "empty", "the secret is empty", "make it with `parkctl secret init --force`")
		return false
	case len(s.Document) > secretstore.MaxSize:
		c.add(Error, s.Name, "", "too_large", fmt.Sprintf("%d bytes, of which a secret holds %d", len(s.Document), secretstore.MaxSize), "spread the vendors over several secrets (VendorsSecretNames)")
	case len(s.Document) > fullFrom:
		c.add(Warning, s.Name, "", "nearly_full", fmt.Sprintf("%d bytes of the %d that a secret holds", len(s.Document), secretstore.MaxSize), "put new vendors into another secret (VendorsSecretNames)")
	}
	err := strictjson.Unmarshal(s.Document, into)
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		do := "mend the document; docs/secrets.md lists every field"
		if e.Kind == strictjson.UnknownField {
			do = "take it away or mend its spelling; docs/secrets.md lists every field"
		}
		c.add(Error, s.Name, e.Pointer, strings.ReplaceAll(e.Kind.String(), " ", "_"), e.Detail, do)
	}
	return err == nil
}

func (c *checker) merchant() {
	s, doc := c.set.Merchant, &Merchant{}
	if !c.readable(s, doc) {
		return
	}
	c.doc = doc
	for i, key := range doc.APIv2Keys {
		if _, err := signing.NewV2Key(key); err != nil {
			c.add(Error, s.Name, fmt.Sprintf("/api_v2_keys/%d", i), "key_length", said(err), "copy the APIv2 key again: 32 letters and digits, without spaces (账户中心 → API安全 → APIv2密钥)")
		}
	}
	for i, key := range doc.APIv3Keys {
		if _, err := signing.NewV3Key(key); err != nil {
			c.add(Error, s.Name, fmt.Sprintf("/api_v3_keys/%d", i), "key_length", said(err), "copy the APIv3 key again: 32 letters and digits, without spaces (账户中心 → API安全 → APIv3密钥)")
		}
		if at := slices.Index(doc.APIv2Keys, key); at >= 0 {
			c.add(Warning, s.Name, fmt.Sprintf("/api_v3_keys/%d", i), "same_key", fmt.Sprintf("it is /api_v2_keys/%d too", at), "check that each list has its own kind; use different keys for the two")
		}
	}
	for name, keys := range map[string][]string{"/api_v2_keys": doc.APIv2Keys, "/api_v3_keys": doc.APIv3Keys} {
		for i, key := range keys {
			if slices.Index(keys, key) < i {
				c.add(Warning, s.Name, fmt.Sprintf("%s/%d", name, i), "twice", "the list has it twice", "take one away")
			}
		}
	}
	public, certificates := c.wechatPayKeys(doc)
	c.lists(doc, public, certificates)
	switch {
	case doc.LogHashKey == "":
		c.add(Warning, s.Name, "/log_hash_key", "no_log_hash_key", "without it no hash of a plate is logged, and `parkctl trace --plate` finds nothing", "set any long random text")
	case len(doc.LogHashKey) < minLogHashKey:
		c.add(Warning, s.Name, "/log_hash_key", "short_log_hash_key", fmt.Sprintf("with less than %d bytes it can be guessed, and plates with it", minLogHashKey), "set any long random text")
	}
	if _, err := merchant.Parse([][]byte{s.Document}); err != nil {
		c.refused(s.Name, err)
		return
	}
	signed := "no key"
	switch {
	case public > 0 && certificates > 0:
		signed = "public key and platform certificate (both live)"
	case public > 0:
		signed = "WeChat Pay public key"
	case certificates > 0:
		signed = "platform certificate"
	}
	c.fact("merchant %s, mode %s; %d APIv2 keys, %d APIv3 keys; WeChat Pay's signatures: %s", doc.MchID, doc.Mode, len(doc.APIv2Keys), len(doc.APIv3Keys), signed)
}

// lists looks at what is there and what is not.
func (c *checker) lists(doc *Merchant, public, certificates int) {
	s := c.set.Merchant
	if len(doc.APIv2Keys) == 0 {
		c.add(Warning, s.Name, "/api_v2_keys", "no_v2_key", "without an APIv2 key there are no entry notifications and no plate callbacks", "add it, if the merchant has the vehicle service")
	}
	if len(doc.APIv3Keys) == 0 {
		c.add(Warning, s.Name, "/api_v3_keys", "no_v3_key", "without an APIv3 key the mall's callbacks cannot be decrypted", "add it, if the merchant has the smart business circle")
	}
	if public+certificates == 0 {
		level := Warning
		if len(doc.APIv2Keys) == 0 {
			level = Error
		}
		c.add(level, s.Name, "/wechatpay_keys", "no_wechatpay_key", "without a key of WeChat Pay no V3 answer and no V3 callback is believed", "add the WeChat Pay public key, or the platform certificates")
	}
	live := public > 0
	for _, certificate := range c.platforms {
		live = live || c.now.Before(certificate.NotAfter)
	}
	if certificates > 0 && !live {
		c.add(Error, s.Name, "/wechatpay_keys", "no_live_key", "every platform certificate has expired, and there is no WeChat Pay public key", "download the platform certificates anew, or add the WeChat Pay public key")
	}
}

var hexSerial = regexp.MustCompile(`^[0-9A-F]{8,40}$`)

// wechatPayKeys looks at every key by itself and counts the kinds.
func (c *checker) wechatPayKeys(doc *Merchant) (public, certificates int) {
	s := c.set.Merchant
	c.platforms = map[string]*x509.Certificate{}
	seen := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(doc.WeChatPayKeys)) {
		text, field := doc.WeChatPayKeys[id], pointer("wechatpay_keys", id)
		var key *rsa.PublicKey
		if digits, isPublic := strings.CutPrefix(id, publicKeyPrefix); isPublic {
			parsed, err := signing.ParsePublicKey(text)
			if err != nil {
				c.add(Error, s.Name, field, "bad_key", said(err), "under PUB_KEY_ID_… stands the content of pub_key.pem, from the merchant console")
				continue
			}
			public, key = public+1, parsed
			if strings.Trim(digits, "0123456789") != "" || len(digits) != publicKeyDigits {
				c.add(Warning, s.Name, field, "key_id_length", fmt.Sprintf("the ids of WeChat Pay public keys have %d digits after PUB_KEY_ID_, this one %d characters: what is signed with it may be refused as unknown_key", publicKeyDigits, len(digits)), "copy the id whole from the merchant console (账户中心 → API安全)")
			}
		} else {
			certificate, err := signing.ParseCertificate(text)
			if err != nil {
				c.add(Error, s.Name, field, "bad_certificate", said(err), "under a serial number stands a platform certificate; a public key stands under its PUB_KEY_ID_…")
				continue
			}
			certificates, key = certificates+1, certificate.PublicKey.(*rsa.PublicKey)
			c.platforms[id] = certificate
			c.platform(id, field, certificate)
		}
		modulus := key.N.String()
		if other, twice := seen[modulus]; twice {
			c.add(Warning, s.Name, field, "same_key", "the same key stands under "+other+" too", "each id has its own key; take it again from the merchant console")
		}
		seen[modulus] = id
	}
	return public, certificates
}

// platform looks at one platform certificate.
func (c *checker) platform(id, field string, certificate *x509.Certificate) {
	s := c.set.Merchant
	if serial := Serial(certificate); serial != id {
		why := "the certificate's own serial number is another, so that it will never be asked for"
		if strings.EqualFold(serial, id) {
			why = "serial numbers are written in capitals, so that it will never be asked for"
		}
		c.add(Warning, s.Name, field, "serial_differs", why, "name it by its serial number: "+serial)
	}
	switch {
	case !c.now.Before(certificate.NotAfter):
		c.add(Warning, s.Name, field, "certificate_expired", "it expired on "+certificate.NotAfter.Format(time.DateOnly), "take it away; download the newer one")
	case certificate.NotAfter.Sub(c.now) < soon:
		c.add(Warning, s.Name, field, "certificate_expires_soon", "it expires on "+certificate.NotAfter.Format(time.DateOnly), "WeChat Pay offers the next one 10 days before: add it beside this one")
	case c.now.Before(certificate.NotBefore):
		c.add(Warning, s.Name, field, "certificate_not_yet_valid", "it becomes valid on "+certificate.NotBefore.Format(time.DateOnly), "check the machine's clock and the file")
	}
	// A merchant's own certificate has the mchid for a name; WeChat Pay's has not.
	if c.doc.MchID != "" && certificate.Subject.CommonName == c.doc.MchID {
		c.merchantCertificate(field)
	}
}

func (c *checker) merchantCertificate(field string) {
	if c.byPointer[c.set.Merchant.Name+field] {
		return
	}
	c.add(Error, c.set.Merchant.Name, field, "merchant_certificate", "this is the merchant's own API certificate; WeChat Pay does not sign with its key", "put WeChat Pay's key there: pub_key.pem, or a platform certificate from /v3/certificates")
}

func (c *checker) merchantKey() {
	s, doc := c.set.MerchantKey, &MerchantKey{}
	if !c.readable(s, doc) {
		return
	}
	key, err := signing.ParsePrivateKey(doc.PrivateKey)
	if err != nil {
		c.add(Error, s.Name, "/merchant_private_key", "bad_key", said(err), "put the content of apiclient_key.pem there")
	}
	c.privKey = key
	if strings.HasPrefix(doc.SerialNo, publicKeyPrefix) {
		c.add(Error, s.Name, "/merchant_serial_no", "public_key_id", "this is the id of a WeChat Pay public key", "put the serial number of the merchant's API certificate there (openssl x509 -in apiclient_cert.pem -noout -serial)")
	} else if doc.SerialNo != "" && !hexSerial.MatchString(doc.SerialNo) {
		c.add(Warning, s.Name, "/merchant_serial_no", "serial_form", "serial numbers are up to 40 of 0-9 and A-F, in capitals", "copy it again (openssl x509 -in apiclient_cert.pem -noout -serial)")
	}
	if c.platforms[doc.SerialNo] != nil {
		c.add(Error, s.Name, "/merchant_serial_no", "platform_serial", "this is the serial number of a platform certificate", "put the serial number of the merchant's API certificate there (openssl x509 -in apiclient_cert.pem -noout -serial)")
	}
	if key != nil {
		for id, platform := range c.platforms {
			if key.PublicKey.Equal(platform.PublicKey) {
				c.merchantCertificate(pointer("wechatpay_keys", id))
			}
		}
	}
	c.certificate(doc)
	if _, err := merchant.ParseKey([][]byte{s.Document}); err != nil {
		c.refused(s.Name, err)
	} else {
		c.fact("merchant API certificate %s, RSA %d bits", doc.SerialNo, key.N.BitLen())
	}
}

// certificate compares the merchant's API certificate with what is stored of it.
func (c *checker) certificate(doc *MerchantKey) {
	s := c.set.MerchantKey
	if c.set.Certificate == "" {
		return
	}
	certificate, err := signing.ParseCertificate(c.set.Certificate)
	if err != nil {
		c.add(Error, s.Name, "", "bad_certificate", "the merchant's certificate: "+said(err), "give apiclient_cert.pem")
		return
	}
	if c.privKey != nil && !c.privKey.PublicKey.Equal(certificate.PublicKey) {
		c.add(Error, s.Name, "/merchant_private_key", "not_a_pair", "the private key is not the certificate's", "take apiclient_key.pem and apiclient_cert.pem from one download")
	}
	if serial := Serial(certificate); serial != doc.SerialNo {
		c.add(Error, s.Name, "/merchant_serial_no", "serial_differs", "the certificate's serial number is another", "put "+serial+" there")
	}
	switch {
	case !c.now.Before(certificate.NotAfter):
		c.add(Error, s.Name, "", "certificate_expired", "the merchant's certificate expired on "+certificate.NotAfter.Format(time.DateOnly), "apply for a new one in the merchant console, then `parkctl secret init --force` or docs/rotation.md")
	case certificate.NotAfter.Sub(c.now) < soon:
		c.add(Warning, s.Name, "", "certificate_expires_soon", "the merchant's certificate expires on "+certificate.NotAfter.Format(time.DateOnly), "apply for a new one in the merchant console; docs/rotation.md")
	}
}

// vendorEntry is what one document says of a vendor.
type vendorEntry struct {
	RequestSecrets []string `json:"request_secrets"`
	WebhookSecrets []string `json:"webhook_secrets"`
	WebhookURL     string   `json:"webhook_url"`
	Merchants      []struct {
		SubMchID       string          `json:"sub_mchid"`
		Vehicle        json.RawMessage `json:"vehicle"`
		BusinessCircle json.RawMessage `json:"businesscircle"`
	} `json:"merchants"`
}

func (c *checker) vendors() {
	var readable [][]byte
	var names []string
	for _, s := range c.set.Vendors {
		var any map[string]jsontext.Value
		if c.readable(s, &any) {
			readable, names = append(readable, s.Document), append(names, s.Name)
		}
	}
	if len(readable) == 0 {
		return
	}
	directory, err := vendor.Parse(readable)
	if e, ok := errors.AsType[*vendor.Error](err); ok {
		c.refused(names[e.Document-1], err)
	}
	seen := map[string]string{} // a secret's bytes, and whose it is
	merchants := map[string]int{}
	urls := egress.New(egress.Options{AllowLoopback: c.set.AllowLoopback})
	for i, document := range readable {
		var d struct {
			Vendors map[string]vendorEntry `json:"vendors"`
		}
		if json.Unmarshal(document, &d) != nil {
			continue // vendor.Parse has said what is wrong
		}
		for _, id := range slices.Sorted(maps.Keys(d.Vendors)) {
			v := d.Vendors[id]
			merchants[id] += len(v.Merchants)
			c.vendor(names[i], id, v, urls, seen)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(merchants)) {
		if merchants[id] == 0 {
			c.add(Warning, c.secretOf(id), pointer("vendors", id, "merchants"), "no_merchants", "the vendor has no merchant: every call is refused with merchant_not_allowed, and it hears of nothing", "parkctl vendor merchant add "+id+" …")
		}
		if directory == nil {
			continue
		}
		if v, ok := directory.Lookup(id); ok && len(v.RequestSecrets) == 0 {
			c.add(Warning, c.secretOf(id), pointer("vendors", id, "request_secrets"), "no_request_secret", "the vendor has no secret to sign with: every call is refused", "parkctl vendor rotate "+id)
		}
	}
	if err == nil {
		c.fact("%d vendors in %s", len(merchants), strings.Join(names, ", "))
	}
}

// secretOf names the secret that a vendor stands in.
func (c *checker) secretOf(id string) string {
	for _, s := range c.set.Vendors {
		var d struct {
			Vendors map[string]json.RawMessage `json:"vendors"`
		}
		if json.Unmarshal(s.Document, &d) == nil && d.Vendors[id] != nil {
			return s.Name
		}
	}
	return ""
}

func (c *checker) vendor(secret, id string, v vendorEntry, urls *egress.Client, seen map[string]string) {
	for list, secrets := range map[string][]string{"request_secrets": v.RequestSecrets, "webhook_secrets": v.WebhookSecrets} {
		for i, text := range secrets {
			field := pointer("vendors", id, list, fmt.Sprint(i))
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, stdwebhook.SecretPrefix))
			if err != nil {
				continue // vendor.Parse has said so
			}
			if len(key) < minSecret {
				c.add(Warning, secret, field, "short_secret", fmt.Sprintf("it holds %d bytes, Standard Webhooks asks for %d to 64", len(key), minSecret), "parkctl vendor rotate "+id)
			}
			switch other, shared := seen[string(key)]; {
			case shared && other != id:
				c.add(Warning, secret, field, "shared_secret", "vendor "+other+" has the same secret: each can sign as the other", "parkctl vendor rotate "+id)
			case shared:
				c.add(Warning, secret, field, "twice", "the vendor has the same secret twice", "parkctl vendor rotate "+id)
			default:
				seen[string(key)] = id
			}
		}
		if len(secrets) > 2 {
			c.add(Warning, secret, pointer("vendors", id, list), "many_secrets", fmt.Sprintf("%d secrets are live; two are enough for a rotation", len(secrets)), "parkctl vendor rotate "+id+" --finish")
		}
	}
	if v.WebhookURL != "" {
		if err := urls.CheckURL(v.WebhookURL); err != nil {
			c.add(Warning, secret, pointer("vendors", id, "webhook_url"), "webhook_url", said(err)+": every event goes to the dead-letter queue", "parkctl vendor update "+id+" --webhook-url https://…")
		}
		if len(v.WebhookSecrets) == 0 {
			c.add(Warning, secret, pointer("vendors", id, "webhook_secrets"), "no_webhook_secret", "there is a webhook_url and no secret to sign events with: every event goes to the dead-letter queue", "parkctl vendor rotate "+id+" --only webhook")
		}
	}
	for i, m := range v.Merchants {
		field := pointer("vendors", id, "merchants", fmt.Sprint(i))
		if c.doc != nil && (m.SubMchID == "") == (c.doc.Mode == string(merchant.Partner)) {
			c.add(Warning, secret, field+"/sub_mchid", "mode", "in mode partner every merchant has a sub_mchid, in mode direct none: this entry is never used", "mend it with parkctl vendor merchant")
		}
		if m.Vehicle == nil && m.BusinessCircle == nil {
			c.add(Warning, secret, field, "no_product", "the merchant has neither vehicle nor businesscircle: nothing can be done for it", "parkctl vendor merchant add "+id+" --sub-mchid … --vehicle, or --brandid … --circle-appid …")
		}
	}
}

// refused passes on what the functions' own parser says, unless it was said better already.
func (c *checker) refused(secret string, err error) {
	field, why := "", said(err)
	if e, ok := errors.AsType[*merchant.Error](err); ok {
		field, why = e.Pointer, strip(e.Reason)
	}
	if e, ok := errors.AsType[*vendor.Error](err); ok {
		field, why = e.Pointer, strip(e.Reason)
	}
	if !c.byPointer[secret+field] {
		c.add(Error, secret, field, "refused", why, "mend it; the functions refuse the whole document until then (docs/secrets.md)")
	}
}

// said returns an error's text without the name of the package that it comes from.
func said(err error) string { return strip(err.Error()) }

func strip(text string) string {
	for _, prefix := range []string{"signing: invalid key: ", "signing: ", "stdwebhook: ", "egress: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

func pointer(names ...string) string {
	var p jsontext.Pointer
	for _, name := range names {
		p = p.AppendToken(name)
	}
	return string(p)
}
