package main

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"wechat-parking-gateway/shared/beijingtime"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/trace"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/wechatpay"
)

// The template's keys of the two routes that this function serves.
const (
	plateStateRoute     = "POST /v1/callbacks/vehicle/{vendor_id}"
	businessCircleRoute = "POST /v1/callbacks/businesscircle"
)

// budget bounds a callback's whole handling: WeChat Pay waits 5 s.
const budget = 3 * time.Second

// queue is where verified events go.
type queue interface {
	Send(ctx context.Context, messages []event.Message) error
}

// callbacks verifies what WeChat Pay posts and puts it on the queue for the vendors that listen.
type callbacks struct {
	merchants wechatpay.Credentials[*merchant.Merchant]
	vendors   wechatpay.Credentials[*vendor.Directory]
	queue     queue
	now       func() time.Time
}

// refusal is why a callback is not answered with success. Without a reason it is a failure of ours.
type refusal struct {
	reason wechatpay.Reason
	detail string // for the log
}

// refuse returns the refusal of an error of the verifying packages.
func refuse(err error) *refusal {
	return &refusal{reason: wechatpay.ReasonOf(err), detail: err.Error()}
}

// ours returns the refusal of a failure of our own.
func ours(what string, err error) *refusal { return &refusal{detail: what + ": " + err.Error()} }

// plateState serves the V2 route: a plate's state has changed.
func (c *callbacks) plateState(ctx context.Context, req *httpapi.Request) httpapi.Response {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	setWeChatID(ctx, req)
	return answerV2(ctx, c.acceptPlateState(ctx, req))
}

func (c *callbacks) acceptPlateState(ctx context.Context, req *httpapi.Request) *refusal {
	document, err := readDocument(req.Body)
	if err != nil {
		return refuse(err)
	}
	m, r := c.verifyV2(ctx, document)
	if r != nil {
		return r
	}
	state, err := wechatpay.ReadPlateState(document, c.now())
	if err != nil {
		return refuse(err)
	}
	origin := originOf(ctx, req)
	origin.PlateHash = telemetry.Hash(m.LogHashKey, state.PlateNumber)
	telemetry.Set(ctx, telemetry.PlateHash, origin.PlateHash)
	v, r := c.owner(ctx, req.Path["vendor_id"], m, state)
	if r != nil {
		return r
	}
	telemetry.Set(ctx, telemetry.VendorID, v.ID)
	telemetry.Set(ctx, telemetry.EventType, event.VehiclePlateStateChanged)
	if !v.Listens(event.VehiclePlateStateChanged) {
		return c.send(ctx, nil)
	}
	data, err := json.Marshal(plateStateData(state), json.Deterministic(true))
	if err != nil {
		return ours("event", err)
	}
	return c.send(ctx, []event.Message{{
		ID: event.V2ID(state.Canonical(), v.ID), VendorID: v.ID, Type: event.VehiclePlateStateChanged,
		Timestamp: beijingtime.RFC3339(state.OccurredAt), Data: data, Origin: origin,
	}})
}

// setWeChatID notes WeChat Pay's own id of the callback, by which its support finds it.
func setWeChatID(ctx context.Context, req *httpapi.Request) {
	id, _ := req.Header.Get("request-id")
	telemetry.Set(ctx, telemetry.WeChatID, telemetry.Reference(id))
}

// originOf returns what an event tells of the callback that it came in.
func originOf(ctx context.Context, req *httpapi.Request) event.Origin {
	t, _ := trace.From(ctx)
	return event.Origin{Traceparent: t.String(), RequestID: req.ID}
}

func readDocument(body []byte) (flatxml.Document, error) {
	if len(body) > httpapi.MaxBody {
		return nil, wechatpay.ErrMalformed
	}
	return flatxml.Parse(body)
}

// verifyV2 checks the signature with each of the merchant's APIv2 keys, fetching them again where they may be old.
func (c *callbacks) verifyV2(ctx context.Context, d flatxml.Document) (*merchant.Merchant, *refusal) {
	m, err := c.merchants.Get(ctx)
	if err != nil {
		return nil, ours("merchant", err)
	}
	err = signing.VerifyV2(d, m.V2Keys)
	if err != nil && wechatpay.MayBeOldKeys(err) {
		if fresh, changed, refreshErr := c.merchants.Refresh(ctx); refreshErr == nil && changed {
			m, err = fresh, signing.VerifyV2(d, fresh.V2Keys)
		}
	}
	if err != nil {
		return nil, refuse(err)
	}
	return m, nil
}

// owner returns the vendor in the path when the event is about one of its merchants.
func (c *callbacks) owner(ctx context.Context, vendorID string, m *merchant.Merchant, s wechatpay.PlateState) (*vendor.Vendor, *refusal) {
	notOwned := &refusal{reason: wechatpay.ReasonNotThisVendor}
	if s.MchID != m.MchID {
		return nil, notOwned
	}
	var found *vendor.Vendor
	r := c.lookup(ctx, func(d *vendor.Directory) bool {
		v, ok := d.Lookup(vendorID)
		// A direct merchant's own entry has no sub_mchid. Whether a service provider's callback always has one is UNCONFIRMED.
		named := s.SubMchID != "" || m.Mode == merchant.Direct
		if !ok || named && !v.HasMerchant(s.SubMchID) {
			return false
		}
		found = v
		return true
	})
	return found, r
}

// lookup asks the vendors' list, and once more after fetching it again where the answer is no: a vendor or a merchant may
// have been added.
func (c *callbacks) lookup(ctx context.Context, known func(*vendor.Directory) bool) *refusal {
	d, err := c.vendors.Get(ctx)
	if err != nil {
		return ours("vendors", err)
	}
	if known(d) {
		return nil
	}
	if fresh, changed, err := c.vendors.Refresh(ctx); err == nil && changed && known(fresh) {
		return nil
	}
	return &refusal{reason: wechatpay.ReasonNotThisVendor}
}

// plateStateChanged is the data of a vehicle.plate_state_changed event. What WeChat Pay did not send is "".
type plateStateChanged struct {
	MchID                 string            `json:"mchid"`
	SubMchID              string            `json:"sub_mchid"`
	PlateNumber           string            `json:"plate_number"`
	PasswordFreeAvailable bool              `json:"password_free_available"`
	State                 string            `json:"state"`
	Reason                string            `json:"reason"`
	DeductMode            string            `json:"deduct_mode"`
	OccurredAt            string            `json:"occurred_at"`
	WeChatPay             map[string]string `json:"wechatpay"`
}

func plateStateData(s wechatpay.PlateState) plateStateChanged {
	elements := make(map[string]string, len(s.Document))
	for _, e := range s.Document {
		if e.Name != "sign" && e.Name != "sign_type" && e.Name != "nonce_str" {
			elements[e.Name] = e.Value
		}
	}
	return plateStateChanged{
		MchID: s.MchID, SubMchID: s.SubMchID, PlateNumber: s.PlateNumber,
		PasswordFreeAvailable: s.State == wechatpay.UserStateNormal,
		State:                 s.State, Reason: s.Reason, DeductMode: s.DeductMode,
		OccurredAt: beijingtime.RFC3339(s.OccurredAt), WeChatPay: elements,
	}
}

// businessCircle serves the V3 route: a card was activated, a member paid or was refunded in the mall.
func (c *callbacks) businessCircle(ctx context.Context, req *httpapi.Request) httpapi.Response {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	setWeChatID(ctx, req)
	return answerV3(ctx, c.acceptBusinessCircle(ctx, req))
}

func (c *callbacks) acceptBusinessCircle(ctx context.Context, req *httpapi.Request) *refusal {
	if len(req.Body) > httpapi.MaxBody {
		return refuse(wechatpay.ErrMalformed)
	}
	header, err := wechatpay.SignatureHeader(req.Header.Get)
	if err != nil {
		return refuse(err)
	}
	m, r := c.verifyV3(ctx, header, req.Body)
	if r != nil {
		return r
	}
	envelope, created, err := wechatpay.ReadEnvelope(req.Body)
	if err != nil {
		return refuse(err)
	}
	eventType := event.ForWeChatPay(envelope.EventType)
	// A type that no vendor can list is genuine all the same: it is not subscribed to.
	if event.Valid(eventType) {
		telemetry.Set(ctx, telemetry.EventType, eventType)
	}
	resource, r := c.open(ctx, m, envelope)
	if r != nil {
		return r
	}
	origin := originOf(ctx, req)
	origin.OpenIDHash = telemetry.Hash(m.LogHashKey, resource.OpenID)
	telemetry.Set(ctx, telemetry.OpenIDHash, origin.OpenIDHash)
	owner := resource.Merchant()
	if m.Mode == merchant.Direct && owner == m.MchID {
		owner = "" // entries of the merchant's own have no sub_mchid
	} else if owner == "" {
		return &refusal{reason: wechatpay.ReasonNotThisVendor, detail: "the resource names no merchant"}
	}
	var listeners []*vendor.Vendor
	if r := c.lookup(ctx, func(d *vendor.Directory) bool {
		listeners = d.Subscribers(owner, eventType)
		return d.Owns(owner)
	}); r != nil {
		return r
	}
	messages := make([]event.Message, 0, len(listeners))
	for _, v := range listeners {
		messages = append(messages, event.Message{
			ID: event.V3ID(envelope.ID, v.ID), VendorID: v.ID, Type: eventType,
			Timestamp: beijingtime.RFC3339(created), Data: resource.JSON, Origin: origin,
		})
	}
	return c.send(ctx, messages)
}

// verifyV3 checks the signature, fetching the keys again where they may be old.
func (c *callbacks) verifyV3(ctx context.Context, h signing.Header, body []byte) (*merchant.Merchant, *refusal) {
	telemetry.Set(ctx, telemetry.SignSerial, cut(h.Serial))
	m, err := c.merchants.Get(ctx)
	if err != nil {
		return nil, ours("merchant", err)
	}
	err = m.WeChatPayKeys.Verify(h, body, c.now())
	if err != nil && wechatpay.MayBeOldKeys(err) {
		if fresh, changed, refreshErr := c.merchants.Refresh(ctx); refreshErr == nil && changed {
			m, err = fresh, fresh.WeChatPayKeys.Verify(h, body, c.now())
		}
	}
	if err != nil {
		return nil, refuse(err)
	}
	return m, nil
}

// cut cuts a stranger's header to what a log line takes.
func cut(serial string) string {
	if len(serial) > 64 {
		return serial[:64]
	}
	return serial
}

// open decrypts the resource, fetching the keys again where they may be old.
func (c *callbacks) open(ctx context.Context, m *merchant.Merchant, e wechatpay.Envelope) (wechatpay.Resource, *refusal) {
	resource, err := e.Open(m.V3Keys)
	if err != nil && wechatpay.MayBeOldKeys(err) {
		if fresh, changed, refreshErr := c.merchants.Refresh(ctx); refreshErr == nil && changed {
			resource, err = e.Open(fresh.V3Keys)
		}
	}
	if err != nil {
		return wechatpay.Resource{}, refuse(err)
	}
	return resource, nil
}

// send puts the messages on the queue. A genuine event that no vendor lists is answered with success and counted.
func (c *callbacks) send(ctx context.Context, messages []event.Message) *refusal {
	telemetry.Set(ctx, telemetry.Events, len(messages))
	if len(messages) == 0 {
		telemetry.Set(ctx, telemetry.Reason, string(wechatpay.ReasonNotSubscribed))
		telemetry.Count(ctx, telemetry.CallbacksNotSubscribed)
		return nil
	}
	telemetry.Set(ctx, telemetry.EventID, messages[0].ID)
	if err := c.queue.Send(ctx, messages); err != nil {
		return &refusal{reason: wechatpay.ReasonQueueUnavailable, detail: "sqs"}
	}
	return nil
}

// internalError is the word for a failure of ours that has no reason of its own.
const internalError = "internal_error"

// note counts a refusal, puts it into the request's log line and returns its word for WeChat Pay.
func note(ctx context.Context, r *refusal) string {
	switch {
	case r.reason == "":
		telemetry.CountReason(ctx, telemetry.CallbacksFailed, internalError)
		telemetry.Set(ctx, telemetry.Reason, r.detail) // "" keeps the reason that is there
		return internalError
	case r.internal():
		telemetry.CountReason(ctx, telemetry.CallbacksFailed, string(r.reason))
	case r.reason == wechatpay.ReasonProbe:
		telemetry.Count(ctx, telemetry.SignatureProbes)
	default:
		telemetry.CountReason(ctx, telemetry.CallbacksRefused, string(r.reason))
	}
	telemetry.Set(ctx, telemetry.Reason, string(r.reason))
	if r.detail != "" {
		telemetry.Set(ctx, telemetry.Error, r.detail)
	}
	return string(r.reason)
}

// internal tells whether a refusal is ours, so that WeChat Pay's repeat may succeed.
func (r *refusal) internal() bool {
	return r.reason == "" || r.reason == wechatpay.ReasonQueueUnavailable
}

// answerV2 answers as the V2 page asks: exactly this XML, with HTTP 200 but for failures of ours.
func answerV2(ctx context.Context, r *refusal) httpapi.Response {
	res := httpapi.Response{Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/xml; charset=utf-8"}}
	code, message := "SUCCESS", "OK"
	if r == nil {
		telemetry.Count(ctx, telemetry.PlateStateCallbacksAccepted)
	} else {
		code, message = "FAIL", note(ctx, r)
		if r.internal() {
			res.Status = http.StatusInternalServerError
		}
	}
	res.Body = []byte("<xml><return_code><![CDATA[" + code + "]]></return_code><return_msg><![CDATA[" + message + "]]></return_msg></xml>")
	return res
}

// answerV3 answers as V3 asks: the HTTP status decides.
func answerV3(ctx context.Context, r *refusal) httpapi.Response {
	if r == nil {
		telemetry.Count(ctx, telemetry.BusinessCircleCallbacksAccepted)
		return httpapi.Response{Status: http.StatusNoContent}
	}
	status := http.StatusInternalServerError
	switch r.reason {
	case "":
	case wechatpay.ReasonQueueUnavailable:
		status = http.StatusServiceUnavailable
	case wechatpay.ReasonMissingHeader, wechatpay.ReasonMalformed, wechatpay.ReasonUndecryptable:
		status = http.StatusBadRequest
	case wechatpay.ReasonNotThisVendor:
		status = http.StatusForbidden
	default:
		status = http.StatusUnauthorized
	}
	return httpapi.Response{
		Status: status, Header: map[string]string{"Content-Type": "application/json"},
		Body: []byte(`{"code":"FAIL","message":"` + note(ctx, r) + `"}`),
	}
}

// failed answers a callback whose handling panicked.
func failed(ctx context.Context, req *httpapi.Request) httpapi.Response {
	// Why stands in the log already.
	r := &refusal{}
	if req.Route == businessCircleRoute {
		return answerV3(ctx, r)
	}
	return answerV2(ctx, r)
}
