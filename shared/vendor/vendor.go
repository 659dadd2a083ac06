// Package vendor says who may call the gateway, what they may touch, and what
// they hear of. It reads the vendors' secret documents into a [Directory] and
// answers questions about it; it fetches and caches nothing, and it does not
// authenticate: it holds the secrets with which others do.
//
// The rooms that serve vendors and that fan events out to them may import it,
// and the operator's tool, which checks documents before they are stored. It
// imports the rooms of Standard Webhooks and of strict JSON only.
//
// A document holds vendors by their id:
//
//	{"vendors": {"acme": {
//	    "request_secrets": ["whsec_…"],
//	    "webhook_secrets": ["whsec_…"],
//	    "webhook_url": "https://…",
//	    "events": ["vehicle.plate_state_changed"],
//	    "disabled": false,
//	    "merchants": [{
//	        "sub_mchid": "1900000109",
//	        "vehicle": {"sub_appid": "wx…"},
//	        "businesscircle": {"brandid": 1000, "appid": "wx…"}
//	    }]
//	}}}
//
// A secret of Secrets Manager has room for about 600 merchants, so several
// documents make one directory: their vendors are merged, and so are one
// vendor's merchants; all else about one vendor stands in one document alone.
package vendor

import (
	"fmt"
	"io"
	"slices"

	"wechat-parking-gateway/shared/stdwebhook"
)

// Vendor is one SaaS parking vendor. It is shared by all who look it up, so
// nobody may change it. Printing it shows its id alone.
type Vendor struct {
	ID string

	// RequestSecrets verify the vendor's requests and WebhookSecrets sign what
	// it is sent, newest first. The two share none, and RequestSecrets is not
	// empty. WebhookSecrets may be.
	RequestSecrets []stdwebhook.Secret
	WebhookSecrets []stdwebhook.Secret

	// WebhookURL is where events are sent, as it was configured: "", and
	// nonsense, too. Whoever sends refuses a bad one, so that one vendor's
	// mistake costs no other vendor its configuration.
	WebhookURL string

	// Events are the event types that the vendor hears of.
	Events []string

	// Disabled vendors are authenticated and then turned away.
	Disabled bool

	// Merchants are what the vendor may touch, in the order of the documents.
	Merchants []Merchant
}

// Merchant is one (sub-)merchant that a vendor acts for, with the products that
// are configured for it.
type Merchant struct {
	// SubMchID is "" for the calling merchant itself (mode direct).
	SubMchID string
	// Vehicle is nil where the V2 vehicle service is not configured.
	Vehicle *Vehicle
	// BusinessCircle is nil where the V3 smart business circle is not
	// configured.
	BusinessCircle *BusinessCircle
}

// Vehicle is what the V2 vehicle service needs to know of a merchant.
type Vehicle struct {
	// SubAppID may be "".
	SubAppID string
}

// BusinessCircle is what the V3 smart business circle needs to know of a
// merchant.
type BusinessCircle struct {
	BrandID int64
	AppID   string
}

// Format prints the id, whatever the verb: secrets redact themselves, but a
// webhook URL may hold a token.
func (v Vendor) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "vendor.Vendor{"+v.ID+"}")
}

// HasMerchant reports whether the vendor may act for subMchID, "" being the
// calling merchant itself.
func (v *Vendor) HasMerchant(subMchID string) bool {
	return slices.ContainsFunc(v.Merchants, func(m Merchant) bool { return m.SubMchID == subMchID })
}

// Listens reports whether the vendor hears of events of that type.
func (v *Vendor) Listens(eventType string) bool {
	return slices.Contains(v.Events, eventType)
}

// Directory holds all vendors. It does not change, and is safe for concurrent
// use.
type Directory struct {
	byID       map[string]*Vendor
	bySubMchID map[string][]*Vendor // sorted by id
}

// newDirectory takes vendors sorted by id.
func newDirectory(vendors []*Vendor) *Directory {
	d := &Directory{byID: make(map[string]*Vendor, len(vendors)), bySubMchID: make(map[string][]*Vendor)}
	for _, v := range vendors {
		d.byID[v.ID] = v
		for _, m := range v.Merchants {
			holders := d.bySubMchID[m.SubMchID]
			if len(holders) == 0 || holders[len(holders)-1] != v {
				d.bySubMchID[m.SubMchID] = append(holders, v)
			}
		}
	}
	return d
}

// Lookup returns the vendor with that id, a disabled one too.
func (d *Directory) Lookup(id string) (*Vendor, bool) {
	v, ok := d.byID[id]
	return v, ok
}

// Owns reports whether any vendor, a disabled one too, has the sub-merchant.
// "" asks for entries of the calling merchant itself.
func (d *Directory) Owns(subMchID string) bool {
	return len(d.bySubMchID[subMchID]) > 0
}

// Subscribers returns the vendors, sorted by id, that have the sub-merchant and
// listen to events of that type. "" asks for entries of the calling merchant
// itself. Disabled vendors are among them: what becomes of their events is for
// the delivery to say.
func (d *Directory) Subscribers(subMchID, eventType string) []*Vendor {
	var subscribers []*Vendor
	for _, v := range d.bySubMchID[subMchID] {
		if v.Listens(eventType) {
			subscribers = append(subscribers, v)
		}
	}
	return subscribers
}
