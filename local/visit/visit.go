// Package visit plays a car's visit on the local stack and checks every step: the car drives in, its entry is reported,
// WeChat Pay reports a change by callback, a member pays in the mall, a forger and a signature probe are turned away, and
// the car drives out. What happens is told line by line while it happens.
package visit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/transcript"
	"wechat-parking-gateway/local/wechatpaysim"
)

// Stage is what a visit is played on.
type Stage struct {
	Vendor    *demovendor.Vendor
	Webhooks  *demovendor.Receiver
	WeChatPay *wechatpaysim.Simulator
	// BaseURL is the gateway's, where callbacks go to, and WebhookURL where the vendor's events go.
	BaseURL, WebhookURL string
	// Waiting returns how many events are on their way.
	Waiting func(ctx context.Context) (int, error)
	Tell    *transcript.Writer
	Now     func() time.Time
	// Heading, when set, is told of every step, by a short name of it and by its title.
	Heading func(name, title string)
}

// ErrStep is wrapped by the error of a visit in which a step did not go as it must.
var ErrStep = errors.New("the visit did not go as it must")

// Play plays the whole visit, to its end even when a step goes wrong, and returns what did.
func Play(ctx context.Context, s Stage) error {
	v := &visit{Stage: s, run: strconv.FormatInt(s.Now().UnixMilli(), 10)}
	for _, step := range []struct {
		name, title string
		play        func(context.Context) error
	}{
		{"drive-in", "The car drives in (车辆驶入): the vendor syncs the member's parking state", v.driveIn},
		{"repeat", "The vendor repeats the call, same webhook-id: the stored answer, WeChat Pay is not called again", v.repeat},
		{"entry", "The barrier (入场通知): may this car leave by password-free payment?", v.enter},
		{"block", "WeChat Pay reports that the plate is BLOCKED (车牌状态变更通知): the vendor hears it, signed", v.blocked},
		{"redeliver", "WeChat Pay repeats the same change with a new nonce: the vendor hears it once", v.redelivered},
		{"pay", "The member pays in the mall (场内支付): decrypted, and on to the vendor", v.paid},
		{"catch-up", "The vendor is down while the plate becomes NORMAL: it hears it once it is back", v.catchesUp},
		{"forge", "A forger changes one byte of a callback: refused, nobody hears it", v.forged},
		{"probe", "WeChat Pay's signature probe (签名探测): refused, nobody hears it", v.probed},
		{"drive-out", "The car drives out (车辆驶出)", v.driveOut},
	} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.Tell.Step(step.title)
		if s.Heading != nil {
			s.Heading(step.name, step.title)
		}
		if err := step.play(ctx); err != nil {
			v.failures = append(v.failures, fmt.Errorf("%w: %s: %w", ErrStep, step.title, err))
			s.Tell.Failed(err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(v.failures...)
}

// visit is one visit under way.
type visit struct {
	Stage
	run       string // makes the webhook-ids of this visit its own
	drivenIn  []byte // the body of the first call
	notifyURL string // where WeChat Pay was asked to report changes
	plate     wechatpaysim.Callback
	eventID   string
	failures  []error
}

func (v *visit) webhookID(fact string) string { return "visit-" + v.run + "-" + fact }

func (v *visit) driveIn(ctx context.Context) error {
	v.drivenIn = fixture.ParkingBody("IN", v.Now())
	return v.sync(ctx, "in", v.drivenIn)
}

func (v *visit) driveOut(ctx context.Context) error {
	return v.sync(ctx, "out", fixture.ParkingBody("OUT", v.Now()))
}

func (v *visit) sync(ctx context.Context, fact string, body []byte) error {
	answer, heard, err := v.call(ctx, demovendor.Parkings, v.webhookID(fact), body)
	if err != nil {
		return err
	}
	return errors.Join(
		expect("the gateway's answer", answer.Status, 204),
		expect("calls that WeChat Pay took", accepted(heard), 1),
	)
}

// repeat sends the first call once more: a vendor repeats what it sent.
func (v *visit) repeat(ctx context.Context) error {
	answer, heard, err := v.call(ctx, demovendor.Parkings, v.webhookID("in"), v.drivenIn)
	if err != nil {
		return err
	}
	return errors.Join(
		expect("the gateway's answer", answer.Status, 204),
		expect("Idempotency-Replayed", answer.Header.Get("Idempotency-Replayed"), "true"),
		expect("calls that WeChat Pay took", accepted(heard), 0),
	)
}

func (v *visit) enter(ctx context.Context) error {
	answer, heard, err := v.call(ctx, demovendor.Entry, v.webhookID("entry"), fixture.EntryBodyFor(v.Now(), v.WebhookURL))
	if err != nil {
		return err
	}
	var told struct {
		Available bool   `json:"password_free_available"`
		UserState string `json:"user_state"`
	}
	if err := json.Unmarshal(answer.Body, &told); err != nil {
		return fmt.Errorf("the gateway's answer is not JSON: %w", err)
	}
	if len(heard) > 0 {
		v.notifyURL = heard[len(heard)-1].Fields["notify_url"]
	}
	return errors.Join(
		expect("the gateway's answer", answer.Status, 200),
		expect("calls that WeChat Pay took", accepted(heard), 1),
		expect("password_free_available", told.Available, true),
		expect("user_state", told.UserState, "NORMAL"),
		expect("notify_url on the wire", v.notifyURL, v.BaseURL+"/v1/callbacks/vehicle/"+v.Vendor.ID()),
	)
}

func (v *visit) blocked(ctx context.Context) error {
	var err error
	if v.plate, err = v.WeChatPay.BuildPlateState(v.notifyURL, fixture.PlateState("BLOCKED", "OVERDUE", "")); err != nil {
		return err
	}
	heard, err := v.deliver(ctx, v.plate, "BLOCKED, OVERDUE, HMAC-SHA256")
	if err != nil {
		return err
	}
	v.eventID = heard.ID
	var data struct {
		State     string `json:"state"`
		Available bool   `json:"password_free_available"`
	}
	if err := json.Unmarshal(heard.Data, &data); err != nil {
		return fmt.Errorf("the event's data is not JSON: %w", err)
	}
	return errors.Join(
		expect("event type", heard.Type, "vehicle.plate_state_changed"),
		expect("state", data.State, "BLOCKED"),
		expect("password_free_available", data.Available, false),
	)
}

func (v *visit) redelivered(ctx context.Context) error {
	again, err := v.WeChatPay.Renew(v.plate)
	if err != nil {
		return err
	}
	if err := v.send(ctx, again, "the same change, new nonce_str and sign", true); err != nil {
		return err
	}
	if err := v.settled(ctx); err != nil {
		return err
	}
	v.Tell.Line(transcript.Gateway, transcript.Vendor, "nothing: "+v.eventID+" was delivered before")
	return expect("times that the vendor heard the event", v.Webhooks.Tries(v.eventID), 1)
}

func (v *visit) paid(ctx context.Context) error {
	callback, err := v.payment()
	if err != nil {
		return err
	}
	heard, err := v.deliver(ctx, callback, "MALL_TRANSACTION.SUCCESS, AEAD_AES_256_GCM")
	if err != nil {
		return err
	}
	var data struct {
		TransactionID string `json:"transaction_id"`
	}
	if err := json.Unmarshal(heard.Data, &data); err != nil {
		return fmt.Errorf("the event's data is not JSON: %w", err)
	}
	return errors.Join(
		expect("event type", heard.Type, "businesscircle.transaction_succeeded"),
		expect("transaction_id after decryption", data.TransactionID, "1234567890"),
	)
}

// catchesUp takes the vendor down, and up again after it has missed an event.
func (v *visit) catchesUp(ctx context.Context) error {
	callback, err := v.WeChatPay.BuildPlateState(v.notifyURL, fixture.PlateState("NORMAL", "PROACTIVE", "PROACTIVE"))
	if err != nil {
		return err
	}
	if err := v.Webhooks.TakeDown(demovendor.FaultStatus); err != nil {
		return err
	}
	defer v.Webhooks.BringUp()
	before := len(v.Webhooks.Deliveries())
	if err := v.send(ctx, callback, "NORMAL, PROACTIVE, HMAC-SHA256", true); err != nil {
		return err
	}
	missed, err := v.next(ctx, before)
	if err != nil {
		return err
	}
	v.Tell.Line(transcript.Gateway, transcript.Vendor, fmt.Sprintf("POST webhook  %s  the vendor is down: %d", missed.ID, missed.Status))
	v.Webhooks.BringUp()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	heard, err := v.Webhooks.Wait(ctx, missed.ID)
	if err != nil {
		return fmt.Errorf("the vendor is back and does not hear the event: %w", err)
	}
	v.hear(heard)
	return nil
}

// payment is WeChat Pay's sample of a payment in the mall.
func (v *visit) payment() (wechatpaysim.Callback, error) {
	return v.WeChatPay.BuildMallTransaction(v.BaseURL+"/v1/callbacks/businesscircle", fixture.Payment(v.Now()))
}

func (v *visit) forged(ctx context.Context) error {
	callback, err := v.WeChatPay.Forge(v.plate, wechatpaysim.ForgeByte)
	if err != nil {
		return err
	}
	return v.refused(ctx, callback, "one byte changed after signing")
}

func (v *visit) probed(ctx context.Context) error {
	callback, err := v.payment()
	if err != nil {
		return err
	}
	if callback, err = v.WeChatPay.Forge(callback, wechatpaysim.ForgeProbe); err != nil {
		return err
	}
	return v.refused(ctx, callback, "Wechatpay-Signature: WECHATPAY/SIGNTEST/…")
}

// call makes a vendor's call, tells of it, and returns what WeChat Pay heard meanwhile.
func (v *visit) call(ctx context.Context, route, webhookID string, body []byte) (demovendor.Answer, []wechatpaysim.Request, error) {
	before := len(v.WeChatPay.Requests())
	v.Tell.Line(transcript.Vendor, transcript.Gateway, "POST "+v.Vendor.Path(route)+"  signed (Standard Webhooks)")
	answer, err := v.Vendor.Call(ctx, route, webhookID, body)
	if err != nil {
		return answer, nil, err
	}
	text := fmt.Sprintf("%d in %d ms", answer.Status, answer.Took.Milliseconds())
	if answer.Header.Get("Idempotency-Replayed") != "" {
		text += "  Idempotency-Replayed: true"
	}
	if len(answer.Body) > 0 {
		text += "  " + shorten(answer.Body)
	}
	v.Tell.Line(transcript.Gateway, transcript.Vendor, text)
	return answer, v.WeChatPay.Requests()[before:], nil
}

// patience is how long an event may take to its vendor, a retry after an outage included.
const patience = 20 * time.Second

// deliver sends a genuine callback, and returns the webhook that the vendor gets of it.
func (v *visit) deliver(ctx context.Context, c wechatpaysim.Callback, what string) (demovendor.Delivery, error) {
	before := len(v.Webhooks.Deliveries())
	if err := v.send(ctx, c, what, true); err != nil {
		return demovendor.Delivery{}, err
	}
	heard, err := v.next(ctx, before)
	if err != nil {
		return heard, err
	}
	v.hear(heard)
	if heard.Verdict != nil {
		return heard, fmt.Errorf("the vendor does not verify its webhook: %w", heard.Verdict)
	}
	return heard, expect("the vendor's answer", heard.Status, 204)
}

// next waits for the vendor's webhook number n, counted from 0, and for its answer.
func (v *visit) next(ctx context.Context, n int) (demovendor.Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if all := v.Webhooks.Deliveries(); len(all) > n && all[n].Status != 0 {
			return all[n], nil
		}
		select {
		case <-ctx.Done():
			return demovendor.Delivery{}, fmt.Errorf("the vendor hears nothing: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hear tells of a webhook that the vendor got.
func (v *visit) hear(d demovendor.Delivery) {
	verdict := "verified (standard-webhooks library)"
	if d.Verdict != nil {
		verdict = "NOT verified"
	}
	v.Tell.Line(transcript.Gateway, transcript.Vendor, fmt.Sprintf("POST webhook  %s  %s  %s", d.Type, d.ID, verdict))
	v.Tell.Line(transcript.Vendor, transcript.Gateway, strconv.Itoa(d.Status))
}

// settled waits until no event is on its way.
func (v *visit) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if n, err := v.Waiting(ctx); err != nil || n == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("an event stays on its way: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// refused sends a callback that must be turned away and reach nobody.
func (v *visit) refused(ctx context.Context, c wechatpaysim.Callback, what string) error {
	before := len(v.Webhooks.Deliveries())
	return errors.Join(
		v.send(ctx, c, what, false),
		v.settled(ctx),
		expect("webhooks that the vendor got", len(v.Webhooks.Deliveries())-before, 0),
	)
}

// send sends a callback, tells of it, and holds WeChat Pay's verdict on the answer against the one wanted.
func (v *visit) send(ctx context.Context, c wechatpaysim.Callback, what string, success bool) error {
	v.Tell.Line(transcript.WeChatPay, transcript.Gateway, "POST "+strings.TrimPrefix(c.URL, v.BaseURL)+"  "+what)
	started := time.Now()
	delivery, err := v.WeChatPay.Send(ctx, c)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%d in %d ms", delivery.Status, time.Since(started).Milliseconds())
	if len(delivery.Body) > 0 {
		text += "  " + shorten(delivery.Body)
	}
	v.Tell.Line(transcript.Gateway, transcript.WeChatPay, text)
	if err := expect("WeChat Pay's verdict on the answer", delivery.Success, success); err != nil {
		return fmt.Errorf("%w (%s)", err, delivery.Why)
	}
	return nil
}

// Heard tells of a request that WeChat Pay received. It is the simulator's observer.
func Heard(tell *transcript.Writer) func(wechatpaysim.Request) {
	return func(r wechatpaysim.Request) {
		if !r.Accepted {
			tell.Line(transcript.Gateway, transcript.WeChatPay, fmt.Sprintf("%s %s  REFUSED %s: %s", r.Method, r.URI, r.Code, r.Reason))
			return
		}
		scheme := "RSA-SHA256 verified"
		switch r.Route {
		case wechatpaysim.RouteParkings:
			scheme += ", state " + r.Fields["state"]
		case wechatpaysim.RouteVehiclePartner, wechatpaysim.RouteVehicleDirect:
			scheme = "HMAC-SHA256 verified, nonce " + r.Fields["nonce_str"]
		}
		tell.Line(transcript.Gateway, transcript.WeChatPay, fmt.Sprintf("%s %s  %s", r.Method, r.URI, scheme))
	}
}

func accepted(requests []wechatpaysim.Request) int {
	n := 0
	for _, r := range requests {
		if r.Accepted {
			n++
		}
	}
	return n
}

func expect[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}

// shorten returns a text of at most 160 bytes for one line of the transcript.
func shorten(b []byte) string {
	const limit = 160
	if len(b) <= limit {
		return string(b)
	}
	cut := limit
	for cut > 0 && b[cut]&0xC0 == 0x80 {
		cut--
	}
	return string(b[:cut]) + "…"
}
