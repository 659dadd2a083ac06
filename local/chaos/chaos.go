// Package chaos runs the compiled functions on the local stack while everything around them fails: AWS calls are
// throttled, fail, hang or are carried out without an answer; WeChat Pay and the vendors are slow, wrong or gone; processes
// are killed before and after their effects; a vendor's secrets are rotated in the middle. Afterwards it holds what
// happened against what was promised:
//
//   - every callback that was answered with success was delivered, or is on the dead-letter queue with its reason;
//   - none that was refused for its signature, form or owner was delivered;
//   - every vendor call ended in one documented answer;
//   - nothing was delivered that does not verify.
//
// The faults are drawn from a seed: the same seed draws the same ones for the same calls, though what runs side by side may
// meet them in another order.
package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/local/awsfault"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/problem"
)

// Options say how much chaos there is to be.
type Options struct {
	Root             string // the project's folder
	Callbacks, Calls int
	Seed             uint64
	FunctionLog      io.Writer
	Progress         func(string)
}

// How likely a call meets a fault.
const (
	awsFaults    = 0.02
	weChatFaults = 0.15
	vendorFaults = 0.03
	forgeries    = 0.05
	redeliveries = 0.05
	killShare    = 0.05 // of the faults of AWS calls
	killEvery    = 8 * time.Second
)

// How many callbacks and calls are under way at once.
const (
	callbackWorkers = 6
	callWorkers     = 4
)

// mostWaiting is how many events may be on their way before senders pause: the emulated queue looks through all of its
// messages for each one that it hands out.
const mostWaiting = 250

// hangTime is longer than any caller waits for AWS.
const hangTime = 2 * time.Second

// visibility is how long a batch whose function was killed stays out of sight. The template has longer, which would only
// make the run wait.
const visibility = 40 * time.Second

// settleTime bounds how long the run waits for what is on its way at its end.
const settleTime = 6 * time.Minute

// Report is what happened.
type Report struct {
	Seed    uint64
	Took    time.Duration
	AWS     map[awsfault.Kind]int
	Kills   int
	WeChat  map[string]int // faults of WeChat Pay's answers, by kind
	Vendor  map[string]int // faults of the vendor's answers, by kind
	Answers map[string]int // of vendor calls, by status and code

	Sent, Accepted, Refused, Unavailable  int
	Delivered, Parked, Duplicated, CutOff int

	// These must be 0.
	Lost, RefusedDelivered, Unverified, Undocumented int
	// Examples of what must not be, for whoever looks into it.
	Examples []string
}

// ErrBroken says that a promise was broken.
var ErrBroken = errors.New("chaos: a promise was broken")

// Err returns ErrBroken when something is not 0 that must be.
func (r *Report) Err() error {
	if r.Lost+r.RefusedDelivered+r.Unverified+r.Undocumented == 0 {
		return nil
	}
	return fmt.Errorf("%w: lost %d, refused but delivered %d, delivered unverified %d, undocumented answers %d: %s", ErrBroken,
		r.Lost, r.RefusedDelivered, r.Unverified, r.Undocumented, strings.Join(r.Examples, "; "))
}

// Write prints the report as a table.
func (r *Report) Write(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what string, n any) { fmt.Fprintf(t, "%s\t%v\n", what, n) }
	row("seed", r.Seed)
	row("took", r.Took.Round(time.Second))
	for _, kind := range awsfault.Kinds() {
		row("faults: AWS call "+string(kind), r.AWS[kind])
	}
	row("faults: process killed at a random moment", r.Kills)
	for _, kind := range sortedKeys(r.WeChat) {
		row("faults: WeChat Pay "+kind, r.WeChat[kind])
	}
	for _, kind := range sortedKeys(r.Vendor) {
		row("faults: vendor "+kind, r.Vendor[kind])
	}
	row("callbacks sent", r.Sent)
	row("  answered with success", r.Accepted)
	row("  refused (forged, probes)", r.Refused)
	row("  not available, to be repeated by WeChat Pay", r.Unavailable)
	row("events delivered", r.Delivered)
	row("events parked with a reason", r.Parked)
	row("events delivered more than once", r.Duplicated)
	row("deliveries cut off when their sender was killed", r.CutOff)
	row("events LOST", r.Lost)
	row("refused callbacks delivered", r.RefusedDelivered)
	row("deliveries that do not verify", r.Unverified)
	for _, answer := range sortedKeys(r.Answers) {
		row("vendor calls answered "+answer, r.Answers[answer])
	}
	row("vendor calls with an undocumented answer", r.Undocumented)
	return t.Flush()
}

// run is one run under way.
type run struct {
	Options
	stack  *stack.Stack
	proxy  *awsfault.Proxy
	random *lockedRand
	calm   atomic.Bool
	kills  atomic.Int64

	waiting atomic.Int64 // events on their way, as last seen
	vendor  atomic.Pointer[demovendor.Vendor]

	mu       sync.Mutex
	report   Report
	accepted map[string]bool // keys of the events that were answered with success
	refused  map[string]bool // keys of those that were refused for good
}

// lockedRand draws from one seed for several goroutines.
type lockedRand struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (l *lockedRand) chance(p float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Float64() < p
}

func (l *lockedRand) intN(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.IntN(n)
}

// Run makes the chaos and returns what happened. Its error is that of a run that could not be finished; a broken promise
// is the Report's.
func Run(ctx context.Context, options Options) (*Report, error) {
	started := time.Now()
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	r := &run{
		Options: options, proxy: awsfault.New(),
		random:   &lockedRand{r: rand.New(rand.NewPCG(options.Seed, 0))},
		accepted: map[string]bool{}, refused: map[string]bool{},
		report: Report{Seed: options.Seed, WeChat: map[string]int{}, Vendor: map[string]int{}, Answers: map[string]int{}},
	}
	world, err := fixture.New(time.Now)
	if err != nil {
		return nil, err
	}
	// Secrets that are rotated in later stand in the world now, so that the vendor knows them, and not yet in the document.
	v := world.Vendors.Vendors[fixture.VendorID]
	nextRequest, nextWebhook := fixture.NewSecret(), fixture.NewSecret()
	v.WebhookSecrets = append([]string{nextWebhook}, v.WebhookSecrets...)

	var proxies proxies
	defer proxies.close()
	r.stack, err = stack.Start(ctx, stack.Options{
		Root: options.Root, Listen: "127.0.0.1:0", FunctionLog: options.FunctionLog, Progress: options.Progress, World: world,
		Visibility: visibility,
		EnvFor: func(function string) map[string]string {
			return map[string]string{"AWS_ENDPOINT_URL": proxies.open(r.proxy.Handler(function))}
		},
	})
	if err != nil {
		return nil, errors.Join(err, proxies.err)
	}
	defer r.stack.Close()
	if proxies.err != nil {
		return nil, proxies.err
	}
	v.WebhookSecrets = v.WebhookSecrets[1:]
	if err := r.store(ctx, world); err != nil {
		return nil, err
	}
	r.vendor.Store(r.stack.Vendor)
	r.proxy.Use(awsfault.Options{Target: r.stack.AWSEndpoint, Decide: r.decide, Kill: r.kill, Hang: hangTime})

	if err := r.everything(ctx, world, nextRequest, nextWebhook); err != nil {
		return nil, err
	}
	r.calm.Store(true)
	r.stack.WeChatPay.ClearFaults()
	r.stack.Webhooks.ClearFaults()
	options.Progress("everything was sent; waiting for what is on its way, without further faults")
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	if err := r.judge(ctx); err != nil {
		return nil, err
	}
	r.report.AWS, r.report.Kills, r.report.Took = r.proxy.Counts(), int(r.kills.Load()), time.Since(started)
	return &r.report, nil
}

// everything sends callbacks and calls side by side, kills processes, and rotates the vendor's secrets half-way.
func (r *run) everything(ctx context.Context, world *fixture.World, nextRequest, nextWebhook string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var killer sync.WaitGroup
	killer.Go(func() { r.killAtRandom(ctx) })
	defer killer.Wait()
	defer cancel()

	var pressure sync.WaitGroup
	pressure.Go(func() { r.watchPressure(ctx) })
	defer pressure.Wait()
	defer cancel()

	var rotate sync.Once
	var rotateErr error
	var sent, called atomic.Int64
	var workers sync.WaitGroup
	for range callbackWorkers {
		workers.Go(func() {
			for n := sent.Add(1); n <= int64(r.Callbacks) && ctx.Err() == nil; n = sent.Add(1) {
				r.waitForRoom(ctx)
				r.callback(ctx, int(n))
				if n == int64(r.Callbacks/2) {
					rotate.Do(func() { rotateErr = r.rotate(ctx, world, nextRequest, nextWebhook) })
				}
				if n%500 == 0 {
					r.Progress(fmt.Sprintf("%d of %d callbacks, %d of %d calls", n, r.Callbacks, min(called.Load(), int64(r.Calls)), r.Calls))
				}
			}
		})
	}
	for range callWorkers {
		workers.Go(func() {
			for n := called.Add(1); n <= int64(r.Calls) && ctx.Err() == nil; n = called.Add(1) {
				r.call(ctx, int(n))
			}
		})
	}
	workers.Wait()
	return errors.Join(ctx.Err(), rotateErr)
}

// decide draws what happens to a call of a function to AWS.
func (r *run) decide(awsfault.Call) awsfault.Kind {
	if r.calm.Load() || !r.random.chance(awsFaults) {
		return awsfault.None
	}
	if r.random.chance(killShare) {
		return []awsfault.Kind{awsfault.KillBefore, awsfault.KillAfter}[r.random.intN(2)]
	}
	kinds := []awsfault.Kind{awsfault.Throttle, awsfault.Fail, awsfault.ResetBefore, awsfault.ResetAfter, awsfault.Hang}
	return kinds[r.random.intN(len(kinds))]
}

// kill ends a function's processes. It is called from inside one of their calls.
func (r *run) kill(function string) { r.stack.Host.Kill(function) }

func (r *run) killAtRandom(ctx context.Context) {
	names := r.stack.Functions()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(r.random.intN(int(2 * killEvery)))):
		}
		r.stack.Host.Kill(names[r.random.intN(len(names))])
		r.kills.Add(1)
	}
}

// watchPressure looks at the queue's depth twice a second.
func (r *run) watchPressure(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
		if n, err := r.stack.Waiting(ctx); err == nil {
			r.waiting.Store(int64(n))
		}
	}
}

// waitForRoom pauses a sender while too many events are on their way.
func (r *run) waitForRoom(ctx context.Context) {
	for r.waiting.Load() > mostWaiting && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// rotate puts new secrets in front of the vendor's, which keeps using the old request secret for a while.
func (r *run) rotate(ctx context.Context, world *fixture.World, nextRequest, nextWebhook string) error {
	v := world.Vendors.Vendors[fixture.VendorID]
	v.RequestSecrets = append([]string{nextRequest}, v.RequestSecrets...)
	v.WebhookSecrets = append([]string{nextWebhook}, v.WebhookSecrets...)
	if err := r.store(ctx, world); err != nil {
		return err
	}
	vendor, err := demovendor.New(fixture.VendorID, nextRequest, r.stack.URL, time.Now)
	if err != nil {
		return err
	}
	r.vendor.Store(vendor)
	r.Progress("the vendor's secrets were rotated; both are live")
	return nil
}

func (r *run) store(ctx context.Context, world *fixture.World) error {
	secrets, err := world.Secrets()
	if err != nil {
		return err
	}
	_, err = secretsmanager.NewFromConfig(r.stack.AWS).PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &world.VendorsSecret, SecretString: aws.String(secrets[world.VendorsSecret]),
	})
	return err
}

// plateOf returns a plate of its own for each callback: the event's key.
func plateOf(n int) string {
	const digits = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	b := []byte("00000")
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = digits[n%len(digits)]
		n /= len(digits)
	}
	return "粤A" + string(b)
}

// callback sends callback number n, as WeChat Pay does: what is not accepted is sent again, and sometimes what is.
func (r *run) callback(ctx context.Context, n int) {
	c, key, err := r.build(n)
	if err != nil {
		r.broken("callback " + key + ": " + err.Error())
		return
	}
	genuine := true
	if r.random.chance(forgeries) {
		kinds := []wechatpaysim.Forgery{wechatpaysim.ForgeByte, wechatpaysim.ForgeKey, wechatpaysim.ForgeProbe}
		if c, err = r.stack.WeChatPay.Forge(c, kinds[r.random.intN(len(kinds))]); err != nil {
			r.broken("callback " + key + ": " + err.Error())
			return
		}
		genuine = false
	}
	if r.random.chance(vendorFaults) {
		r.breakVendor()
	}
	for try := range 4 {
		delivery, err := r.stack.WeChatPay.Send(ctx, c)
		verdict := r.note(key, genuine, delivery, err)
		if verdict == refused || verdict == accepted && !r.random.chance(redeliveries) {
			return
		}
		if again, err := r.stack.WeChatPay.Renew(c); err == nil && genuine {
			c = again
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(try+1) * 50 * time.Millisecond):
		}
	}
}

// build makes callback number n and returns the key by which its event is known.
func (r *run) build(n int) (wechatpaysim.Callback, string, error) {
	if n%2 == 0 {
		state := fixture.PlateState("BLOCKED", "OVERDUE", "")
		state.PlateNumber = plateOf(n)
		c, err := r.stack.WeChatPay.BuildPlateState(r.stack.URL+"/v1/callbacks/vehicle/"+fixture.VendorID, state)
		return c, state.PlateNumber, err
	}
	payment := fixture.Payment(time.Now())
	payment.TransactionID = "chaos-" + strconv.Itoa(n)
	c, err := r.stack.WeChatPay.BuildMallTransaction(r.stack.URL+"/v1/callbacks/businesscircle", payment)
	return c, payment.TransactionID, err
}

// verdict is what became of one sending of a callback.
type verdict int

const (
	accepted verdict = iota
	refused
	unavailable
)

func (r *run) note(key string, genuine bool, d wechatpaysim.Delivery, err error) verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Sent++
	switch {
	case err == nil && d.Success:
		r.report.Accepted++
		r.accepted[key] = true
		if !genuine {
			r.report.RefusedDelivered++
			r.report.Examples = append(r.report.Examples, "a forged callback was accepted: "+key)
		}
		return accepted
	case !genuine && err == nil && (d.Status == http.StatusOK || d.Status >= 400 && d.Status < 500):
		r.report.Refused++
		r.refused[key] = true
		return refused
	}
	if !genuine {
		// Its refusal was lost to a fault; it must not be delivered all the same.
		r.refused[key] = true
	}
	r.report.Unavailable++
	return unavailable
}

// breakVendor makes the vendor meet its next webhook badly.
func (r *run) breakVendor() {
	faults := []demovendor.Fault{
		{Kind: demovendor.FaultStatus, Status: http.StatusInternalServerError, Times: 1},
		{Kind: demovendor.FaultStatus, Status: http.StatusServiceUnavailable, RetryAfter: "2", Times: 1},
		{Kind: demovendor.FaultRedirect, Location: "https://example.com/", Times: 1},
		{Kind: demovendor.FaultClose, Times: 1},
		{Kind: demovendor.FaultDelay, Delay: time.Second, Times: 1},
		{Kind: demovendor.FaultEndless, Times: 1},
		{Kind: demovendor.FaultHang, Times: 1},
	}
	f := faults[r.random.intN(len(faults))]
	if err := r.stack.Webhooks.Inject(f); err != nil {
		r.broken(err.Error())
		return
	}
	r.count(&r.report.Vendor, string(f.Kind))
}

// call makes vendor call number n and holds its answer against the documented ones.
func (r *run) call(ctx context.Context, n int) {
	route, body := demovendor.Parkings, fixture.ParkingBody("IN", time.Now())
	if n%2 == 0 {
		route, body = demovendor.Entry, fixture.EntryBodyFor(time.Now(), r.stack.World.Vendors.Vendors[fixture.VendorID].WebhookURL)
	}
	if r.random.chance(weChatFaults) {
		r.breakWeChat()
	}
	id := "chaos-" + strconv.FormatUint(r.Seed, 36) + "-" + strconv.Itoa(n)
	answer, err := r.vendor.Load().Call(ctx, route, id, body)
	if err != nil {
		if ctx.Err() == nil {
			r.undocumented("call " + id + ": " + err.Error())
		}
		return
	}
	text, ok := documented(route, answer)
	r.count(&r.report.Answers, text)
	if !ok {
		r.undocumented("call " + id + ": " + text)
	}
}

// documented names an answer and tells whether it is one that the documentation has.
func documented(route string, a demovendor.Answer) (string, bool) {
	status := strconv.Itoa(a.Status)
	switch {
	case a.Status == http.StatusNoContent:
		return status, route == demovendor.Parkings && len(a.Body) == 0
	case a.Status == http.StatusOK:
		var told struct {
			UserState string `json:"user_state"`
		}
		return status, route == demovendor.Entry && json.Unmarshal(a.Body, &told) == nil && told.UserState != ""
	}
	var told struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(a.Body, &told) != nil {
		return status + " not JSON", false
	}
	if told.Code == "" {
		// API Gateway's own, where the function's process was killed.
		return status + " " + told.Message, a.Status == http.StatusInternalServerError && told.Message == "Internal Server Error"
	}
	code := problem.Code(told.Code)
	return status + " " + told.Code, slices.Contains(problem.Codes(), code) && code.Status() == a.Status
}

// breakWeChat makes WeChat Pay meet its next request badly.
func (r *run) breakWeChat() {
	faults := []wechatpaysim.Fault{
		{Kind: wechatpaysim.FaultStatus, Status: http.StatusBadGateway, Times: 1},
		{Kind: wechatpaysim.FaultSystemError, Times: 1},
		{Kind: wechatpaysim.FaultDelay, Delay: 500 * time.Millisecond, Times: 1},
		{Kind: wechatpaysim.FaultHang, Times: 1},
		{Kind: wechatpaysim.FaultResetBeforeRead, Times: 1},
		{Kind: wechatpaysim.FaultResetAfterRead, Times: 1},
		{Kind: wechatpaysim.FaultTruncated, Times: 1},
		{Kind: wechatpaysim.FaultWrongSignature, Times: 1},
		{Kind: wechatpaysim.FaultNoSignature, Times: 1},
		{Kind: wechatpaysim.FaultProbe, Times: 1},
		{Kind: wechatpaysim.FaultStatus, Status: http.StatusTooManyRequests, Code: "RATELIMIT_EXCEEDED", Times: 1},
	}
	f := faults[r.random.intN(len(faults))]
	if err := r.stack.WeChatPay.Inject(f); err != nil {
		r.broken(err.Error())
		return
	}
	r.count(&r.report.WeChat, string(f.Kind))
}

func (r *run) count(table *map[string]int, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	(*table)[key]++
}

func (r *run) undocumented(example string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Undocumented++
	r.example(example)
}

// broken notes that the run itself went wrong, which must not pass for success.
func (r *run) broken(example string) { r.undocumented("the run itself: " + example) }

func (r *run) example(text string) {
	if len(r.report.Examples) < 10 {
		r.report.Examples = append(r.report.Examples, text)
	}
}

// settle waits until no event is on its way.
func (r *run) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for told := time.Now(); ; {
		n, err := r.stack.Waiting(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if time.Since(told) > 10*time.Second {
			r.Progress(fmt.Sprintf("%d events on their way", n))
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("chaos: %d events are still on their way after %v", n, settleTime)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// judge holds what was promised against what the vendor and the dead-letter queue have.
func (r *run) judge(ctx context.Context) error {
	delivered, ids := map[string]bool{}, map[string]int{}
	for _, d := range r.stack.Webhooks.Deliveries() {
		if errors.Is(d.Verdict, demovendor.ErrUnread) {
			r.report.CutOff++ // its sender was killed while it sent
			continue
		}
		if d.Verdict != nil {
			r.report.Unverified++
			r.example("a delivery does not verify: " + d.Verdict.Error())
			continue
		}
		if !d.Accepted() {
			continue
		}
		delivered[keyOf(d.Data)] = true
		ids[d.ID]++
	}
	for _, n := range ids {
		if n > 1 {
			r.report.Duplicated++
		}
	}
	letters, err := r.stack.TakeDeadLetters(ctx)
	if err != nil {
		return err
	}
	parked := map[string]bool{}
	for _, letter := range letters {
		if letter.Reason == "" {
			r.broken("a dead letter has no reason")
		}
		parked[keyOf(letter.Data)] = true
	}
	r.report.Delivered, r.report.Parked = len(ids), len(parked)
	for key := range r.accepted {
		if !delivered[key] && !parked[key] {
			r.report.Lost++
			r.example("lost " + key)
		}
	}
	for key := range r.refused {
		if delivered[key] || parked[key] {
			r.report.RefusedDelivered++
			r.example("refused and delivered " + key)
		}
	}
	return nil
}

// keyOf returns the key of an event's data: its plate or its transaction.
func keyOf(data json.RawMessage) string {
	var d struct {
		Plate       string `json:"plate_number"`
		Transaction string `json:"transaction_id"`
	}
	if json.Unmarshal(data, &d) != nil || d.Plate+d.Transaction == "" {
		sum := sha256.Sum256(data)
		return fmt.Sprintf("unreadable %x", sum[:4])
	}
	return d.Plate + d.Transaction
}

// proxies are the listeners of the functions' ways to AWS.
type proxies struct {
	servers []*http.Server
	err     error
}

func (p *proxies) open(handler http.Handler) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.err = errors.Join(p.err, err)
		return ""
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: nil}
	p.servers = append(p.servers, server)
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String()
}

func (p *proxies) close() {
	for _, server := range p.servers {
		_ = server.Close()
	}
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
