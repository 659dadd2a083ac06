package wechatpay

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/beijingtime"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/signing"
)

// Reason is why a message of WeChat Pay's was not accepted. It is what the failure answer says, and what is counted.
type Reason string

// The reasons: a closed list, only appended to.
const (
	ReasonMissingHeader    Reason = "missing_header"
	ReasonStale            Reason = "stale"
	ReasonFuture           Reason = "future"
	ReasonUnknownKey       Reason = "unknown_key"
	ReasonBadBase64        Reason = "bad_base64"
	ReasonBadSignature     Reason = "bad_signature"
	ReasonProbe            Reason = "probe"
	ReasonMalformed        Reason = "malformed"
	ReasonUndecryptable    Reason = "undecryptable"
	ReasonNotThisVendor    Reason = "not_this_vendor"
	ReasonNotSubscribed    Reason = "not_subscribed"
	ReasonQueueUnavailable Reason = "queue_unavailable"
)

// Reasons returns the closed list.
func Reasons() []Reason {
	return []Reason{
		ReasonMissingHeader, ReasonStale, ReasonFuture, ReasonUnknownKey, ReasonBadBase64, ReasonBadSignature, ReasonProbe,
		ReasonMalformed, ReasonUndecryptable, ReasonNotThisVendor, ReasonNotSubscribed, ReasonQueueUnavailable,
	}
}

var (
	// ErrMalformed says that a message is not of the documented form.
	ErrMalformed = errors.New("wechatpay: malformed message")
	// ErrStale and ErrFuture say that a plate's state change is too old, or lies ahead of our clock.
	ErrStale  = errors.New("wechatpay: the event is too old")
	ErrFuture = errors.New("wechatpay: the event lies ahead of the clock")
)

// ReasonOf returns the reason for an error of packages signing, flatxml and this one.
func ReasonOf(err error) Reason {
	for _, m := range []struct {
		err    error
		reason Reason
	}{
		{signing.ErrMissingHeader, ReasonMissingHeader},
		{signing.ErrStale, ReasonStale},
		{ErrStale, ReasonStale},
		{signing.ErrFuture, ReasonFuture},
		{ErrFuture, ReasonFuture},
		{signing.ErrUnknownKey, ReasonUnknownKey},
		{signing.ErrBadBase64, ReasonBadBase64},
		{signing.ErrBadSignature, ReasonBadSignature},
		{signing.ErrProbe, ReasonProbe},
		{signing.ErrUndecryptable, ReasonUndecryptable},
	} {
		if errors.Is(err, m.err) {
			return m.reason
		}
	}
	return ReasonMalformed
}

// MayBeOldKeys tells whether err may come from keys that were rotated since they were fetched. A missing header, a stale
// time, bad base64 and a signature probe never do.
func MayBeOldKeys(err error) bool {
	return errors.Is(err, signing.ErrUnknownKey) || errors.Is(err, signing.ErrBadSignature) ||
		errors.Is(err, signing.ErrUndecryptable)
}

// SignatureHeader gathers the four Wechatpay-* headers, each of which must come exactly once. The function get returns
// the value of a header by its canonical name, and how many values it has.
func SignatureHeader(get func(name string) (value string, count int)) (signing.Header, error) {
	var h signing.Header
	for _, f := range []struct {
		name  string
		value *string
	}{
		{"Wechatpay-Timestamp", &h.Timestamp},
		{"Wechatpay-Nonce", &h.Nonce},
		{"Wechatpay-Signature", &h.Signature},
		{"Wechatpay-Serial", &h.Serial},
	} {
		value, count := get(f.name)
		if value == "" {
			return signing.Header{}, fmt.Errorf("%w: %s", signing.ErrMissingHeader, f.name)
		}
		// API Gateway joins what came twice with a comma, which stands in none of the four.
		if count > 1 || strings.Contains(value, ",") {
			return signing.Header{}, fmt.Errorf("%w: %s came more than once", ErrMalformed, f.name)
		}
		*f.value = value
	}
	return h, nil
}

// PlateState is a V2 plate state change (车牌状态变更通知), verified.
type PlateState struct {
	MchID       string
	SubMchID    string // "" for a direct merchant
	PlateNumber string
	State       string    // vehicle_event_type: NORMAL, BLOCKED, or as it came; the page does not say that it is always there
	Reason      string    // vehicle_event_des: OVERDUE, REMOVE, PAUSE, PROACTIVE, AUTOPAY, or as it came, or ""
	DeductMode  string    // PROACTIVE, AUTOPAY or ""
	OccurredAt  time.Time // vehicle_event_createtime
	Document    flatxml.Document
}

// How old a plate's state change may be (WeChat Pay repeats it for 52 minutes; more is left for its own queues), and how
// far ahead of our clock.
const (
	maxPlateStateAge   = 6 * 24 * time.Hour
	maxPlateStateAhead = 24 * time.Hour
)

// ReadPlateState reads a verified document. It returns ErrMalformed, ErrStale or ErrFuture.
func ReadPlateState(d flatxml.Document, now time.Time) (PlateState, error) {
	p := PlateState{
		MchID:       d.Get("mch_id"),
		SubMchID:    d.Get("sub_mch_id"),
		PlateNumber: d.Get("plate_number"),
		State:       d.Get("vehicle_event_type"),
		Reason:      d.Get("vehicle_event_des"),
		DeductMode:  d.Get("deduct_mode"),
		Document:    d,
	}
	if p.MchID == "" || p.PlateNumber == "" {
		return PlateState{}, fmt.Errorf("%w: mch_id or plate_number is missing", ErrMalformed)
	}
	if swallowed(d) {
		return PlateState{}, fmt.Errorf("%w: an element stands inside another's value", ErrMalformed)
	}
	var err error
	if p.OccurredAt, err = beijingtime.ParseCompact(d.Get("vehicle_event_createtime")); err != nil {
		return PlateState{}, fmt.Errorf("%w: vehicle_event_createtime", ErrMalformed)
	}
	switch age := now.Sub(p.OccurredAt); {
	case age > maxPlateStateAge:
		return PlateState{}, ErrStale
	case age < -maxPlateStateAhead:
		return PlateState{}, ErrFuture
	}
	return p, nil
}

// swallowed tells whether a value holds another element as it would stand in the signed string, a=1&b=2. The scheme signs
// names and values without escapes, so whoever has seen one signed message can write b into the value of a and keep the
// signature; a sub_mch_id that is gone this way would take its owner's check with it.
func swallowed(d flatxml.Document) bool {
	for _, e := range d {
		if !strings.Contains(e.Value, "&") {
			continue
		}
		for _, name := range []string{
			"appid", "deduct_mode", "mch_id", "nonce_str", "plate_number", "sign_type", "sub_appid", "sub_mch_id",
			"vehicle_event_createtime", "vehicle_event_des", "vehicle_event_type",
		} {
			if strings.Contains(e.Value, "&"+name+"=") {
				return true
			}
		}
	}
	return false
}

// Canonical returns the string that is the same for every delivery of the event: its business fields, sorted, without
// the nonce, which may be new each time.
func (p PlateState) Canonical() string {
	return signing.CanonicalV2(p.Document, "nonce_str", "sign_type")
}

// Envelope is the outside of a V3 callback. Members that are not listed are left alone, since WeChat Pay adds some.
type Envelope struct {
	ID         string `json:"id"`
	CreateTime string `json:"create_time"` // RFC 3339
	EventType  string `json:"event_type"`  // such as MALL_TRANSACTION.SUCCESS
	Resource   *struct {
		Algorithm      string `json:"algorithm"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
		Nonce          string `json:"nonce"`
	} `json:"resource"`
}

// ReadEnvelope reads a V3 callback whose signature has verified. It returns ErrMalformed.
func ReadEnvelope(body []byte) (Envelope, time.Time, error) {
	var e Envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return Envelope{}, time.Time{}, fmt.Errorf("%w: not the documented JSON", ErrMalformed)
	}
	created, err := beijingtime.ParseRFC3339(e.CreateTime)
	switch {
	case err != nil:
		return Envelope{}, time.Time{}, fmt.Errorf("%w: create_time", ErrMalformed)
	case e.ID == "" || len(e.ID) > 128:
		return Envelope{}, time.Time{}, fmt.Errorf("%w: id", ErrMalformed)
	case e.EventType == "":
		return Envelope{}, time.Time{}, fmt.Errorf("%w: event_type", ErrMalformed)
	case e.Resource == nil:
		return Envelope{}, time.Time{}, fmt.Errorf("%w: resource is missing", ErrMalformed)
	case e.Resource.Algorithm != "AEAD_AES_256_GCM":
		return Envelope{}, time.Time{}, fmt.Errorf("%w: resource.algorithm", ErrMalformed)
	}
	return e, created, nil
}

// Resource is what a V3 callback carries, decrypted.
type Resource struct {
	JSON     jsontext.Value // as it came
	MchID    string         // mchid
	SubMchID string         // sub_mchid, "" where the event has none
	OpenID   string         // openid, "" where the event has none
}

// Open decrypts the envelope's resource with any of keys. It returns signing.ErrUndecryptable, or ErrMalformed where what
// was encrypted is not a JSON object.
func (e Envelope) Open(keys []*signing.V3Key) (Resource, error) {
	plain, err := signing.Decrypt(keys, e.Resource.Nonce, e.Resource.AssociatedData, e.Resource.Ciphertext)
	if err != nil {
		return Resource{}, err
	}
	var owner struct {
		MchID    string `json:"mchid"`
		SubMchID string `json:"sub_mchid"`
		// What has another kind of openid is no worse an event.
		OpenID any `json:"openid"`
	}
	if jsontext.Value(plain).Kind() != '{' || json.Unmarshal(plain, &owner) != nil {
		return Resource{}, fmt.Errorf("%w: the resource is not a JSON object", ErrMalformed)
	}
	openID, _ := owner.OpenID.(string)
	return Resource{JSON: plain, MchID: owner.MchID, SubMchID: owner.SubMchID, OpenID: openID}, nil
}

// Merchant returns the merchant that the resource is about: its sub_mchid where it has one, else its mchid.
func (r Resource) Merchant() string {
	if r.SubMchID != "" {
		return r.SubMchID
	}
	return r.MchID
}
