//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/local/awsfault"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/wechatpaysim"
)

// What the functions depend on.
const (
	secretsManager = "Secrets Manager"
	dynamoDB       = "DynamoDB"
	simpleQueue    = "SQS"
	weChatPay      = "WeChat Pay"
)

// Refused is the one way to be away that needs no proxy: nobody listens.
const refused awsfault.Kind = "connection refused"

// awayKinds are the ways in which a service is away. Some of what was sent may have arrived in none of them.
var awayKinds = []awsfault.Kind{awsfault.Fail, awsfault.Throttle, awsfault.ResetBefore, awsfault.Hang, refused}

// outages stand between the functions and everything that they depend on.
type outages struct {
	services map[string]*service
	proxy    *awsfault.Proxy

	mu     sync.Mutex
	broken []outage
}

// outage is what becomes of a service's calls; a zero times means all, an empty action every one.
type outage struct {
	service, action string
	kind            awsfault.Kind
	times           int
}

// service is one address that the functions know, which may stop listening and listen again.
type service struct {
	address string
	handler http.Handler
	server  *http.Server
}

func (s *service) listen() error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	return nil
}

// outageStack is the stack whose services can be taken away.
var outageStack = sync.OnceValues(func() (*gateway, error) {
	o := &outages{proxy: awsfault.New()}
	// The simulator serves once it is made; no function calls it before.
	simulator := make(chan http.Handler, 1)
	theirs := sync.OnceValue(func() http.Handler { return <-simulator })
	o.services = map[string]*service{
		secretsManager: {handler: o.proxy.Handler(secretsManager)},
		dynamoDB:       {handler: o.proxy.Handler(dynamoDB)},
		simpleQueue:    {handler: o.proxy.Handler(simpleQueue)},
		weChatPay:      {handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { theirs().ServeHTTP(w, r) })},
	}
	env := make(map[string]string)
	for name, settings := range map[string][]string{
		secretsManager: {"AWS_ENDPOINT_URL_SECRETS_MANAGER"}, dynamoDB: {"AWS_ENDPOINT_URL_DYNAMODB"}, simpleQueue: {"AWS_ENDPOINT_URL_SQS"},
		weChatPay: {"WECHATPAY_BASE_URL", "WECHATPAY_BACKUP_URL"},
	} {
		s := o.services[name]
		s.address = "127.0.0.1:0"
		if err := s.listen(); err != nil {
			return nil, err
		}
		for _, setting := range settings {
			env[setting] = "http://" + s.address
		}
	}
	g, err := startStack(nil, env)
	if err != nil {
		return nil, err
	}
	simulator <- g.WeChatPay
	o.use(g.Stack)
	g.outages = o
	return g, nil
})

func (o *outages) use(s *stack.Stack) {
	o.proxy.Use(awsfault.Options{Target: s.AWSEndpoint, Hang: 10 * time.Second, Decide: o.decide})
}

func (o *outages) decide(c awsfault.Call) awsfault.Kind {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.broken {
		b := &o.broken[i]
		if b.service != c.Function || (b.action != "" && b.action != c.Action) || b.times < 0 {
			continue
		}
		if b.times > 0 {
			if b.times--; b.times == 0 {
				b.times = -1
			}
		}
		return b.kind
	}
	return awsfault.None
}

// takeAway breaks a service until the returned function is called, which the test's end does too.
func (o *outages) takeAway(t *testing.T, b outage) (giveBack func()) {
	t.Helper()
	if b.kind == refused {
		s := o.services[b.service]
		if err := s.server.Close(); err != nil {
			t.Fatal(err)
		}
		giveBack = sync.OnceFunc(func() {
			if err := s.listen(); err != nil {
				t.Error(err)
			}
		})
	} else {
		o.mu.Lock()
		o.broken = append(o.broken, b)
		o.mu.Unlock()
		giveBack = func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.broken = nil
		}
	}
	t.Cleanup(giveBack)
	return giveBack
}

// calls returns how many calls a service has heard.
func (o *outages) calls(service string) (n int) {
	for c, times := range o.proxy.Calls() {
		if c.Function == service {
			n += times
		}
	}
	return n
}

// outageLanes takes the whole outage stack: what is away is away for every test.
func outageLanes(t *testing.T) *gateway {
	t.Helper()
	t.Parallel()
	g := get(t, outageStack)
	g.lane(t, laneParkings, laneEntry, laneCallbacks)
	return g
}

// knock sends one request to each function at one time and returns the answers by function; V2 and V3 callbacks reach
// one function, in its one sandbox or two.
type knock struct {
	parkings, entry, plate, circle answer
}

func knockAll(t *testing.T, g *gateway) knock {
	t.Helper()
	var k knock
	var err [4]error
	var knocking sync.WaitGroup
	parkings, entry := g.newCall(demovendor.Parkings), g.newCall(demovendor.Entry)
	plate := plateState(fixture.VendorID, fixture.PlateState("BLOCKED", "", ""))(t, g)
	circle := payment(t, g)
	knocking.Go(func() { k.parkings, err[0] = parkings.try(t.Context()) })
	knocking.Go(func() { k.entry, err[1] = entry.try(t.Context()) })
	knocking.Go(func() {
		k.plate, err[2] = deliveredTo(t, g, plate)
		k.circle, err[3] = deliveredTo(t, g, circle)
	})
	knocking.Wait()
	if joined := errors.Join(err[:]...); joined != nil {
		t.Fatal(joined)
	}
	return k
}

func deliveredTo(t *testing.T, g *gateway, c wechatpaysim.Callback) (answer, error) {
	d, err := g.WeChatPay.Send(t.Context(), c)
	return answer{d.Status, d.Header, d.Body}, err
}

// works checks that every function does its work.
func (k knock) works(t *testing.T, g *gateway) {
	t.Helper()
	for name, got := range map[string]struct{ got, want int }{
		"parkings": {k.parkings.status, 204}, "entry": {k.entry.status, 200}, "V2 callback": {k.plate.status, 200}, "V3 callback": {k.circle.status, 204},
	} {
		if got.got != got.want {
			t.Errorf("%s: got status %d, want %d", name, got.got, got.want)
		}
	}
	if !strings.Contains(string(k.plate.body), "SUCCESS") {
		t.Errorf("V2 callback: got %s, want success", k.plate.body)
	}
	if n := len(g.queue.take(t)); n != 2 {
		t.Errorf("got %d messages on the queue, want 2", n)
	}
}

// unavailable checks that every function says that it cannot work, and that nobody was called.
func (k knock) unavailable(t *testing.T, g *gateway, marks [2]int) {
	t.Helper()
	vendorScenario{status: 503, code: "gateway_unavailable", contains: []string{"WeChat Pay was not called"}}.check(t, k.parkings, g.heard.since(laneParkings, marks[0]))
	vendorScenario{status: 503, code: "gateway_unavailable", contains: []string{"WeChat Pay was not called"}}.check(t, k.entry, g.heard.since(laneEntry, marks[1]))
	if k.plate.status != 500 || string(k.plate.body) != strings.Replace(refusedXML, "%", "internal_error", 1) {
		t.Errorf("V2 callback: got %d %s, want 500 and FAIL", k.plate.status, k.plate.body)
	}
	if k.circle.status < 500 || string(k.circle.body) != strings.Replace(refusedMessage, "%", "internal_error", 1) {
		t.Errorf("V3 callback: got %d %s, want 5xx and FAIL", k.circle.status, k.circle.body)
	}
	if n := g.queue.depth(t); n != 0 {
		t.Errorf("got %d messages on the queue, want none", n)
	}
}

// restart ends every sandbox.
func (g *gateway) restart() {
	for _, name := range functions {
		g.Host.Kill(name)
	}
}

// startedOnce fails the test when a function was started more often than once from now to its end.
func (g *gateway) startedOnce(t *testing.T) (check func()) {
	t.Helper()
	before := make(map[string]int)
	for _, name := range functions {
		before[name] = g.Host.Stats(name).ColdStarts
	}
	return func() {
		t.Helper()
		for _, name := range functions {
			if got := g.Host.Stats(name).ColdStarts - before[name]; got > 1 {
				t.Errorf("%s: started %d times, want once: it must recover by itself", name, got)
			}
		}
	}
}

// TestSecretsManagerAway: a function that starts while its secrets cannot be read says so, and works as soon as they can,
// in the same process.
func TestSecretsManagerAway(t *testing.T) {
	g := outageLanes(t)
	for _, kind := range awayKinds {
		t.Run(string(kind), func(t *testing.T) {
			g.restart()
			check := g.startedOnce(t)
			giveBack := g.outages.takeAway(t, outage{service: secretsManager, kind: kind})
			marks := [2]int{g.heard.mark(laneParkings), g.heard.mark(laneEntry)}
			knockAll(t, g).unavailable(t, g, marks)
			giveBack()
			knockAll(t, g).works(t, g)
			check()
		})
	}
	t.Run("while running", func(t *testing.T) {
		g.outages.takeAway(t, outage{service: secretsManager, kind: awsfault.Fail})
		knockAll(t, g).works(t, g)
		// An unknown vendor makes the gateway ask again, in vain: it is still only unknown.
		c := g.newCall(demovendor.Parkings)
		c.as(unknownVendor)
		vendorScenario{status: 401, code: "not_authenticated"}.check(t, c.do(t), nil)
	})
}

// TestMalformedSecret: a secret that cannot be read is as good as none at a start, and harmless later on.
func TestMalformedSecret(t *testing.T) {
	g := outageLanes(t)
	w := g.World
	typo := map[string]any{"mode": w.Merchant.Mode, "mchid": w.Merchant.MchID, "appid": w.Merchant.AppID, "api_v2_kyes": w.Merchant.APIv2Keys}
	for _, row := range []struct {
		name, secret string
		document     any // what is wrong
		right        any
		// The functions that cannot work.
		parkings, entry, callbacks bool
	}{
		{"merchant: not JSON", w.MerchantSecret, "{", w.Merchant, true, true, true},
		{"merchant: a misspelt field", w.MerchantSecret, typo, w.Merchant, true, true, true},
		{"merchant key: no PEM", w.MerchantKeySecret, fixture.MerchantKey{SerialNo: fixture.MerchantSerial, PrivateKey: "not PEM at all"}, w.MerchantKey, true, false, false},
		{"vendors: a field of another type", w.VendorsSecret, `{"vendors":{"demo-parking":{"request_secrets":"whsec_"}}}`, w.Vendors, true, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			g.putSecret(t, w, row.secret, row.document)
			t.Cleanup(func() { g.putSecret(t, w, row.secret, row.right) })
			g.restart()
			check := g.startedOnce(t)
			k := knockAll(t, g)
			for what, got := range map[string]struct {
				status int
				away   bool
			}{
				"parkings": {k.parkings.status, row.parkings}, "entry": {k.entry.status, row.entry},
				"V2 callback": {k.plate.status, row.callbacks}, "V3 callback": {k.circle.status, row.callbacks},
			} {
				if (got.status >= 500) != got.away {
					t.Errorf("%s: got status %d, want unavailable: %v", what, got.status, got.away)
				}
			}
			if row.parkings {
				checkProblem(t, k.parkings)
			}
			g.queue.take(t)
			g.putSecret(t, w, row.secret, row.right)
			knockAll(t, g).works(t, g)
			check()
		})
	}
	t.Run("while running", func(t *testing.T) {
		g.putSecret(t, w, w.VendorsSecret, `{"vendors":`)
		t.Cleanup(func() { g.putSecret(t, w, w.VendorsSecret, w.Vendors) })
		c := g.newCall(demovendor.Parkings)
		c.as(unknownVendor) // makes the gateway ask again
		vendorScenario{status: 401, code: "not_authenticated"}.check(t, c.do(t), nil)
		knockAll(t, g).works(t, g)
	})
}

// TestDynamoDBAway: without a claim WeChat Pay is not called; once it was called, nothing can take the answer back.
func TestDynamoDBAway(t *testing.T) {
	g := outageLanes(t)
	for route, uri := range g.routes() {
		if a := g.newCall(route).do(t); a.status != success[route] {
			t.Fatalf("got status %d, want %d: %s", a.status, success[route], a.body)
		}
		for _, kind := range awayKinds {
			t.Run(route+" "+string(kind), func(t *testing.T) {
				giveBack := g.outages.takeAway(t, outage{service: dynamoDB, kind: kind})
				mark := g.heard.mark(uri)
				c := g.newCall(route)
				vendorScenario{status: 503, code: "gateway_unavailable", contains: []string{"WeChat Pay was not called"}}.check(t, c.do(t), g.heard.since(uri, mark))
				giveBack()
				a := c.do(t)
				vendorScenario{status: success[route], heard: 1}.check(t, a, g.heard.since(uri, mark))
			})
		}
		for _, row := range []struct {
			name   string
			broken outage
			fault  wechatpaysim.Fault
			status int
			heard  int
			// again is the repeat's status, after DynamoDB is back.
			again int
		}{
			{"one claim's answer lost", outage{dynamoDB, "PutItem", awsfault.ResetAfter, 1}, wechatpaysim.Fault{}, success[route], 1, success[route]},
			{"every claim's answer lost", outage{dynamoDB, "PutItem", awsfault.ResetAfter, 0}, wechatpaysim.Fault{}, 503, 0, 409},
			{"one try throttled", outage{dynamoDB, "", awsfault.Throttle, 1}, wechatpaysim.Fault{}, success[route], 1, success[route]},
			{"away after the claim", outage{dynamoDB, "UpdateItem", awsfault.Fail, 0}, wechatpaysim.Fault{}, success[route], 1, 409},
			{"silent after the claim", outage{dynamoDB, "UpdateItem", awsfault.Hang, 0}, wechatpaysim.Fault{}, success[route], 1, 409},
			{"the record's answer lost", outage{dynamoDB, "UpdateItem", awsfault.ResetAfter, 0}, wechatpaysim.Fault{}, success[route], 1, success[route]},
			{"not freed after a refusal", outage{dynamoDB, "DeleteItem", awsfault.Fail, 0}, status(1, 403, "", ""), 403, 1, 409},
			{"freed, the answer lost", outage{dynamoDB, "DeleteItem", awsfault.ResetAfter, 1}, status(1, 403, "", ""), 403, 1, success[route]},
		} {
			t.Run(route+" "+row.name, func(t *testing.T) {
				if row.fault.Kind != "" {
					row.fault.Route = uri
					if err := g.WeChatPay.Inject(row.fault); err != nil {
						t.Fatal(err)
					}
				}
				giveBack := g.outages.takeAway(t, row.broken)
				mark := g.heard.mark(uri)
				c := g.newCall(route)
				vendorScenario{status: row.status, heard: row.heard}.check(t, c.do(t), g.heard.since(uri, mark))
				giveBack()
				if a := c.do(t); a.status != row.again {
					t.Errorf("the repeat: got status %d, want %d: %s", a.status, row.again, a.body)
				}
			})
		}
	}
}

// TestQueueAway: WeChat Pay is answered with success only for what the queue took, in time, so that it sends it again.
func TestQueueAway(t *testing.T) {
	g := outageLanes(t)
	type row struct {
		build  func(*testing.T, *gateway) wechatpaysim.Callback
		v2     bool
		status int
	}
	rows := map[string]row{
		"V2": {plateState(fixture.VendorID, fixture.PlateState("BLOCKED", "", "")), true, 500},
		"V3": {payment, false, 503},
	}
	for _, r := range rows {
		callbackScenario{build: r.build, queued: []string{fixture.VendorID}}.play(t, g, r.v2)
	}
	for _, kind := range awayKinds {
		t.Run(string(kind), func(t *testing.T) {
			giveBack := g.outages.takeAway(t, outage{service: simpleQueue, kind: kind})
			callbacks := make(map[string]wechatpaysim.Callback)
			t.Run("away", func(t *testing.T) {
				for name, r := range rows {
					c := r.build(t, g)
					callbacks[name] = c
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						started := time.Now()
						callbackScenario{build: ready(c), reason: "queue_unavailable", status: r.status}.play(t, g, r.v2)
						// WeChat Pay waits 5 s.
						if took := time.Since(started); took > 5*time.Second {
							t.Errorf("the answer took %v", took)
						}
					})
				}
			})
			giveBack()
			for name, r := range rows {
				callbackScenario{build: ready(callbacks[name]), queued: []string{fixture.VendorID}}.play(t, g, r.v2)
			}
		})
	}
	for name, r := range rows {
		t.Run(name+" one try throttled", func(t *testing.T) {
			g.outages.takeAway(t, outage{service: simpleQueue, kind: awsfault.Throttle, times: 1})
			callbackScenario{build: r.build, queued: []string{fixture.VendorID}}.play(t, g, r.v2)
		})
		t.Run(name+" an answer lost", func(t *testing.T) {
			g.outages.takeAway(t, outage{service: simpleQueue, kind: awsfault.ResetAfter, times: 1})
			messages := deliver(t, g, r.build(t, g), 2)
			if messages[0].ID != messages[1].ID {
				t.Error("the same event was queued under two ids")
			}
		})
	}
}

// ready is a callback that is built already.
func ready(c wechatpaysim.Callback) func(*testing.T, *gateway) wechatpaysim.Callback {
	return func(*testing.T, *gateway) wechatpaysim.Callback { return c }
}

// TestWeChatPayUnreachable: where nothing could be sent, WeChat Pay has not acted, and the answer says so.
func TestWeChatPayUnreachable(t *testing.T) {
	g := outageLanes(t)
	giveBack := g.outages.takeAway(t, outage{service: weChatPay, kind: refused})
	calls := make(map[string]*call)
	for route, uri := range g.routes() {
		mark := g.heard.mark(uri)
		c := g.newCall(route)
		a := c.do(t)
		vendorScenario{status: 503, code: "wechatpay_unavailable", lacks: []string{`"wechatpay":`}}.check(t, a, g.heard.since(uri, mark))
		calls[route] = c
	}
	giveBack()
	for route, c := range calls {
		if a := c.do(t); a.status != success[route] || a.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s: got status %d, want a fresh %d: %s", route, a.status, success[route], a.body)
		}
	}
}

// copyOf returns a deep copy of a document.
func copyOf[T any](t *testing.T, v T) T {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var c T
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
