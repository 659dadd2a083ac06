// Package vendorbook changes the documents that hold the vendors: who calls, with which secrets, for which merchants. Every
// change takes a document and returns the new one, leaves what it does not mean byte for byte as it was, and returns a
// document only when package vendor, by which the functions read it, takes it. It fetches and stores nothing, so that it
// can be repeated on a newer document whenever another writer was first.
//
// Only cmd/parkctl may import it.
package vendorbook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/jsonedit"
	"wechat-parking-gateway/shared/vendor"
)

// Vendor is one vendor as one document has it. Its zero fields are left out.
type Vendor struct {
	RequestSecrets []string   `json:"request_secrets,omitzero"`
	WebhookSecrets []string   `json:"webhook_secrets,omitzero"`
	WebhookURL     string     `json:"webhook_url,omitzero"`
	Events         []string   `json:"events,omitzero"`
	Disabled       bool       `json:"disabled,omitzero"`
	Merchants      []Merchant `json:"merchants,omitzero"`
}

// Format prints no secret, whatever the verb.
func (v Vendor) Format(f fmt.State, _ rune) { fmt.Fprint(f, "vendorbook.Vendor") }

// Merchant is one merchant of a vendor, with the products that are configured for it.
type Merchant struct {
	SubMchID       string          `json:"sub_mchid,omitzero"`
	Vehicle        *Vehicle        `json:"vehicle,omitzero"`
	BusinessCircle *BusinessCircle `json:"businesscircle,omitzero"`
}

// Vehicle is the V2 vehicle service.
type Vehicle struct {
	SubAppID string `json:"sub_appid,omitzero"`
}

// BusinessCircle is the V3 smart business circle.
type BusinessCircle struct {
	BrandID int64  `json:"brandid"`
	AppID   string `json:"appid"`
}

// The ways in which a change is refused.
var (
	ErrExists      = errors.New("there is a vendor of that id already")
	ErrUnknown     = errors.New("there is no vendor of that id; `parkctl vendor list` shows all")
	ErrRotating    = errors.New("two secrets are live already; `parkctl vendor rotate --finish` removes the older one first")
	ErrNotRotating = errors.New("only one secret is live; there is nothing to finish")
	ErrChanged     = errors.New("somebody else has changed its secrets meanwhile; look at them with `parkctl vendor show`, and repeat this")
	ErrNoMerchant  = errors.New("the vendor has no such merchant")
)

// Empty is a document without vendors.
const Empty = `{"vendors":{}}`

// Read returns the vendors of one document, by id. Its error names the field at fault and shows nothing of it.
func Read(document []byte) (map[string]Vendor, error) {
	if _, err := vendor.Parse([][]byte{document}); err != nil {
		return nil, err
	}
	var d struct {
		Vendors map[string]Vendor `json:"vendors"`
	}
	if json.Unmarshal(document, &d) != nil {
		// The decoder's own error may quote what it read. Parse has read it, so this does not come about.
		return nil, errors.New("the vendors document cannot be decoded")
	}
	return d.Vendors, nil
}

// Add returns the document with a new vendor.
func Add(document []byte, id string, v Vendor) ([]byte, error) {
	vendors, err := Read(document)
	if err != nil {
		return nil, err
	}
	if _, exists := vendors[id]; exists {
		return nil, fmt.Errorf("%s: %w", id, ErrExists)
	}
	return put(document, place(id), v)
}

// Remove returns the document without a vendor.
func Remove(document []byte, id string) ([]byte, error) {
	if _, err := find(document, id); err != nil {
		return nil, err
	}
	return checked(jsonedit.Remove(document, place(id)))
}

// SetDisabled returns the document with a vendor refused, or served again.
func SetDisabled(document []byte, id string, disabled bool) ([]byte, error) {
	v, err := find(document, id)
	if err != nil || v.Disabled == disabled {
		return document, err
	}
	return put(document, place(id, "disabled"), disabled)
}

// Change is what is to be changed of a vendor; nil fields are left as they are.
type Change struct {
	WebhookURL *string
	Events     []string
}

// Update returns the document with a vendor changed.
func Update(document []byte, id string, change Change) ([]byte, error) {
	if _, err := find(document, id); err != nil {
		return nil, err
	}
	var err error
	if change.WebhookURL != nil {
		if document, err = put(document, place(id, "webhook_url"), *change.WebhookURL); err != nil {
			return nil, err
		}
	}
	if change.Events != nil {
		return put(document, place(id, "events"), change.Events)
	}
	return document, nil
}

// List names one of the two lists of secrets.
type List string

// The lists: what the vendor signs with, and what it is sent is signed with.
const (
	Request List = "request_secrets"
	Webhook List = "webhook_secrets"
)

func (v Vendor) list(l List) []string {
	if l == Request {
		return v.RequestSecrets
	}
	return v.WebhookSecrets
}

// Rotate returns the document with a new secret in front of a vendor's list, where it signs; the one that was there stays
// good beside it.
func Rotate(document []byte, id string, list List, secret string) ([]byte, error) {
	v, err := find(document, id)
	if err != nil {
		return nil, err
	}
	switch len(v.list(list)) {
	case 0:
		return put(document, place(id, string(list)), []string{secret})
	case 1:
		return put(document, place(id, string(list), "0"), secret)
	}
	return nil, fmt.Errorf("%s: %s: %w", id, list, ErrRotating)
}

// Finish returns the document with the newest secret of each of a vendor's lists alone. The lists must be as they were
// seen: of a rotation that another has begun since, the older secret is the one that the vendor uses.
func Finish(document []byte, id string, seen Vendor, lists ...List) ([]byte, error) {
	v, err := find(document, id)
	if err != nil {
		return nil, err
	}
	removed := false
	for _, list := range lists {
		if !slices.Equal(v.list(list), seen.list(list)) {
			return nil, fmt.Errorf("%s: %s: %w", id, list, ErrChanged)
		}
		for i := len(v.list(list)) - 1; i > 0; i-- {
			if document, err = checked(jsonedit.Remove(document, place(id, string(list), fmt.Sprint(i)))); err != nil {
				return nil, err
			}
			removed = true
		}
	}
	if !removed {
		return nil, fmt.Errorf("%s: %w", id, ErrNotRotating)
	}
	return document, nil
}

// AddMerchant returns the document with a merchant added to a vendor; one that it has already changes nothing. A merchant
// that the vendor has with another product gets the new product beside it. A vendor that the document has not gets an
// entry with this merchant alone: its secrets stand in another document.
func AddMerchant(document []byte, id string, m Merchant) ([]byte, error) {
	v, err := find(document, id)
	if errors.Is(err, ErrUnknown) {
		return put(document, place(id), Vendor{Merchants: []Merchant{m}})
	}
	if err != nil {
		return nil, err
	}
	for i, old := range v.Merchants {
		joined := old
		if joined.Vehicle == nil {
			joined.Vehicle = m.Vehicle
		}
		if joined.BusinessCircle == nil {
			joined.BusinessCircle = m.BusinessCircle
		}
		if old.SubMchID != m.SubMchID || !covers(joined, m) {
			continue
		}
		if reflect.DeepEqual(joined, old) {
			return document, nil
		}
		if document, err = checked(jsonedit.Remove(document, place(id, "merchants", fmt.Sprint(i)))); err != nil {
			return nil, err
		}
		return put(document, place(id, "merchants", fmt.Sprint(i)), joined)
	}
	if _, has := jsonedit.Get(document, place(id, "merchants")); !has {
		return put(document, place(id, "merchants"), []Merchant{m})
	}
	return put(document, place(id, "merchants", "-"), m)
}

// covers tells whether a holds every product of b as b has it.
func covers(a, b Merchant) bool {
	return (b.Vehicle == nil || reflect.DeepEqual(a.Vehicle, b.Vehicle)) &&
		(b.BusinessCircle == nil || reflect.DeepEqual(a.BusinessCircle, b.BusinessCircle))
}

// RemoveMerchant returns the document without a vendor's entries of a merchant.
func RemoveMerchant(document []byte, id, subMchID string) ([]byte, error) {
	v, err := find(document, id)
	if err != nil {
		return nil, err
	}
	removed := false
	for i, m := range slices.Backward(v.Merchants) {
		if m.SubMchID != subMchID {
			continue
		}
		if document, err = checked(jsonedit.Remove(document, place(id, "merchants", fmt.Sprint(i)))); err != nil {
			return nil, err
		}
		removed = true
	}
	if !removed {
		return nil, fmt.Errorf("%s: %w", id, ErrNoMerchant)
	}
	return document, nil
}

func find(document []byte, id string) (Vendor, error) {
	vendors, err := Read(document)
	if err != nil {
		return Vendor{}, err
	}
	v, ok := vendors[id]
	if !ok {
		return Vendor{}, fmt.Errorf("%s: %w", id, ErrUnknown)
	}
	return v, nil
}

func place(id string, names ...string) jsontext.Pointer {
	at := jsontext.Pointer("/vendors").AppendToken(id)
	for _, name := range names {
		at = at.AppendToken(name)
	}
	return at
}

func put(document []byte, at jsontext.Pointer, value any) ([]byte, error) {
	return checked(jsonedit.Add(document, at, value))
}

// checked passes a changed document on when the functions would take it.
func checked(document []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if _, err := vendor.Parse([][]byte{document}); err != nil {
		return nil, err
	}
	return bytes.Clone(document), nil
}
