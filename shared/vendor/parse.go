package vendor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/charset"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/strictjson"
)

// defaultEvent is the one event type that a vendor hears of when its events are
// not configured: the one that carries no person's data beyond the plate that
// the vendor itself sent.
const defaultEvent = "vehicle.plate_state_changed"

// passedOn begins the names of events whose type the gateway does not know:
// what follows is WeChat Pay's event_type.
const passedOn = "wechatpay."

// Lengths that documents are held to. Those of sub_mchid and appid are WeChat
// Pay's limits.
const (
	maxID         = 32
	maxSubMchID   = 32
	maxAppID      = 32
	maxEventType  = 32
	maxWebhookURL = 2048
	maxPointer    = 256
)

const wantAppID = "want 1 to 32 letters, digits, hyphens and underscores, such as wx and 16 more"

// Error is the only error of this package's Parse.
type Error struct {
	// Document is the number of the document at fault, from 1 in the order in
	// which they were given.
	Document int
	// Pointer is the RFC 6901 pointer of the field at fault, "" for the whole
	// document. The names in it, vendors' ids, come from the document.
	Pointer string
	// Reason says what is wrong and what is expected. It never holds a value
	// of the document.
	Reason string

	cause error
}

// Error returns the document's number, the pointer and the reason.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return fmt.Sprintf("vendors document %d: %s", e.Document, e.Reason)
	}
	return fmt.Sprintf("vendors document %d: %s: %s", e.Document, e.Pointer, e.Reason)
}

// Unwrap returns the *strictjson.Error or the error of package stdwebhook that
// caused e, or nil.
func (e *Error) Unwrap() error { return e.cause }

// document is the shape of a vendors secret.
type document struct {
	Vendors *map[string]entry `json:"vendors"`
}

// entry is what one document says of one vendor. Pointers tell a field that is
// absent from one that is empty.
type entry struct {
	RequestSecrets *[]string       `json:"request_secrets"`
	WebhookSecrets *[]string       `json:"webhook_secrets"`
	WebhookURL     *string         `json:"webhook_url"`
	Events         *[]string       `json:"events"`
	Disabled       *bool           `json:"disabled"`
	Merchants      []merchantEntry `json:"merchants"`
}

type merchantEntry struct {
	SubMchID       *string              `json:"sub_mchid"`
	Vehicle        *vehicleEntry        `json:"vehicle"`
	BusinessCircle *businessCircleEntry `json:"businesscircle"`
}

type vehicleEntry struct {
	SubAppID *string `json:"sub_appid"`
}

type businessCircleEntry struct {
	BrandID int64  `json:"brandid"`
	AppID   string `json:"appid"`
}

// Parse reads the vendors' documents and merges them into one directory. A
// vendor may stand in several of them to list more merchants there; any other
// of its fields may stand in one of them alone. Members that are not known are
// refused. The error is an *Error.
func Parse(docs [][]byte) (*Directory, error) {
	if len(docs) == 0 {
		return nil, &Error{Document: 1, Reason: "want at least one document, got none"}
	}
	merged := make(map[string]*merging)
	for i, doc := range docs {
		entries, err := decode(doc, i+1)
		if err != nil {
			return nil, err
		}
		for _, id := range slices.Sorted(maps.Keys(entries)) {
			at := place{document: i + 1, pointer: jsontext.Pointer("/vendors").AppendToken(id)}
			if err := merge(merged, id, entries[id], at); err != nil {
				return nil, err
			}
		}
	}

	vendors := make([]*Vendor, 0, len(merged))
	for _, id := range slices.Sorted(maps.Keys(merged)) {
		vendors = append(vendors, merged[id].vendor)
	}
	return newDirectory(vendors), nil
}

func decode(doc []byte, number int) (map[string]entry, error) {
	var d document
	err := strictjson.Unmarshal(doc, &d)
	if e, ok := err.(*strictjson.Error); ok {
		return nil, &Error{Document: number, Pointer: e.Pointer, Reason: e.Detail, cause: e}
	}
	if d.Vendors == nil {
		return nil, &Error{Document: number, Pointer: "/vendors", Reason: "want the vendors by their ids; {} for none"}
	}
	return *d.Vendors, err
}

// merging is a vendor of which more documents may speak.
type merging struct {
	vendor *Vendor
	own    *place // where its fields other than merchants stand; nil before
	seen   map[merchantKey]bool
}

// merchantKey is a Merchant whose blocks are compared by what they hold.
type merchantKey struct {
	subMchID                      string
	hasVehicle, hasBusinessCircle bool
	vehicle                       Vehicle
	businessCircle                BusinessCircle
}

func (m Merchant) key() merchantKey {
	k := merchantKey{subMchID: m.SubMchID}
	if m.Vehicle != nil {
		k.hasVehicle, k.vehicle = true, *m.Vehicle
	}
	if m.BusinessCircle != nil {
		k.hasBusinessCircle, k.businessCircle = true, *m.BusinessCircle
	}
	return k
}

func merge(merged map[string]*merging, id string, e entry, at place) error {
	if !ValidID(id) {
		return at.refuse("want as an id 1 to 32 lower-case letters, digits and hyphens, the first no hyphen")
	}
	m := merged[id]
	if m == nil {
		m = &merging{vendor: &Vendor{ID: id, Events: []string{defaultEvent}}, seen: make(map[merchantKey]bool)}
		merged[id] = m
	}
	if field := e.firstOwnField(); field != "" {
		if m.own != nil {
			return at.field(field).refuse(fmt.Sprintf("document %d has fields of this vendor; only merchants may stand in several documents", m.own.document))
		}
		m.own = &at
		if err := m.vendor.takeOwnFields(e, at); err != nil {
			return err
		}
	}
	return m.takeMerchants(e.Merchants, at.field("merchants"))
}

// firstOwnField names a field other than merchants that is there, or "".
func (e entry) firstOwnField() string {
	switch {
	case e.RequestSecrets != nil:
		return "request_secrets"
	case e.WebhookSecrets != nil:
		return "webhook_secrets"
	case e.WebhookURL != nil:
		return "webhook_url"
	case e.Events != nil:
		return "events"
	case e.Disabled != nil:
		return "disabled"
	}
	return ""
}

func (v *Vendor) takeOwnFields(e entry, at place) (err error) {
	if e.RequestSecrets != nil {
		if v.RequestSecrets, err = parseSecrets(*e.RequestSecrets, at.field("request_secrets")); err != nil {
			return err
		}
	}
	if e.WebhookSecrets != nil {
		if v.WebhookSecrets, err = parseSecrets(*e.WebhookSecrets, at.field("webhook_secrets")); err != nil {
			return err
		}
	}
	for i, secret := range v.WebhookSecrets {
		if slices.ContainsFunc(v.RequestSecrets, secret.Equal) {
			return at.field("webhook_secrets").index(i).refuse("it is one of request_secrets too; the two lists must not share a secret")
		}
	}
	if e.WebhookURL != nil {
		v.WebhookURL = *e.WebhookURL
	}
	if len(v.WebhookURL) > maxWebhookURL {
		return at.field("webhook_url").refuse("want at most 2048 bytes")
	}
	if e.Events != nil {
		v.Events = *e.Events
	}
	for i, event := range v.Events {
		if !isEvent(event) {
			return at.field("events").index(i).refuse("want vehicle.plate_state_changed, businesscircle.card_activated, " +
				"businesscircle.transaction_succeeded, businesscircle.refund_succeeded, or wechatpay. and an event_type of 1 to 32 of A-Z, 0-9, _ and .")
		}
	}
	v.Disabled = e.Disabled != nil && *e.Disabled
	return nil
}

func parseSecrets(texts []string, at place) ([]stdwebhook.Secret, error) {
	list := make([]stdwebhook.Secret, 0, len(texts))
	for i, text := range texts {
		secret, err := stdwebhook.ParseSecret(text)
		if err != nil {
			return nil, at.index(i).refuseFor(err)
		}
		list = append(list, secret)
	}
	return list, nil
}

func (m *merging) takeMerchants(entries []merchantEntry, at place) error {
	for i, e := range entries {
		merchant, err := e.merchant(at.index(i))
		if err != nil {
			return err
		}
		if m.seen[merchant.key()] {
			continue // two documents may name one merchant
		}
		m.seen[merchant.key()] = true
		m.vendor.Merchants = append(m.vendor.Merchants, merchant)
	}
	return nil
}

func (e merchantEntry) merchant(at place) (m Merchant, _ error) {
	if e.SubMchID != nil && *e.SubMchID != "" {
		if m.SubMchID = *e.SubMchID; !charset.Fits(m.SubMchID, maxSubMchID, charset.Digits) {
			return Merchant{}, at.field("sub_mchid").refuse("want 1 to 32 digits, or no such field in mode direct")
		}
	}
	if e.Vehicle != nil {
		m.Vehicle = &Vehicle{}
		if e.Vehicle.SubAppID != nil && *e.Vehicle.SubAppID != "" {
			if m.Vehicle.SubAppID = *e.Vehicle.SubAppID; !isAppID(m.Vehicle.SubAppID) {
				return Merchant{}, at.field("vehicle").field("sub_appid").refuse(wantAppID + ", or no such field")
			}
		}
	}
	if e.BusinessCircle != nil {
		m.BusinessCircle = &BusinessCircle{BrandID: e.BusinessCircle.BrandID, AppID: e.BusinessCircle.AppID}
		if m.BusinessCircle.BrandID < 1 {
			return Merchant{}, at.field("businesscircle").field("brandid").refuse("want a positive number")
		}
		if !isAppID(m.BusinessCircle.AppID) {
			return Merchant{}, at.field("businesscircle").field("appid").refuse(wantAppID)
		}
	}
	return m, nil
}

// place is where in the documents a value stands.
type place struct {
	document int
	pointer  jsontext.Pointer
}

func (p place) field(name string) place {
	return place{p.document, p.pointer.AppendToken(name)}
}

func (p place) index(i int) place {
	return p.field(fmt.Sprint(i))
}

// refuse cuts a pointer that is too long, because of somebody's very long name,
// to its nearest parent that is not.
func (p place) refuse(reason string) error {
	for len(p.pointer) > maxPointer {
		p.pointer = p.pointer.Parent()
	}
	return &Error{Document: p.document, Pointer: string(p.pointer), Reason: reason}
}

// refuseFor passes on why package stdwebhook refused a secret; its errors hold
// nothing of the secret.
func (p place) refuseFor(err error) error {
	return &Error{Document: p.document, Pointer: string(p.pointer), Reason: err.Error(), cause: err}
}

// ValidID reports whether s can be a vendor's id: [a-z0-9][a-z0-9-]{0,31}.
func ValidID(s string) bool {
	return !strings.HasPrefix(s, "-") && charset.Fits(s, maxID, charset.Digits+charset.Lower+"-")
}

func isAppID(s string) bool {
	return charset.Fits(s, maxAppID, charset.Alphanumeric+"_-")
}

func isEvent(s string) bool {
	switch s {
	case defaultEvent, "businesscircle.card_activated", "businesscircle.transaction_succeeded", "businesscircle.refund_succeeded":
		return true
	}
	eventType, ok := strings.CutPrefix(s, passedOn)
	return ok && charset.Fits(eventType, maxEventType, charset.Digits+charset.Upper+"_.")
}
