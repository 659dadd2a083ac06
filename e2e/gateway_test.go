//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/wechatpaysim"
)

// The vendors of the partner stack, besides the fixture's two.
const (
	disabledVendor = "disabled-parking" // switched off
	chainVendor    = "chain-parking"    // two merchants with both products
	bareVendor     = "bare-parking"     // a merchant without any product
	quietVendor    = "quiet-parking"    // does not listen to plates
	curiousVendor  = "curious-parking"  // listens to a type that the gateway does not know
	unknownVendor  = "nobody-parking"   // is not configured
)

// Their merchants.
const (
	chainMchID1, chainMchID2   = "1900000111", "1900000112"
	bareMchID, quietMchID      = "1900000113", "1900000114"
	chainBrand1, chainBrand2   = 2001, 2002
	chainCircle1, chainCircle2 = "wxchain000000circle1", "wxchain000000circle2"
	chainApp1, chainApp2       = "wxchain0000000000app1", "wxchain0000000000app2"
	newEventType               = "MALL_NEW.EVENT_2"
)

// partnerWorld adds vendors for every way in which one may be configured, and makes the keys of WeChat Pay's callbacks
// the second of their lists: they were rotated.
func partnerWorld(w *fixture.World) {
	add := func(id string, events []string, disabled bool, merchants ...fixture.VendorMerchant) {
		w.Vendors.Vendors[id] = &fixture.Vendor{
			RequestSecrets: []string{fixture.NewSecret(), fixture.NewSecret()}, WebhookSecrets: []string{fixture.NewSecret()},
			Events: events, Disabled: disabled, Merchants: merchants,
		}
	}
	merchant := func(id, subAppID string, brand int64, circleAppID string) fixture.VendorMerchant {
		return fixture.VendorMerchant{
			SubMchID: id, Vehicle: &fixture.Vehicle{SubAppID: subAppID},
			BusinessCircle: &fixture.BusinessCircle{BrandID: brand, AppID: circleAppID},
		}
	}
	chain1 := merchant(chainMchID1, chainApp1, chainBrand1, chainCircle1)
	chain2 := merchant(chainMchID2, chainApp2, chainBrand2, chainCircle2)
	paid := "businesscircle.transaction_succeeded"
	add(disabledVendor, nil, true, merchant(fixture.SubMchID, fixture.SubAppID, fixture.BrandID, fixture.CircleAppID))
	add(chainVendor, []string{paid}, false, chain1, chain2)
	add(bareVendor, nil, false, fixture.VendorMerchant{SubMchID: bareMchID})
	add(quietVendor, []string{"businesscircle.card_activated"}, false, merchant(quietMchID, "wxquiet00000000app", 2003, "wxquiet0000circle"))
	add(curiousVendor, []string{paid, "wechatpay." + newEventType}, false, chain1)

	for _, m := range []fixture.VendorMerchant{chain1, chain2} {
		w.WeChatPay.Merchants = append(w.WeChatPay.Merchants, wechatpaysim.Merchant{
			SubMchID: m.SubMchID, SubAppID: m.Vehicle.SubAppID, BrandID: m.BusinessCircle.BrandID, AppID: m.BusinessCircle.AppID,
		})
	}
	newV2, newV3 := newKey(), newKey()
	oldV2, oldV3 := w.Merchant.APIv2Keys[0], w.Merchant.APIv3Keys[0]
	w.Merchant.APIv2Keys = []string{newV2, oldV2}
	w.Merchant.APIv3Keys = []string{newV3, oldV3}
	w.WeChatPay.APIv2Keys = []string{oldV2, newV2} // the first signs callbacks, any signs requests
}

// newKey makes an APIv2 or APIv3 key: 32 letters and digits.
func newKey() string { return (rand.Text() + rand.Text())[:32] }

// The lanes: what tests of one lane share is what they count, so they run one after the other.
const (
	laneParkings  = wechatpaysim.RouteParkings
	laneEntry     = wechatpaysim.RouteVehiclePartner
	laneCallbacks = "callbacks"
)

// gateway is a running stack and what tests ask of it.
type gateway struct {
	*stack.Stack
	heard    *hearing
	queue    *queue
	client   *http.Client
	secrets  *secretsmanager.Client
	lanes    map[string]*sync.Mutex
	entryURI string   // where entries arrive at WeChat Pay
	outages  *outages // of the outage stack alone
}

func newGateway(ctx context.Context, s *stack.Stack, heard *hearing) (*gateway, error) {
	client := sqs.NewFromConfig(s.AWS)
	list, err := client.ListQueues(ctx, &sqs.ListQueuesInput{})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list.QueueUrls, func(url string) bool { return strings.HasSuffix(url, "-EventsQueue") })
	if i < 0 {
		return nil, fmt.Errorf("no events queue among %q", list.QueueUrls)
	}
	g := &gateway{
		Stack: s, heard: heard, queue: &queue{client, list.QueueUrls[i]},
		client:  &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
		secrets: secretsmanager.NewFromConfig(s.AWS),
		lanes:   map[string]*sync.Mutex{laneParkings: {}, laneEntry: {}, laneCallbacks: {}}, entryURI: wechatpaysim.RouteVehiclePartner,
	}
	if s.World.WeChatPay.Mode == wechatpaysim.Direct {
		g.entryURI = wechatpaysim.RouteVehicleDirect
	}
	return g, nil
}

// lane waits until no other test is in the lanes, and keeps them until the test's end.
func (g *gateway) lane(t *testing.T, names ...string) {
	t.Helper()
	slices.Sort(names)
	for _, name := range names {
		g.lanes[name].Lock()
		t.Cleanup(g.lanes[name].Unlock)
	}
}

// stays fails the test when a sandbox of the function had to be started anew by its end: a function must survive what
// the test does to it. The function is warm afterwards.
func (g *gateway) stays(t *testing.T, function string) {
	t.Helper()
	before := g.Host.Stats(function).ColdStarts
	t.Cleanup(func() {
		if got := g.Host.Stats(function).ColdStarts; got != before {
			t.Errorf("%s: got %d new sandboxes during the test, want none", function, got-before)
		}
	})
}

// putSecret stores a new version of a secret and notes the private words in w.
func (g *gateway) putSecret(t *testing.T, w *fixture.World, name string, document any) {
	t.Helper()
	suite.private.addWorld(w)
	text, ok := document.(string)
	if !ok {
		b, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	// Cleanups put secrets back, when the test's own context has ended.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := g.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &text}); err != nil {
		t.Fatal(err)
	}
}

// hearing is what WeChat Pay heard, by route.
type hearing struct {
	mu    sync.Mutex
	heard map[string][]wechatpaysim.Request
	gates map[string]*gate
}

// gate holds answers back.
type gate struct{ arrived, open chan struct{} }

// observe is the simulator's observer; it returns when the answer may be given.
func (h *hearing) observe(r wechatpaysim.Request) {
	h.mu.Lock()
	if h.heard == nil {
		h.heard = make(map[string][]wechatpaysim.Request)
	}
	h.heard[r.Route] = append(h.heard[r.Route], r)
	held := h.gates[r.Route]
	h.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case held.arrived <- struct{}{}:
	default:
	}
	<-held.open
}

// mark returns how much was heard on a route so far; since returns what was heard after that.
func (h *hearing) mark(route string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.heard[route])
}

func (h *hearing) since(route string, mark int) []wechatpaysim.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.heard[route][mark:])
}

// hold keeps WeChat Pay from answering on a route, after it has heard a request, until release is called. What arrives is
// told once.
func (h *hearing) hold(t *testing.T, route string) (arrived <-chan struct{}, release func()) {
	t.Helper()
	held := &gate{arrived: make(chan struct{}, 1), open: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gates == nil {
		h.gates = make(map[string]*gate)
	}
	h.gates[route] = held
	release = sync.OnceFunc(func() {
		h.mu.Lock()
		delete(h.gates, route)
		h.mu.Unlock()
		close(held.open)
	})
	t.Cleanup(release)
	return held.arrived, release
}

// queue is the events queue.
type queue struct {
	client *sqs.Client
	url    string
}

// message is one message of the queue, as it stands there.
type message struct {
	ID        string          `json:"id"`
	VendorID  string          `json:"vendor_id"`
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
	group     string
}

// depth returns how many messages wait.
func (q *queue) depth(t *testing.T) int {
	t.Helper()
	out, err := q.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var (
	eventID     = regexp.MustCompile(`^evt_[0-9a-f]{40}$`)
	beijingTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$`)
)

// take takes everything that waits, checks its form and returns it sorted by vendor.
func (q *queue) take(t *testing.T) []message {
	t.Helper()
	var all []message
	for n := q.depth(t); n > 0; n = q.depth(t) {
		out, err := q.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &q.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameMessageGroupId},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			all = append(all, readMessage(t, m))
			if _, err := q.client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.SortFunc(all, func(a, b message) int { return strings.Compare(a.VendorID, b.VendorID) })
	return all
}

func readMessage(t *testing.T, m types.Message) message {
	t.Helper()
	var read message
	d := json.NewDecoder(strings.NewReader(aws.ToString(m.Body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		t.Fatalf("queue message: %v", err)
	}
	read.group = m.Attributes["MessageGroupId"]
	if read.group != read.VendorID {
		t.Errorf("queue message: got group %q, want the vendor %q", read.group, read.VendorID)
	}
	if !eventID.MatchString(read.ID) {
		t.Errorf("queue message: got id %q, want evt_ and 40 hexadecimal digits", read.ID)
	}
	if !beijingTime.MatchString(read.Timestamp) {
		t.Errorf("queue message: got timestamp %q, want RFC 3339 at +08:00", read.Timestamp)
	}
	suite.agreement.queued(read)
	return read
}

// call is a vendor's call before it is signed. Scenarios change one thing of a valid one.
type call struct {
	gateway *gateway
	method  string // POST where it is ""
	route   string // "" is the vendor itself
	vendor  string // in the path
	secret  string // signs
	id      string
	at      time.Time
	body    []byte
	// signed changes the headers after signing.
	signed func(http.Header)
}

// newCall returns a valid call of the fixture's vendor.
func (g *gateway) newCall(route string) *call {
	c := &call{gateway: g, route: route, id: "e2e-" + rand.Text(), at: time.Now(), body: fixture.ParkingBody("IN", time.Now())}
	if route == demovendor.Entry {
		c.body = fixture.EntryBody(time.Now())
	}
	c.as(fixture.VendorID)
	return c
}

// as makes the call another vendor's.
func (c *call) as(vendor string) {
	c.vendor = vendor
	c.secret = fixture.NewSecret()
	if v, ok := c.gateway.World.Vendors.Vendors[vendor]; ok {
		c.secret = v.RequestSecrets[0]
	}
}

// fields returns the body's members.
func (c *call) fields() map[string]any {
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		panic("e2e: the body that is to be changed is not JSON: " + err.Error())
	}
	return members
}

// set sets a field of the body, with a nil value it takes it away.
func (c *call) set(name string, value any) {
	members := c.fields()
	members[name] = value
	if value == nil {
		delete(members, name)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(members); err != nil {
		panic("e2e: " + err.Error())
	}
	c.body = bytes.TrimSpace(b.Bytes())
}

// replace changes the body's text, which must hold old once.
func (c *call) replace(old, new string) {
	if bytes.Count(c.body, []byte(old)) != 1 {
		panic(fmt.Sprintf("e2e: the body does not hold %q once", old))
	}
	c.body = bytes.Replace(c.body, []byte(old), []byte(new), 1)
}

// pad makes the body of n bytes with white space, which JSON allows.
func (c *call) pad(n int) {
	c.body = append(c.body, bytes.Repeat([]byte(" "), n-len(c.body))...)
}

// headers returns the call's signed headers.
func (c *call) headers() (http.Header, error) {
	webhook, err := standardwebhooks.NewWebhook(c.secret)
	if err != nil {
		return nil, err
	}
	signature, err := webhook.Sign(c.id, c.at, c.body)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	if c.method != http.MethodGet {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Webhook-Id", c.id)
	h.Set("Webhook-Timestamp", strconv.FormatInt(c.at.Unix(), 10))
	h.Set("Webhook-Signature", signature)
	if c.signed != nil {
		c.signed(h)
	}
	return h, nil
}

func (c *call) path() string {
	return strings.TrimSuffix("/v1/vendors/"+c.vendor+"/"+c.route, "/")
}

// answer is what the gateway answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) requestID() string { return a.header.Get("Request-Id") }

// do makes the call.
func (c *call) do(t *testing.T) answer {
	t.Helper()
	a, err := c.try(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try makes the call and may be used by several goroutines.
func (c *call) try(ctx context.Context) (answer, error) {
	suite.private.add(privateIn(c.body)...)
	header, err := c.headers()
	if err != nil {
		return answer{}, err
	}
	return c.gateway.send(ctx, cmp.Or(c.method, http.MethodPost), c.path(), header, c.body)
}

// post posts a request to the gateway.
func (g *gateway) post(ctx context.Context, path string, header http.Header, body []byte) (answer, error) {
	return g.send(ctx, http.MethodPost, path, header, body)
}

// send sends a request to the gateway.
func (g *gateway) send(ctx context.Context, method, path string, header http.Header, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, g.URL+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, header)
	res, err := g.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, read}, err
}

// privateMember finds the values of plates and openids in a JSON text, in one within it, and in XML.
var privateMember = regexp.MustCompile(
	`(?:plate_number|openid)\\?"\s*:\s*\\?"((?:[^"\\])*)|<(?:plate_number|openid|sub_openid)>(?:<!\[CDATA\[)?([^<\]]*)`)

// privateIn returns the plates and openids of a message.
func privateIn(body []byte) (words []string) {
	for _, m := range privateMember.FindAllSubmatch(body, -1) {
		words = append(words, string(m[1]), string(m[2]))
	}
	return words
}
