package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"encoding/json"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// patience is how long an action may take; the whole visit is the longest.
const patience = 2 * time.Minute

// errNothingYet says that there is nothing to repeat.
var errNothingYet = errors.New("there is nothing to repeat yet")

// request is what the page asks an action with.
type request struct {
	Plate string `json:"plate"`
}

// action is one button.
type action struct {
	// title is the heading of what follows, in English; the page has its own words for it.
	title string
	// atOnce says that the action does not wait for the one that is being carried out.
	atOnce bool
	do     func(*console, context.Context, request) error
}

// actions are the page's buttons by their names.
var actions = map[string]action{
	"visit": {do: (*console).visit},

	"drive-in":   {title: "The car drives in", do: (*console).driveIn},
	"entry":      {title: "The vendor asks at the barrier", do: (*console).entry},
	"drive-out":  {title: "The car drives out", do: (*console).driveOut},
	"repeat":     {title: "The vendor repeats its last call", do: (*console).repeat},
	"forge-call": {title: "A forger calls in the vendor's name", do: (*console).forgeCall},

	"block":     {title: "WeChat Pay blocks the plate", do: (*console).block},
	"unblock":   {title: "WeChat Pay unblocks the plate", do: (*console).unblock},
	"pay":       {title: "The member pays in the mall", do: (*console).pay},
	"refund":    {title: "The member is refunded", do: (*console).refund},
	"redeliver": {title: "WeChat Pay repeats its last callback", do: (*console).redeliver},
	"forge":     {title: "A forger changes one byte of a callback", do: (*console).forge},
	"probe":     {title: "WeChat Pay's signature probe", do: (*console).probe},

	"vendor-up":      {title: "The vendor is up", atOnce: true, do: (*console).vendorUp},
	"vendor-down":    {title: "The vendor is down: 503", atOnce: true, do: (*console).vendorDown},
	"vendor-gone":    {title: "The vendor is gone: 410", atOnce: true, do: (*console).vendorGone},
	"wechatpay-up":   {title: "WeChat Pay is up", atOnce: true, do: (*console).weChatPayUp},
	"wechatpay-down": {title: "WeChat Pay is down: 503", atOnce: true, do: (*console).weChatPayDown},
}

// room is what the console remembers. mu guards it.
type room struct {
	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, when something below changes
	facts    int
	call     *vendorCall
	callback *wechatpaysim.Callback
	vendor   string
	wechat   string
	blocked  map[string]bool
	playing  bool
}

// vendorCall is a call that can be repeated.
type vendorCall struct {
	route, webhookID string
	body             []byte
}

// state is what the page shows of the parties.
type state struct {
	Vendor      string   `json:"vendor"`    // up, down or gone
	WeChatPay   string   `json:"wechatpay"` // up or down
	Blocked     []string `json:"blocked"`   // plates
	Playing     bool     `json:"playing"`   // the visit is being played
	Waiting     int      `json:"waiting"`
	DeadLetters int      `json:"dead_letters"`
}

func (s state) equal(o state) bool {
	return s.Vendor == o.Vendor && s.WeChatPay == o.WeChatPay && slices.Equal(s.Blocked, o.Blocked) && s.Playing == o.Playing &&
		s.Waiting == o.Waiting && s.DeadLetters == o.DeadLetters
}

// queues is what was seen on the queues.
type queues struct {
	mu            sync.Mutex
	at            time.Time
	waiting, dead int
}

// glance is how long what was seen on the queues is good for: looking costs the emulator as much as an event does.
const glance = 300 * time.Millisecond

// look returns how many events are on the queues.
func (c *console) look(ctx context.Context) (waiting, dead int) {
	c.queues.mu.Lock()
	defer c.queues.mu.Unlock()
	if now := c.Now(); now.Sub(c.queues.at) > glance {
		c.queues.waiting, c.queues.dead, c.queues.at = count(ctx, c.Waiting), count(ctx, c.DeadLetters), now
	}
	return c.queues.waiting, c.queues.dead
}

// state returns the state, and a channel that is closed when an action changes it.
func (c *console) state(ctx context.Context) (state, <-chan struct{}) {
	var s state
	s.Waiting, s.DeadLetters = c.look(ctx)
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	s.Vendor, s.WeChatPay, s.Playing = orElse(c.room.vendor, "up"), orElse(c.room.wechat, "up"), c.room.playing
	s.Blocked = slices.Sorted(maps.Keys(c.room.blocked))
	return s, c.room.changed
}

// count returns -1 where the queue cannot be looked at.
func count(ctx context.Context, depth func(context.Context) (int, error)) int {
	n, err := depth(ctx)
	if err != nil {
		return -1
	}
	return n
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// set changes what the console remembers and tells the pages.
func (c *console) set(change func(*room)) {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	change(&c.room)
	close(c.room.changed)
	c.room.changed = make(chan struct{})
}

func (c *console) visit(ctx context.Context, _ request) error {
	if err := errors.Join(c.vendorUp(ctx, request{}), c.weChatPayUp(ctx, request{})); err != nil {
		return err
	}
	c.unblockAll()
	c.set(func(r *room) { r.playing = true })
	defer c.set(func(r *room) { r.playing = false })
	return c.Play(ctx)
}

// webhookID names a new fact.
func (c *console) webhookID(what string) string {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	c.room.facts++
	return "console-" + c.epoch + "-" + strconv.Itoa(c.room.facts) + "-" + what
}

func (c *console) driveIn(ctx context.Context, r request) error  { return c.sync(ctx, r, "IN") }
func (c *console) driveOut(ctx context.Context, r request) error { return c.sync(ctx, r, "OUT") }

func (c *console) sync(ctx context.Context, r request, state string) error {
	body, err := json.Marshal(map[string]any{
		"sub_mchid": fixture.SubMchID, "brandid": fixture.BrandID, "appid": fixture.CircleAppID, "openid": fixture.OpenID,
		"plate_number": r.Plate, "state": state, "time": fixture.RFC3339(c.Now()),
	})
	if err != nil {
		return err
	}
	return c.call(ctx, vendorCall{demovendor.Parkings, c.webhookID("parking"), body})
}

func (c *console) entry(ctx context.Context, r request) error {
	body, err := json.Marshal(map[string]any{
		"sub_mch_id": fixture.SubMchID, "trade_scene": "PARKING", "start_time": fixture.Compact(c.Now()), "plate_number": r.Plate,
		"notify_url": c.WebhookURL, "car_type": "小型车", "parking_name": fixture.ParkingName, "free_time": "1200",
	})
	if err != nil {
		return err
	}
	return c.call(ctx, vendorCall{demovendor.Entry, c.webhookID("entry"), body})
}

func (c *console) repeat(ctx context.Context, _ request) error {
	c.room.mu.Lock()
	last := c.room.call
	c.room.mu.Unlock()
	if last == nil {
		return errNothingYet
	}
	return c.call(ctx, *last)
}

func (c *console) call(ctx context.Context, call vendorCall) error {
	c.set(func(r *room) { r.call = &call })
	_, err := c.Vendor.Call(ctx, call.route, call.webhookID, call.body)
	return err
}

// forgeCall sends a genuine call with another signature.
func (c *console) forgeCall(ctx context.Context, _ request) error {
	req, err := c.Vendor.Request(ctx, demovendor.Parkings, c.webhookID("forged"), fixture.ParkingBody("IN", c.Now()))
	if err != nil {
		return err
	}
	// 32 zero bytes.
	req.Header.Set("Webhook-Signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	_, err = c.Vendor.Do(req)
	return err
}

func (c *console) block(ctx context.Context, r request) error {
	c.WeChatPay.Block(r.Plate)
	c.set(func(room *room) {
		if room.blocked == nil {
			room.blocked = map[string]bool{}
		}
		room.blocked[r.Plate] = true
	})
	return c.plateState(ctx, r, "BLOCKED", "OVERDUE", "")
}

func (c *console) unblock(ctx context.Context, r request) error {
	c.unblockPlate(r.Plate)
	return c.plateState(ctx, r, "NORMAL", "PROACTIVE", "PROACTIVE")
}

func (c *console) unblockPlate(plate string) {
	c.WeChatPay.SetState(plate, wechatpaysim.State{UserState: "NORMAL", DeductMode: "PROACTIVE"})
	c.set(func(room *room) { delete(room.blocked, plate) })
}

func (c *console) unblockAll() {
	c.room.mu.Lock()
	plates := slices.Collect(maps.Keys(c.room.blocked))
	c.room.mu.Unlock()
	for _, plate := range plates {
		c.unblockPlate(plate)
	}
}

func (c *console) plateState(ctx context.Context, r request, state, reason, deductMode string) error {
	callback, err := c.buildPlateState(r, state, reason, deductMode)
	if err != nil {
		return err
	}
	return c.send(ctx, callback)
}

func (c *console) buildPlateState(r request, state, reason, deductMode string) (wechatpaysim.Callback, error) {
	p := fixture.PlateState(state, reason, deductMode)
	p.PlateNumber = r.Plate
	return c.WeChatPay.BuildPlateState(c.BaseURL+"/v1/callbacks/vehicle/"+c.Vendor.ID(), p)
}

func (c *console) circleURL() string { return c.BaseURL + "/v1/callbacks/businesscircle" }

func (c *console) pay(ctx context.Context, _ request) error {
	callback, err := c.WeChatPay.BuildMallTransaction(c.circleURL(), fixture.Payment(c.Now()))
	if err != nil {
		return err
	}
	return c.send(ctx, callback)
}

func (c *console) refund(ctx context.Context, _ request) error {
	callback, err := c.WeChatPay.BuildMallRefund(c.circleURL(), fixture.Refund(c.Now()))
	if err != nil {
		return err
	}
	return c.send(ctx, callback)
}

// redeliver repeats what the last callback said, under a new nonce, as WeChat Pay does until it is answered.
func (c *console) redeliver(ctx context.Context, _ request) error {
	c.room.mu.Lock()
	last := c.room.callback
	c.room.mu.Unlock()
	if last == nil {
		return errNothingYet
	}
	again, err := c.WeChatPay.Renew(*last)
	if err != nil {
		return err
	}
	return c.send(ctx, again)
}

func (c *console) forge(ctx context.Context, r request) error {
	callback, err := c.buildPlateState(r, "BLOCKED", "OVERDUE", "")
	if err != nil {
		return err
	}
	if callback, err = c.WeChatPay.Forge(callback, wechatpaysim.ForgeByte); err != nil {
		return err
	}
	_, err = c.WeChatPay.Send(ctx, callback)
	return err
}

func (c *console) probe(ctx context.Context, _ request) error {
	callback, err := c.WeChatPay.BuildMallTransaction(c.circleURL(), fixture.Payment(c.Now()))
	if err != nil {
		return err
	}
	if callback, err = c.WeChatPay.Forge(callback, wechatpaysim.ForgeProbe); err != nil {
		return err
	}
	_, err = c.WeChatPay.Send(ctx, callback)
	return err
}

// send sends a genuine callback, which can be repeated.
func (c *console) send(ctx context.Context, callback wechatpaysim.Callback) error {
	c.set(func(r *room) { r.callback = &callback })
	_, err := c.WeChatPay.Send(ctx, callback)
	return err
}

func (c *console) vendorUp(context.Context, request) error {
	c.Webhooks.ClearFaults()
	c.Webhooks.BringUp()
	c.set(func(r *room) { r.vendor = "up" })
	return nil
}

func (c *console) vendorDown(context.Context, request) error {
	c.Webhooks.ClearFaults()
	if err := c.Webhooks.TakeDown(demovendor.FaultStatus); err != nil {
		return fmt.Errorf("taking the vendor down: %w", err)
	}
	c.set(func(r *room) { r.vendor = "down" })
	return nil
}

func (c *console) vendorGone(context.Context, request) error {
	c.Webhooks.ClearFaults()
	c.Webhooks.BringUp()
	if err := c.Webhooks.Inject(demovendor.Fault{Kind: demovendor.FaultStatus, Status: http.StatusGone}); err != nil {
		return fmt.Errorf("letting the vendor be gone: %w", err)
	}
	c.set(func(r *room) { r.vendor = "gone" })
	return nil
}

func (c *console) weChatPayUp(context.Context, request) error {
	c.WeChatPay.ClearFaults()
	c.set(func(r *room) { r.wechat = "up" })
	return nil
}

func (c *console) weChatPayDown(context.Context, request) error {
	c.WeChatPay.ClearFaults()
	if err := c.WeChatPay.Inject(wechatpaysim.Fault{Kind: wechatpaysim.FaultStatus, Status: http.StatusServiceUnavailable}); err != nil {
		return fmt.Errorf("taking WeChat Pay down: %w", err)
	}
	c.set(func(r *room) { r.wechat = "down" })
	return nil
}
