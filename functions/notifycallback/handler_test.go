package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/local/wechatpaysim"
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

const (
	successXML = "<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
	url        = "https://gateway.example.com/callback"
)

// sink is the queue: what it accepted, or why it accepts nothing.
type sink struct {
	err   error
	hang  bool
	calls int
	got   []event.Message
}

func (s *sink) Send(ctx context.Context, messages []event.Message) error {
	s.calls++
	if s.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.err == nil {
		s.got = append(s.got, messages...)
	}
	return s.err
}

// vendors returns whom the accepted messages are for.
func (s *sink) vendors() []string {
	var ids []string
	for _, m := range s.got {
		ids = append(ids, m.VendorID)
	}
	return ids
}

// rig is the function with its surroundings in memory and the simulator to make callbacks.
type rig struct {
	t         testing.TB
	world     *fixture.World
	merchants *functest.Source[*merchant.Merchant]
	vendors   *functest.Source[*vendor.Directory]
	queue     *sink
	sim       *wechatpaysim.Simulator
	log       *functest.Log
	adapter   *httpapi.Adapter
}

func newRig(t testing.TB, changes ...func(*fixture.World)) *rig {
	t.Helper()
	r := &rig{t: t, world: functest.NewWorld(t), queue: &sink{}}
	for _, change := range changes {
		change(r.world)
	}
	r.log = functest.NewLog(t, functest.Private(r.world)...)
	sim, err := wechatpaysim.New(r.world.WeChatPay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	r.sim = sim
	r.merchants = &functest.Source[*merchant.Merchant]{Value: functest.Merchant(t, r.world)}
	r.vendors = &functest.Source[*vendor.Directory]{Value: functest.Vendors(t, r.world)}
	c := &callbacks{merchants: r.merchants, vendors: r.vendors, queue: r.queue, now: time.Now}
	r.adapter = &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{plateStateRoute: c.plateState, businessCircleRoute: c.businessCircle},
		Failed: failed, Now: time.Now, Logger: r.log.Logger(), Meter: r.log.Meter(),
	}
	return r
}

// bothListen changes the world to one in which the other vendor hears everything, too; both have the merchant.
func bothListen(w *fixture.World) {
	w.Vendors.Vendors[fixture.OtherVendorID].Events = w.Vendors.Vendors[fixture.VendorID].Events
}

func (r *rig) build(c wechatpaysim.Callback, err error) wechatpaysim.Callback {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// plate is a plate state change of the fixture's merchant.
func (r *rig) plate(change ...func(*wechatpaysim.PlateState)) wechatpaysim.Callback {
	r.t.Helper()
	p := wechatpaysim.PlateState{
		SubMchID: fixture.SubMchID, SubAppID: fixture.SubAppID, PlateNumber: fixture.Plate, EventType: "BLOCKED", EventDes: "OVERDUE",
	}
	if r.world.Merchant.Mode == string(merchant.Direct) {
		p.SubMchID, p.SubAppID = "", ""
	}
	for _, c := range change {
		c(&p)
	}
	return r.build(r.sim.BuildPlateState(url, p))
}

// transaction is a payment in the mall of the fixture's merchant.
func (r *rig) transaction(change ...func(*wechatpaysim.MallTransaction)) wechatpaysim.Callback {
	r.t.Helper()
	m := wechatpaysim.MallTransaction{MchID: fixture.SubMchID, AppID: fixture.CircleAppID, OpenID: fixture.OpenID, Amount: 200, TransactionID: "1234567890"}
	if r.world.Merchant.Mode == string(merchant.Direct) {
		m.MchID = fixture.MchID
	}
	for _, c := range change {
		c(&m)
	}
	return r.build(r.sim.BuildMallTransaction(url, m))
}

// deliver posts a callback through an event, as API Gateway would.
func (r *rig) deliver(c wechatpaysim.Callback, vendorID string) functest.Answer {
	r.t.Helper()
	return r.invoke(arrival(c, vendorID))
}

// arrival is the event that a callback becomes; without a vendor it is one of the business circle.
func arrival(c wechatpaysim.Callback, vendorID string) functest.Event {
	e := functest.Event{Route: businessCircleRoute, RequestID: "r-1", Header: map[string]string{}, Body: string(c.Body)}
	if vendorID != "" {
		e.Route, e.Path = plateStateRoute, map[string]string{"vendor_id": vendorID}
	}
	for name, values := range c.Header {
		e.Header[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return e
}

func (r *rig) invoke(e functest.Event) functest.Answer {
	r.t.Helper()
	a := functest.Invoke(r.t.Context(), r.t, r.adapter, e)
	if a.Header["Request-Id"] != "r-1" {
		r.t.Errorf("got %v, want a Request-Id", a.Header)
	}
	if leak := r.log.Leak(a.Body); leak != "" {
		r.t.Errorf("the answer holds %q: %s", leak, a.Body)
	}
	return a
}

// wantV2 holds an answer to be exactly the V2 page's XML: success, or the reason with its HTTP status.
func (r *rig) wantV2(a functest.Answer, reason wechatpay.Reason) {
	r.t.Helper()
	want, status := successXML, 200
	if reason != "" {
		want = "<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[" + string(reason) + "]]></return_msg></xml>"
		if reason == wechatpay.ReasonQueueUnavailable || reason == "internal_error" {
			status = 500
		}
	}
	if a.Status != status || a.Body != want || a.Header["Content-Type"] != "text/xml; charset=utf-8" {
		r.t.Errorf("got %d %s %s, want %d %s", a.Status, a.Header["Content-Type"], a.Body, status, want)
	}
	r.wantLogged(reason)
	r.wantCounted(telemetry.PlateStateCallbacksAccepted, reason)
}

// statusV3 is the HTTP status with which V3 callbacks are refused.
var statusV3 = map[wechatpay.Reason]int{
	wechatpay.ReasonMissingHeader: 400, wechatpay.ReasonMalformed: 400, wechatpay.ReasonUndecryptable: 400,
	wechatpay.ReasonStale: 401, wechatpay.ReasonFuture: 401, wechatpay.ReasonUnknownKey: 401, wechatpay.ReasonBadBase64: 401,
	wechatpay.ReasonBadSignature: 401, wechatpay.ReasonProbe: 401, wechatpay.ReasonNotThisVendor: 403,
	wechatpay.ReasonQueueUnavailable: 503, "internal_error": 500,
}

// wantV3 holds an answer to be V3's: an empty 204, or {"code":"FAIL","message":reason} with its status.
func (r *rig) wantV3(a functest.Answer, reason wechatpay.Reason) {
	r.t.Helper()
	if reason == "" {
		if a.Status != 204 || a.Body != "" {
			r.t.Errorf("got %d %s, want an empty 204", a.Status, a.Body)
		}
	} else if want := `{"code":"FAIL","message":"` + string(reason) + `"}`; a.Status != statusV3[reason] || a.Body != want || a.Header["Content-Type"] != "application/json" {
		r.t.Errorf("got %d %s, want %d %s", a.Status, a.Body, statusV3[reason], want)
	}
	r.wantLogged(reason)
	r.wantCounted(telemetry.BusinessCircleCallbacksAccepted, reason)
}

// wantCounted holds the metrics of the last callback to what became of it.
func (r *rig) wantCounted(accepted telemetry.Metric, reason wechatpay.Reason) {
	r.t.Helper()
	got := r.log.Counted(r.t)
	delete(got, "Panics")
	want := map[string]int64{}
	switch reason {
	case "":
		want[string(accepted)] = 1
		if r.log.Last(r.t)["reason"] == string(wechatpay.ReasonNotSubscribed) {
			want["CallbacksNotSubscribed"] = 1
		}
	case wechatpay.ReasonProbe:
		want["SignatureProbes"] = 1
	case wechatpay.ReasonQueueUnavailable, "internal_error":
		want["CallbacksFailed/"+string(reason)] = 1
	default:
		want["CallbacksRefused/"+string(reason)] = 1
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func (r *rig) wantLogged(reason wechatpay.Reason) {
	r.t.Helper()
	got := r.log.Last(r.t)["reason"]
	switch {
	case reason == "internal_error":
		if got == "" {
			r.t.Error("logged no reason, want what failed")
		}
	case reason != "" && got != string(reason):
		r.t.Errorf("logged reason %q, want %q", got, reason)
	}
}

// resign signs a V2 document anew, whatever was done to it.
func (r *rig) resign(c wechatpaysim.Callback, change func(flatxml.Document) flatxml.Document) wechatpaysim.Callback {
	r.t.Helper()
	d, err := flatxml.Parse(c.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	d = change(without(d, "sign"))
	key, err := signing.NewV2Key(r.world.Merchant.APIv2Keys[0])
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := flatxml.Append(nil, append(d, flatxml.Element{Name: "sign", Value: key.Sign(d)}))
	if err != nil {
		r.t.Fatal(err)
	}
	c.Body = body
	return c
}

func without(d flatxml.Document, name string) flatxml.Document {
	return slices.DeleteFunc(slices.Clone(d), func(e flatxml.Element) bool { return e.Name == name })
}

func set(name, value string) func(flatxml.Document) flatxml.Document {
	return func(d flatxml.Document) flatxml.Document {
		return append(without(d, name), flatxml.Element{Name: name, Value: value})
	}
}

func drop(name string) func(flatxml.Document) flatxml.Document {
	return func(d flatxml.Document) flatxml.Document { return without(d, name) }
}

// TestPlateState: a genuine V2 callback is answered with success when the queue has the event.
func TestPlateState(t *testing.T) {
	r := newRig(t)
	at := time.Now().Truncate(time.Second)
	c := r.plate(func(p *wechatpaysim.PlateState) { p.CreateTime, p.DeductMode = at, "PROACTIVE" })
	r.wantV2(r.deliver(c, fixture.VendorID), "")
	if len(r.queue.got) != 1 {
		t.Fatalf("got %d messages, want 1", len(r.queue.got))
	}
	got := r.queue.got[0]
	occurred := at.In(time.FixedZone("", 8*60*60)).Format(time.RFC3339)
	var data map[string]any
	if err := json.Unmarshal(got.Data, &data); err != nil {
		t.Fatal(err)
	}
	elements, _ := data["wechatpay"].(map[string]any)
	for _, name := range []string{"sign", "sign_type", "nonce_str"} {
		if _, there := elements[name]; there {
			t.Errorf("got %s among the elements that go on", name)
		}
	}
	if elements["plate_number"] != fixture.Plate || elements["vehicle_event_type"] != "BLOCKED" {
		t.Errorf("got elements %v, want those of the callback", elements)
	}
	delete(data, "wechatpay")
	want := map[string]any{
		"mchid": fixture.MchID, "sub_mchid": fixture.SubMchID, "plate_number": fixture.Plate, "password_free_available": false,
		"state": "BLOCKED", "reason": "OVERDUE", "deduct_mode": "PROACTIVE", "occurred_at": occurred,
	}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if got.VendorID != fixture.VendorID || got.Type != event.VehiclePlateStateChanged || got.Timestamp != occurred || len(got.ID) != 44 || !strings.HasPrefix(got.ID, "evt_") {
		t.Errorf("got %+v, want a message for %s at %s", got, fixture.VendorID, occurred)
	}
	if _, err := got.Encode(); err != nil {
		t.Errorf("the queue would not take the message: %v", err)
	}
	line := r.log.Last(t)
	for name, want := range map[string]string{
		"vendor_id": fixture.VendorID, "event_type": event.VehiclePlateStateChanged, "event_id": got.ID, "events": "1", "status": "200",
	} {
		if line[name] != want {
			t.Errorf("logged %s %q, want %q", name, line[name], want)
		}
	}
	if len(line["plate_hash"]) != 16 {
		t.Errorf("logged plate_hash %q, want 16 digits", line["plate_hash"])
	}
}

// TestOrigin: the queue's messages say which callback they came in, by ids that its log line has too, and hash what the
// line hashes.
func TestOrigin(t *testing.T) {
	for name, tc := range map[string]struct {
		deliver func(*rig, wechatpaysim.Callback) functest.Answer
		make    func(*rig) wechatpaysim.Callback
		hash    string
	}{
		"a plate":   {func(r *rig, c wechatpaysim.Callback) functest.Answer { return r.deliver(c, fixture.VendorID) }, func(r *rig) wechatpaysim.Callback { return r.plate() }, "plate_hash"},
		"a payment": {func(r *rig, c wechatpaysim.Callback) functest.Answer { return r.deliver(c, "") }, func(r *rig) wechatpaysim.Callback { return r.transaction() }, "openid_hash"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := tc.make(r)
			c.Header.Set("Request-ID", "08F78DB8A6")
			c.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			tc.deliver(r, c)
			line, got := r.log.Last(t), r.queue.got[0].Origin
			if line["trace_id"] != "0af7651916cd43dd8448eb211c80319c" || trace.Begin(got.Traceparent).ID() != line["trace_id"] {
				t.Errorf("got the traceparent %s, logged the trace %s, want the caller's", got.Traceparent, line["trace_id"])
			}
			if got.RequestID != "r-1" || line["wechatpay_request_id"] != "08F78DB8A6" {
				t.Errorf("got %+v, logged %v, want API Gateway's request id and WeChat Pay's", got, line)
			}
			if hash := got.PlateHash + got.OpenIDHash; len(hash) != 16 || line[tc.hash] != hash {
				t.Errorf("got the hash %q, logged %s %q, want the same of 16 digits", hash, tc.hash, line[tc.hash])
			}
		})
	}
}

// TestWeChatPaysOwnIDIsCleaned: a header is a stranger's until the signature holds, and stands in the line before.
func TestWeChatPaysOwnIDIsCleaned(t *testing.T) {
	for _, id := range []string{fixture.Plate, `a"b`, "a b", strings.Repeat("a", 65)} {
		r := newRig(t)
		c := r.plate()
		c.Header.Set("Request-ID", id)
		r.wantV2(r.deliver(c, fixture.VendorID), "")
		if got := r.log.Last(t)["wechatpay_request_id"]; got != "" {
			t.Errorf("logged %q, want none", got)
		}
	}
}

func TestPasswordFree(t *testing.T) {
	for state, want := range map[string]bool{"NORMAL": true, "BLOCKED": false, "BLOCK": false, "": false, "BRAND_NEW": false} {
		r := newRig(t)
		r.wantV2(r.deliver(r.plate(func(p *wechatpaysim.PlateState) { p.EventType = state }), fixture.VendorID), "")
		var data struct {
			Free  bool   `json:"password_free_available"`
			State string `json:"state"`
		}
		if err := json.Unmarshal(r.queue.got[0].Data, &data); err != nil {
			t.Fatal(err)
		}
		if data.Free != want || data.State != state {
			t.Errorf("%q: got %+v, want %t", state, data, want)
		}
	}
}

// TestReasonsV2 is the table of why a V2 callback is refused, or is not: each row is one change to a genuine one.
func TestReasonsV2(t *testing.T) {
	plate := func(change func(*wechatpaysim.PlateState)) func(*rig) wechatpaysim.Callback {
		return func(r *rig) wechatpaysim.Callback { return r.plate(change) }
	}
	signed := func(change func(flatxml.Document) flatxml.Document) func(*rig) wechatpaysim.Callback {
		return func(r *rig) wechatpaysim.Callback { return r.resign(r.plate(), change) }
	}
	body := func(change func(string) string) func(*rig) wechatpaysim.Callback {
		return func(r *rig) wechatpaysim.Callback {
			c := r.plate()
			c.Body = []byte(change(string(c.Body)))
			return c
		}
	}
	forged := func(kind wechatpaysim.Forgery) func(*rig) wechatpaysim.Callback {
		return func(r *rig) wechatpaysim.Callback { return r.build(r.sim.Forge(r.plate(), kind)) }
	}
	replace := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	const day = 24 * time.Hour
	const accepted = wechatpay.Reason("")
	for name, tc := range map[string]struct {
		callback func(*rig) wechatpaysim.Callback
		vendor   string
		want     wechatpay.Reason
	}{
		"as it is":               {plate(func(*wechatpaysim.PlateState) {}), fixture.VendorID, accepted},
		"no sign_type":           {plate(func(p *wechatpaysim.PlateState) { p.OmitSignType = true }), fixture.VendorID, accepted},
		"an element that is new": {plate(func(p *wechatpaysim.PlateState) { p.Extra = []wechatpaysim.Element{{Name: "brand_new", Value: "1"}} }), fixture.VendorID, accepted},
		"another appid":          {plate(func(p *wechatpaysim.PlateState) { p.AppID = "wx0000000000000000" }), fixture.VendorID, accepted},
		"another sub_appid":      {plate(func(p *wechatpaysim.PlateState) { p.SubAppID = "wx0000000000000000" }), fixture.VendorID, accepted},
		"no sub_mch_id":          {plate(func(p *wechatpaysim.PlateState) { p.SubMchID = "" }), fixture.VendorID, accepted},
		"the other vendor of it": {plate(func(*wechatpaysim.PlateState) {}), fixture.OtherVendorID, accepted},
		"almost 6 days old":      {plate(func(p *wechatpaysim.PlateState) { p.CreateTime = time.Now().Add(-6*day + time.Minute) }), fixture.VendorID, accepted},
		"almost a day ahead":     {plate(func(p *wechatpaysim.PlateState) { p.CreateTime = time.Now().Add(day - time.Minute) }), fixture.VendorID, accepted},
		"over 6 days old":        {plate(func(p *wechatpaysim.PlateState) { p.CreateTime = time.Now().Add(-6*day - time.Minute) }), fixture.VendorID, wechatpay.ReasonStale},
		"over a day ahead":       {plate(func(p *wechatpaysim.PlateState) { p.CreateTime = time.Now().Add(day + time.Minute) }), fixture.VendorID, wechatpay.ReasonFuture},
		"a byte":                 {forged(wechatpaysim.ForgeByte), fixture.VendorID, wechatpay.ReasonBadSignature},
		"another key":            {forged(wechatpaysim.ForgeKey), fixture.VendorID, wechatpay.ReasonBadSignature},
		"a probe":                {forged(wechatpaysim.ForgeProbe), fixture.VendorID, wechatpay.ReasonProbe},
		"no sign":                {body(func(s string) string { return s[:strings.Index(s, "<sign>")] + s[strings.Index(s, "</sign>")+7:] }), fixture.VendorID, wechatpay.ReasonBadSignature},
		"an element added":       {body(replace("</xml>", "<x>1</x></xml>")), fixture.VendorID, wechatpay.ReasonBadSignature},
		"MD5":                    {signed(set("sign_type", "MD5")), fixture.VendorID, wechatpay.ReasonBadSignature},
		"nothing":                {body(func(string) string { return "" }), fixture.VendorID, wechatpay.ReasonMalformed},
		"JSON":                   {body(func(string) string { return "{}" }), fixture.VendorID, wechatpay.ReasonMalformed},
		"a document type":        {body(func(s string) string { return `<!DOCTYPE xml [<!ENTITY a "b">]>` + s }), fixture.VendorID, wechatpay.ReasonMalformed},
		"nested":                 {body(replace("</xml>", "<x><y>1</y></x></xml>")), fixture.VendorID, wechatpay.ReasonMalformed},
		"an element twice":       {body(replace("</xml>", "<mch_id>1</mch_id></xml>")), fixture.VendorID, wechatpay.ReasonMalformed},
		"something after it":     {body(func(s string) string { return s + "<xml></xml>" }), fixture.VendorID, wechatpay.ReasonMalformed},
		"over 64 KiB":            {body(func(s string) string { return s + strings.Repeat("\n", httpapi.MaxBody) }), fixture.VendorID, wechatpay.ReasonMalformed},
		"no plate":               {signed(drop("plate_number")), fixture.VendorID, wechatpay.ReasonMalformed},
		"no time":                {signed(drop("vehicle_event_createtime")), fixture.VendorID, wechatpay.ReasonMalformed},
		"a time of V3":           {signed(set("vehicle_event_createtime", "2018-01-01T10:00:00+08:00")), fixture.VendorID, wechatpay.ReasonMalformed},
		"a sub_mch_id that was hidden": {signed(func(d flatxml.Document) flatxml.Document {
			return set("plate_number", fixture.Plate+"&sub_mch_id=1")(without(without(d, "sub_mch_id"), "sign_type"))
		}), fixture.VendorID, wechatpay.ReasonMalformed},
		"another mch_id":            {plate(func(p *wechatpaysim.PlateState) { p.MchID = "10000099" }), fixture.VendorID, wechatpay.ReasonNotThisVendor},
		"another vendor's merchant": {plate(func(p *wechatpaysim.PlateState) { p.SubMchID = fixture.OtherSubMchID }), fixture.VendorID, wechatpay.ReasonNotThisVendor},
		"nobody's merchant":         {plate(func(p *wechatpaysim.PlateState) { p.SubMchID = "1" }), fixture.VendorID, wechatpay.ReasonNotThisVendor},
		"nobody in the path":        {plate(func(*wechatpaysim.PlateState) {}), "nobody", wechatpay.ReasonNotThisVendor},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.wantV2(r.deliver(tc.callback(r), tc.vendor), tc.want)
			want := 0
			if tc.want == accepted {
				want = 1
			}
			if len(r.queue.got) != want {
				t.Errorf("got %d messages, want %d", len(r.queue.got), want)
			}
		})
	}
}

// header makes one change to a callback's headers.
func header(change func(http.Header)) func(*rig) wechatpaysim.Callback {
	return func(r *rig) wechatpaysim.Callback {
		c := r.transaction()
		change(c.Header)
		return c
	}
}

// TestReasonsV3 is the same table for V3.
func TestReasonsV3(t *testing.T) {
	forged := func(kind wechatpaysim.Forgery) func(*rig) wechatpaysim.Callback {
		return func(r *rig) wechatpaysim.Callback { return r.build(r.sim.Forge(r.transaction(), kind)) }
	}
	body := func(change func(string) string) func(*rig) wechatpaysim.Callback {
		return func(r *rig) wechatpaysim.Callback {
			c := r.transaction()
			c.Body = []byte(change(string(c.Body)))
			return r.build(r.sim.Resign(c))
		}
	}
	resource := func(v any) func(*rig) wechatpaysim.Callback {
		return func(r *rig) wechatpaysim.Callback {
			return r.build(r.sim.BuildEvent(url, wechatpaysim.Event{Type: "MALL_TRANSACTION.SUCCESS", Resource: v}))
		}
	}
	const accepted = wechatpay.Reason("")
	for name, tc := range map[string]struct {
		callback func(*rig) wechatpaysim.Callback
		want     wechatpay.Reason
	}{
		"as it is": {header(func(http.Header) {}), accepted},
		"by the certificate": {func(r *rig) wechatpaysim.Callback {
			return r.build(r.sim.SignWith(r.transaction(), r.world.Identity.CertificateSerial))
		}, accepted},
		"another appid and openid": {func(r *rig) wechatpaysim.Callback {
			return r.transaction(func(m *wechatpaysim.MallTransaction) { m.AppID, m.OpenID = "x", "y" })
		}, accepted},
		"sub_mchid beside mchid":     {resource(map[string]string{"mchid": fixture.MchID, "sub_mchid": fixture.SubMchID}), accepted},
		"white space in the body":    {body(func(s string) string { return "\n" + s + "\n" }), accepted},
		"a member that is new":       {body(func(s string) string { return `{"brand_new":null,` + s[1:] }), accepted},
		"no timestamp":               {header(func(h http.Header) { h.Del("Wechatpay-Timestamp") }), wechatpay.ReasonMissingHeader},
		"no nonce":                   {header(func(h http.Header) { h.Del("Wechatpay-Nonce") }), wechatpay.ReasonMissingHeader},
		"no signature":               {header(func(h http.Header) { h.Del("Wechatpay-Signature") }), wechatpay.ReasonMissingHeader},
		"no serial":                  {header(func(h http.Header) { h.Del("Wechatpay-Serial") }), wechatpay.ReasonMissingHeader},
		"no header":                  {header(func(h http.Header) { clear(h) }), wechatpay.ReasonMissingHeader},
		"a timestamp twice":          {header(func(h http.Header) { h.Add("Wechatpay-Timestamp", h.Get("Wechatpay-Timestamp")) }), wechatpay.ReasonMalformed},
		"a signature twice":          {header(func(h http.Header) { h.Add("Wechatpay-Signature", h.Get("Wechatpay-Signature")) }), wechatpay.ReasonMalformed},
		"a serial twice":             {header(func(h http.Header) { h.Add("Wechatpay-Serial", h.Get("Wechatpay-Serial")) }), wechatpay.ReasonMalformed},
		"a timestamp that is none":   {header(func(h http.Header) { h.Set("Wechatpay-Timestamp", "now") }), wechatpay.ReasonMalformed},
		"stale":                      {forged(wechatpaysim.ForgeStale), wechatpay.ReasonStale},
		"future":                     {forged(wechatpaysim.ForgeFuture), wechatpay.ReasonFuture},
		"a serial that nobody knows": {forged(wechatpaysim.ForgeSerial), wechatpay.ReasonUnknownKey},
		"bad base64":                 {forged(wechatpaysim.ForgeBase64), wechatpay.ReasonBadBase64},
		"a byte":                     {forged(wechatpaysim.ForgeByte), wechatpay.ReasonBadSignature},
		"another key":                {forged(wechatpaysim.ForgeKey), wechatpay.ReasonBadSignature},
		"another nonce":              {header(func(h http.Header) { h.Set("Wechatpay-Nonce", "x") }), wechatpay.ReasonBadSignature},
		"a probe":                    {forged(wechatpaysim.ForgeProbe), wechatpay.ReasonProbe},
		"undecryptable":              {forged(wechatpaysim.ForgeEncryption), wechatpay.ReasonUndecryptable},
		"a nonce of 11":              {body(func(s string) string { return shortNonce(s) }), wechatpay.ReasonUndecryptable},
		"no JSON":                    {body(func(string) string { return "<xml></xml>" }), wechatpay.ReasonMalformed},
		"nothing":                    {body(func(string) string { return "" }), wechatpay.ReasonMalformed},
		"a key twice":                {body(func(s string) string { return `{"id":"1",` + s[1:] }), wechatpay.ReasonMalformed},
		"no resource":                {body(func(s string) string { return strings.Replace(s, `"resource":`, `"source":`, 1) }), wechatpay.ReasonMalformed},
		"another algorithm":          {body(func(s string) string { return strings.Replace(s, "AEAD_AES_256_GCM", "AEAD_SM4_GCM", 1) }), wechatpay.ReasonMalformed},
		"no event_type":              {body(func(s string) string { return strings.Replace(s, `"event_type":`, `"eventtype":`, 1) }), wechatpay.ReasonMalformed},
		"over 64 KiB":                {body(func(s string) string { return s + strings.Repeat(" ", httpapi.MaxBody) }), wechatpay.ReasonMalformed},
		"a resource that is a list":  {resource([]string{fixture.SubMchID}), wechatpay.ReasonMalformed},
		"mchid is a number":          {resource(map[string]int{"mchid": 1900000109}), wechatpay.ReasonMalformed},
		"a merchant of nobody": {func(r *rig) wechatpaysim.Callback {
			return r.transaction(func(m *wechatpaysim.MallTransaction) { m.MchID = "1" })
		}, wechatpay.ReasonNotThisVendor},
		"the service provider's own": {func(r *rig) wechatpaysim.Callback {
			return r.transaction(func(m *wechatpaysim.MallTransaction) { m.MchID = fixture.MchID })
		}, wechatpay.ReasonNotThisVendor},
		"no merchant":           {resource(map[string]string{"openid": fixture.OpenID}), wechatpay.ReasonNotThisVendor},
		"a sub_mchid of nobody": {resource(map[string]string{"mchid": fixture.SubMchID, "sub_mchid": "1"}), wechatpay.ReasonNotThisVendor},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.wantV3(r.deliver(tc.callback(r), ""), tc.want)
			want := 0
			if tc.want == accepted {
				want = 1
			}
			if len(r.queue.got) != want {
				t.Errorf("got %d messages, want %d", len(r.queue.got), want)
			}
		})
	}
}

// shortNonce cuts a character from the resource's nonce.
func shortNonce(s string) string {
	at := strings.Index(s, `"nonce":"`) + len(`"nonce":"`)
	return s[:at] + s[at+1:]
}

// TestHeadersInTwoSpellings: a header that comes twice, once in each spelling, is refused.
func TestHeadersInTwoSpellings(t *testing.T) {
	r := newRig(t)
	c := r.transaction()
	for name := range c.Header {
		if !strings.HasPrefix(name, "Wechatpay-") || name == "Wechatpay-Signature-Type" {
			continue
		}
		e := functest.Event{Route: businessCircleRoute, RequestID: "r-1", Header: map[string]string{strings.ToLower(name): c.Header.Get(name)}, Body: string(c.Body)}
		for name := range c.Header {
			e.Header[name] = c.Header.Get(name)
		}
		r.wantV3(r.invoke(e), wechatpay.ReasonMalformed)
	}
	// Canonical names alone, and a body in base64, are as good as any.
	e := functest.Event{Route: businessCircleRoute, RequestID: "r-1", Header: map[string]string{}, Body: base64.StdEncoding.EncodeToString(c.Body), Base64: true}
	for name := range c.Header {
		e.Header[name] = c.Header.Get(name)
	}
	r.wantV3(r.invoke(e), "")
}

// TestOrderOfChecks: each callback has two mistakes, and the earlier check answers.
func TestOrderOfChecks(t *testing.T) {
	type mistake func(*rig, *wechatpaysim.Callback)
	drop := func(name string) mistake { return func(_ *rig, c *wechatpaysim.Callback) { c.Header.Del(name) } }
	put := func(name, value string) mistake {
		return func(_ *rig, c *wechatpaysim.Callback) { c.Header.Set(name, value) }
	}
	rebuilt := func(build func(*rig) wechatpaysim.Callback) mistake {
		return func(r *rig, c *wechatpaysim.Callback) { *c = build(r) }
	}
	tooLarge := func(_ *rig, c *wechatpaysim.Callback) {
		c.Body = append(c.Body, strings.Repeat(" ", httpapi.MaxBody)...)
	}
	badByte := func(_ *rig, c *wechatpaysim.Callback) { c.Body = append(c.Body, ' ') }
	stale := put("Wechatpay-Timestamp", "1000000000")
	unknownKey := put("Wechatpay-Serial", "PUB_KEY_ID_1")
	badBase64 := put("Wechatpay-Signature", "!")
	undecryptable := rebuilt(func(r *rig) wechatpaysim.Callback {
		return r.build(r.sim.Forge(r.transaction(func(m *wechatpaysim.MallTransaction) { m.MchID = "1" }), wechatpaysim.ForgeEncryption))
	})
	malformed := func(r *rig, c *wechatpaysim.Callback) {
		c.Body = []byte(strings.Replace(shortNonce(string(c.Body)), "AEAD_AES_256_GCM", "X", 1))
		*c = r.build(r.sim.Resign(*c))
	}
	nobodys := rebuilt(func(r *rig) wechatpaysim.Callback {
		return r.transaction(func(m *wechatpaysim.MallTransaction) { m.MchID = "1" })
	})
	queueOut := func(r *rig, _ *wechatpaysim.Callback) { r.queue.err = functest.ErrDown }
	notSubscribed := func(r *rig, _ *wechatpaysim.Callback) {
		for _, v := range r.world.Vendors.Vendors {
			v.Events = nil
		}
		r.vendors.Value = functest.Vendors(r.t, r.world)
	}
	none := func(*rig, *wechatpaysim.Callback) {}
	for name, tc := range map[string]struct {
		first, second mistake
		want          wechatpay.Reason
	}{
		"size, headers":         {tooLarge, drop("Wechatpay-Serial"), wechatpay.ReasonMalformed},
		"headers, time":         {stale, drop("Wechatpay-Serial"), wechatpay.ReasonMissingHeader},
		"time, key":             {stale, unknownKey, wechatpay.ReasonStale},
		"time, base64":          {stale, badBase64, wechatpay.ReasonStale},
		"key, base64":           {unknownKey, badBase64, wechatpay.ReasonUnknownKey},
		"base64, signature":     {badByte, badBase64, wechatpay.ReasonBadBase64},
		"signature, form":       {malformed, badByte, wechatpay.ReasonBadSignature},
		"signature, owner":      {nobodys, badByte, wechatpay.ReasonBadSignature},
		"form, decryption":      {malformed, none, wechatpay.ReasonMalformed},
		"decryption, owner":     {undecryptable, none, wechatpay.ReasonUndecryptable},
		"owner, queue":          {nobodys, queueOut, wechatpay.ReasonNotThisVendor},
		"owner, subscription":   {nobodys, notSubscribed, wechatpay.ReasonNotThisVendor},
		"subscription, queue":   {notSubscribed, queueOut, ""},
		"queue, nothing before": {queueOut, none, wechatpay.ReasonQueueUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.transaction()
			tc.first(r, &c)
			tc.second(r, &c)
			r.wantV3(r.deliver(c, ""), tc.want)
		})
	}

	plate := func(p *wechatpaysim.PlateState) { p.SubMchID, p.CreateTime = "1", time.Now().AddDate(0, 0, -7) }
	r := newRig(t)
	r.wantV2(r.deliver(r.plate(plate), fixture.VendorID), wechatpay.ReasonStale)
	r.wantV2(r.deliver(r.build(r.sim.Forge(r.plate(plate), wechatpaysim.ForgeKey)), fixture.VendorID), wechatpay.ReasonBadSignature)
	broken := r.build(r.sim.Forge(r.plate(plate), wechatpaysim.ForgeKey))
	broken.Body = append(broken.Body, 'x')
	r.wantV2(r.deliver(broken, fixture.VendorID), wechatpay.ReasonMalformed)
}

// TestListeners: each vendor that has the merchant and lists the type gets a message of its own.
func TestListeners(t *testing.T) {
	unknownType := func(w *fixture.World) {
		w.Vendors.Vendors[fixture.OtherVendorID].Events = []string{"wechatpay.MALL_BRAND.NEW"}
	}
	for name, tc := range map[string]struct {
		world     func(*fixture.World)
		callback  func(*rig) wechatpaysim.Callback
		eventType string
		vendors   []string
	}{
		"one listens": {func(*fixture.World) {}, func(r *rig) wechatpaysim.Callback { return r.transaction() }, event.BusinessCircleTransactionSucceeded, []string{fixture.VendorID}},
		"two listen":  {bothListen, func(r *rig) wechatpaysim.Callback { return r.transaction() }, event.BusinessCircleTransactionSucceeded, []string{fixture.VendorID, fixture.OtherVendorID}},
		"a card": {bothListen, func(r *rig) wechatpaysim.Callback {
			return r.build(r.sim.BuildCardActivated(url, wechatpaysim.CardActivated{MchID: fixture.SubMchID, OpenID: fixture.OpenID}))
		}, event.BusinessCircleCardActivated, []string{fixture.VendorID, fixture.OtherVendorID}},
		"a refund": {bothListen, func(r *rig) wechatpaysim.Callback {
			return r.build(r.sim.BuildMallRefund(url, wechatpaysim.MallRefund{MchID: fixture.SubMchID, OpenID: fixture.OpenID}))
		}, event.BusinessCircleRefundSucceeded, []string{fixture.VendorID, fixture.OtherVendorID}},
		"a type not known": {unknownType, func(r *rig) wechatpaysim.Callback {
			return r.build(r.sim.BuildEvent(url, wechatpaysim.Event{Type: "MALL_BRAND.NEW", Resource: map[string]string{"mchid": fixture.SubMchID}}))
		}, "wechatpay.MALL_BRAND.NEW", []string{fixture.OtherVendorID}},
		"nobody listens": {func(w *fixture.World) { w.Vendors.Vendors[fixture.VendorID].Events = nil }, func(r *rig) wechatpaysim.Callback { return r.transaction() },
			event.BusinessCircleTransactionSucceeded, nil},
		"who listens has another merchant": {func(w *fixture.World) {
			w.Vendors.Vendors[fixture.VendorID].Events = nil
			bothListen(w)
			w.Vendors.Vendors[fixture.OtherVendorID].Merchants = w.Vendors.Vendors[fixture.OtherVendorID].Merchants[:1]
		}, func(r *rig) wechatpaysim.Callback { return r.transaction() }, event.BusinessCircleTransactionSucceeded, nil},
		"a disabled vendor's go on, for the delivery to say": {func(w *fixture.World) { w.Vendors.Vendors[fixture.VendorID].Disabled = true },
			func(r *rig) wechatpaysim.Callback { return r.transaction() }, event.BusinessCircleTransactionSucceeded, []string{fixture.VendorID}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.world)
			c := tc.callback(r)
			r.wantV3(r.deliver(c, ""), "")
			if got := r.queue.vendors(); !slices.Equal(got, tc.vendors) {
				t.Fatalf("got messages for %v, want %v", got, tc.vendors)
			}
			if tc.vendors == nil {
				if line := r.log.Last(t); line["reason"] != "not_subscribed" || r.queue.calls != 0 {
					t.Errorf("logged reason %q after %d sends, want not_subscribed and none", line["reason"], r.queue.calls)
				}
				return
			}
			ids := map[string]bool{}
			for _, m := range r.queue.got {
				ids[m.ID] = true
				if m.Type != tc.eventType || !strings.Contains(string(m.Data), fixture.SubMchID) || !strings.HasSuffix(m.Timestamp, "+08:00") {
					t.Errorf("got %+v, want %s with the resource as it is", m, tc.eventType)
				}
			}
			if len(ids) != len(tc.vendors) {
				t.Errorf("got %d ids, want one for each vendor", len(ids))
			}
		})
	}
}

// TestNotSubscribedV2: a plate's state that the vendor does not list is answered with success and sent nowhere.
func TestNotSubscribedV2(t *testing.T) {
	r := newRig(t, func(w *fixture.World) {
		w.Vendors.Vendors[fixture.VendorID].Events = []string{event.BusinessCircleCardActivated}
	})
	r.wantV2(r.deliver(r.plate(), fixture.VendorID), "")
	if line := r.log.Last(t); line["reason"] != "not_subscribed" || r.queue.calls != 0 {
		t.Errorf("logged reason %q after %d sends, want not_subscribed and none", line["reason"], r.queue.calls)
	}
}

// TestDirect: the merchant's own events find the vendor whose entries name no sub-merchant.
func TestDirect(t *testing.T) {
	r := newRig(t, (*fixture.World).Direct)
	r.wantV2(r.deliver(r.plate(), fixture.VendorID), "")
	r.wantV3(r.deliver(r.transaction(), ""), "")
	if got := r.queue.vendors(); !slices.Equal(got, []string{fixture.VendorID, fixture.VendorID}) {
		t.Errorf("got messages for %v, want two for %s", got, fixture.VendorID)
	}
	if !strings.Contains(string(r.queue.got[0].Data), `"sub_mchid":"",`) {
		t.Errorf("got %s, want an empty sub_mchid", r.queue.got[0].Data)
	}
	r.wantV2(r.deliver(r.plate(func(p *wechatpaysim.PlateState) { p.SubMchID = fixture.SubMchID }), fixture.VendorID), wechatpay.ReasonNotThisVendor)
	r.wantV3(r.deliver(r.transaction(func(m *wechatpaysim.MallTransaction) { m.MchID = fixture.SubMchID }), ""), wechatpay.ReasonNotThisVendor)
	r.wantV3(r.deliver(r.transaction(func(m *wechatpaysim.MallTransaction) { m.MchID = "" }), ""), wechatpay.ReasonNotThisVendor)
}

// TestRotation: with two keys of each kind both are good, and what is signed with keys that were fetched too long ago
// is judged with fresh ones.
func TestRotation(t *testing.T) {
	const newer = "0123456789abcdef0123456789abcdef"
	two := newRig(t)
	two.world.Merchant.APIv2Keys = append([]string{newer}, two.world.Merchant.APIv2Keys...)
	two.world.Merchant.APIv3Keys = append([]string{newer}, two.world.Merchant.APIv3Keys...)
	two.merchants.Value = functest.Merchant(t, two.world)
	two.wantV2(two.deliver(two.plate(), fixture.VendorID), "")
	two.wantV3(two.deliver(two.transaction(), ""), "")
	if two.merchants.Refreshes != 0 {
		t.Errorf("got %d refreshes, want none: the older key is at hand", two.merchants.Refreshes)
	}

	for name, age := range map[string]func(m *fixture.Merchant, w *fixture.World){
		"APIv2 key":    func(m *fixture.Merchant, _ *fixture.World) { m.APIv2Keys = []string{newer} },
		"no APIv2 key": func(m *fixture.Merchant, _ *fixture.World) { m.APIv2Keys = []string{} },
		"APIv3 key":    func(m *fixture.Merchant, _ *fixture.World) { m.APIv3Keys = []string{newer} },
		"WeChat Pay's new id": func(m *fixture.Merchant, w *fixture.World) {
			delete(m.WeChatPayKeys, w.Identity.PublicKeyID)
			m.ResponseKeyID = ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			fresh := r.merchants.Value
			old := functest.NewWorld(t)
			age(&old.Merchant, r.world)
			r.merchants.Value, r.merchants.Next = functest.Merchant(t, old), &fresh
			if strings.Contains(name, "APIv2") {
				r.wantV2(r.deliver(r.plate(), fixture.VendorID), "")
			} else {
				r.wantV3(r.deliver(r.transaction(), ""), "")
			}
			if r.merchants.Refreshes != 1 {
				t.Errorf("got %d refreshes, want 1", r.merchants.Refreshes)
			}
		})
	}
}

// TestRefreshes is the table of when the merchant's keys are fetched again: never for what fresh ones cannot mend.
func TestRefreshes(t *testing.T) {
	for kind, want := range map[wechatpaysim.Forgery]int{
		wechatpaysim.ForgeSerial: 1, wechatpaysim.ForgeByte: 1, wechatpaysim.ForgeKey: 1, wechatpaysim.ForgeEncryption: 1,
		wechatpaysim.ForgeProbe: 0, wechatpaysim.ForgeStale: 0, wechatpaysim.ForgeFuture: 0, wechatpaysim.ForgeBase64: 0,
	} {
		r := newRig(t)
		r.deliver(r.build(r.sim.Forge(r.transaction(), kind)), "")
		if r.merchants.Refreshes != want {
			t.Errorf("%s: got %d refreshes, want %d", kind, r.merchants.Refreshes, want)
		}
	}
	r := newRig(t)
	c := r.transaction()
	c.Header.Del("Wechatpay-Serial")
	r.deliver(c, "")
	r.deliver(r.build(r.sim.Forge(r.plate(), wechatpaysim.ForgeProbe)), fixture.VendorID)
	r.deliver(wechatpaysim.Callback{Body: []byte("<xml>")}, fixture.VendorID)
	if r.merchants.Refreshes != 0 {
		t.Errorf("got %d refreshes for a missing header, a probe and no XML, want none", r.merchants.Refreshes)
	}
}

// TestVendorsAreFetchedAgain: a vendor or a merchant that was added since is found.
func TestVendorsAreFetchedAgain(t *testing.T) {
	for name, deliver := range map[string]func(*rig){
		"V2": func(r *rig) { r.wantV2(r.deliver(r.plate(), fixture.VendorID), "") },
		"V3": func(r *rig) { r.wantV3(r.deliver(r.transaction(), ""), "") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			fresh := r.vendors.Value
			empty := functest.NewWorld(t)
			clear(empty.Vendors.Vendors)
			r.vendors.Value, r.vendors.Next = functest.Vendors(t, empty), &fresh
			deliver(r)
			if got := r.queue.vendors(); r.vendors.Refreshes != 1 || !slices.Equal(got, []string{fixture.VendorID}) {
				t.Errorf("got %d refreshes and messages for %v, want 1 and %s", r.vendors.Refreshes, got, fixture.VendorID)
			}
		})
	}
}

// TestOurOwnFailures: what is out is no success, so that WeChat Pay sends the callback again.
func TestOurOwnFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		down func(*rig)
		want wechatpay.Reason
	}{
		"the merchant": {func(r *rig) { r.merchants.Err = functest.ErrDown }, "internal_error"},
		"the vendors":  {func(r *rig) { r.vendors.Err = functest.ErrDown }, "internal_error"},
		"the queue":    {func(r *rig) { r.queue.err = functest.ErrDown }, wechatpay.ReasonQueueUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			tc.down(r)
			r.wantV2(r.deliver(r.plate(), fixture.VendorID), tc.want)
			r.wantV3(r.deliver(r.transaction(), ""), tc.want)
			if line := r.log.Last(t); line["level"] != "ERROR" {
				t.Errorf("got a line of level %s, want ERROR", line["level"])
			}
		})
	}
}

// TestBudget: a queue that hangs is given up after 3 s, in time for an answer within WeChat Pay's 5 s.
func TestBudget(t *testing.T) {
	functest.NewWorld(t) // the keys are made outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.queue.hang = true
		began := time.Now()
		r.wantV2(r.deliver(r.plate(), fixture.VendorID), wechatpay.ReasonQueueUnavailable)
		r.wantV3(r.deliver(r.transaction(), ""), wechatpay.ReasonQueueUnavailable)
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("two callbacks took %v, want 3 s each", took)
		}
	})
}

// TestRedelivery: the same event has the same id whatever is new about its delivery, and another event has another.
func TestRedelivery(t *testing.T) {
	r := newRig(t)
	at := time.Now()
	first := r.plate(func(p *wechatpaysim.PlateState) { p.CreateTime = at })
	r.deliver(first, fixture.VendorID)
	r.deliver(first, fixture.VendorID)
	r.deliver(r.build(r.sim.Renew(first)), fixture.VendorID)
	r.deliver(r.plate(func(p *wechatpaysim.PlateState) { p.CreateTime, p.OmitSignType = at, true }), fixture.VendorID)
	r.deliver(first, fixture.OtherVendorID)
	r.deliver(r.plate(func(p *wechatpaysim.PlateState) { p.CreateTime = at.Add(-time.Second) }), fixture.VendorID)
	payment := r.transaction()
	r.deliver(payment, "")
	r.deliver(r.build(r.sim.Resign(payment)), "")
	r.deliver(r.build(r.sim.Renew(payment)), "")
	r.deliver(r.transaction(), "")
	if len(r.queue.got) != 10 {
		t.Fatalf("got %d messages, want 10", len(r.queue.got))
	}
	var got []int // for each message the first that has its id
	for _, m := range r.queue.got {
		got = append(got, slices.IndexFunc(r.queue.got, func(n event.Message) bool { return n.ID == m.ID }))
	}
	if want := []int{0, 0, 0, 0, 4, 5, 6, 6, 6, 9}; !slices.Equal(got, want) {
		t.Errorf("got ids first seen at %v, want %v", got, want)
	}
}

// TestFailed: a panic and an unknown route are answered in the words of the callback's own version.
func TestFailed(t *testing.T) {
	r := newRig(t)
	r.merchants.Value = nil
	r.wantV2(r.deliver(r.plate(), fixture.VendorID), "internal_error")
	r.wantV3(r.deliver(r.transaction(), ""), "internal_error")
	r.wantV2(functest.Run(t.Context(), t, r.adapter, functest.Event{Route: "POST /v1/other", RequestID: "r-1"}), "internal_error")
}

// TestStrangersLeaveNoWords: what a stranger puts into headers and path does not become the log's.
func TestStrangersLeaveNoWords(t *testing.T) {
	r := newRig(t)
	c := r.transaction()
	c.Header.Set("Wechatpay-Serial", strings.Repeat("S", 1000))
	r.wantV3(r.deliver(c, ""), wechatpay.ReasonUnknownKey)
	if got := r.log.Last(t)["wechatpay_serial"]; got != strings.Repeat("S", 64) {
		t.Errorf("logged a serial of %d characters, want 64", len(got))
	}
	r.wantV2(r.deliver(r.plate(), fixture.Plate), wechatpay.ReasonNotThisVendor)
	if line := r.log.Last(t); line["vendor_id"] != "" {
		t.Errorf("logged vendor %q, want none", line["vendor_id"])
	}
}

// FuzzPlateState posts any body to the V2 route: it answers with the page's XML, and unsigned bodies reach no queue.
func FuzzPlateState(f *testing.F) {
	r := newRig(f)
	good := r.plate()
	f.Add(good.Body)
	f.Add([]byte("<xml><sign>WECHATPAY/SIGNTEST/</sign></xml>"))
	f.Add([]byte(`<!DOCTYPE xml><xml></xml>`))
	key := r.merchants.Value.V2Keys
	f.Fuzz(func(t *testing.T, body []byte) {
		once := *r
		once.t = t
		r.queue.got = nil
		a := once.deliver(wechatpaysim.Callback{Body: body}, fixture.VendorID)
		if leak := r.log.Leak(r.log.Take()); leak != "" {
			t.Fatalf("the log holds %q", leak)
		}
		if a.Status != 200 || !strings.HasPrefix(a.Body, "<xml><return_code><![CDATA[") {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		d, err := flatxml.Parse(body)
		if genuine := err == nil && signing.VerifyV2(d, key) == nil; !genuine && (a.Body == successXML || len(r.queue.got) > 0) {
			t.Fatalf("got success for what is not WeChat Pay's: %q", body)
		}
	})
}

// FuzzBusinessCircle posts any body and headers to the V3 route, signed or not: it never fails by itself, and only what
// is signed is accepted.
func FuzzBusinessCircle(f *testing.F) {
	r := newRig(f)
	good := r.transaction()
	f.Add(good.Body, true, "")
	f.Add([]byte(`{"id":"1","event_type":"X","create_time":"2020-05-20T13:29:35+08:00","resource":{"algorithm":"AEAD_AES_256_GCM"}}`), true, "")
	f.Add(good.Body, false, "WECHATPAY/SIGNTEST/AAAA")
	f.Fuzz(func(t *testing.T, body []byte, signed bool, signature string) {
		once := *r
		once.t = t
		r.queue.got = nil
		c := good
		c.Body, c.Header = body, maps.Clone(good.Header)
		if signed {
			c = once.build(r.sim.Resign(c))
		} else {
			c.Header.Set("Wechatpay-Signature", signature)
		}
		a := once.deliver(c, "")
		if leak := r.log.Leak(r.log.Take()); leak != "" {
			t.Fatalf("the log holds %q", leak)
		}
		if a.Status >= 500 || !signed && a.Status == 204 && signature != good.Header.Get("Wechatpay-Signature") {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
	})
}
