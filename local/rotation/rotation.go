// Package rotation changes every key of the gateway while vendors call and WeChat Pay calls back the whole time, on the
// local stack with the compiled functions: the secrets that vendors sign and verify with, the APIv2 key, the APIv3 key, the
// merchant's certificate, WeChat Pay's platform certificates, and the move from those to the WeChat Pay public key. Each is
// done in the steps of docs/rotation.md, with parkctl, by editing lists in secrets; nothing is deployed or restarted.
//
// Afterwards it tells of each how many calls failed and how many genuine callbacks were refused, which must be none: a
// callback that is refused once and taken when it is sent again counts as refused. And it looks whether the old key is
// really gone.
//
// Two things are not as in production. A fetched secret lives for [Life] instead of 5 minutes, so that a step does not wait
// for as long; and what a person does in the merchant console is done to the simulator.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/secrets"
)

// Life is how long a fetched secret lives in this run.
const Life = 2 * time.Second

// The traffic: workers of each of the four streams, and how long each waits between two messages.
const (
	workers = 2
	pause   = 200 * time.Millisecond
)

// flow is how many more messages of each stream must have come through before a step counts as over.
const flow = 4

// settleTime bounds how long the run waits for traffic to flow, and for the last events to be delivered.
const settleTime = time.Minute

// Options say what to run.
type Options struct {
	Root        string // the project's folder
	FunctionLog io.Writer
	Progress    func(string)
	// Leaked takes the steps of the keys between us and WeChat Pay as after a leak, without waiting between them, while
	// fetched secrets live for 5 minutes as in production.
	Leaked bool
	// Parkctl runs a parkctl command and returns what it wrote.
	Parkctl func(ctx context.Context, args ...string) ([]byte, error)
}

// Counts are what one stream of traffic came to.
type Counts struct{ Sent, Failed int64 }

// Row is what one rotation came to.
type Row struct {
	Name                       string
	Steps                      []string
	Calls, Callbacks, Webhooks Counts
	Took                       time.Duration
	Proof                      string // that the old key is gone
	Err                        error  // of a step, or of the proof
}

// Report is what happened.
type Report struct {
	Rows []Row
	// Started are the sandboxes that were started while keys were changed, of the functions that have traffic. Lambda may
	// start one whenever messages overlap; no step asks for it.
	Started int
	// Undelivered are events that WeChat Pay was told are accepted and that the vendor never got.
	Undelivered int
	// Examples of what failed, for whoever looks into it.
	Examples []string
}

// ErrBroken says that a rotation failed, or that something did that must not.
var ErrBroken = errors.New("rotation: a key was not changed without a loss")

// Err returns ErrBroken when anything went wrong.
func (r *Report) Err() error {
	var wrong []error
	for _, row := range r.Rows {
		if n := row.Calls.Failed + row.Callbacks.Failed + row.Webhooks.Failed; row.Err != nil || n > 0 {
			wrong = append(wrong, fmt.Errorf("%s: %d failed or refused: %w", row.Name, n, errors.Join(ErrBroken, row.Err)))
		}
	}
	if r.Undelivered > 0 {
		wrong = append(wrong, fmt.Errorf("%w: %d events were accepted and not delivered", ErrBroken, r.Undelivered))
	}
	if len(wrong) > 0 && len(r.Examples) > 0 {
		wrong = append(wrong, errors.New("for example: "+strings.Join(r.Examples, "; ")))
	}
	return errors.Join(wrong...)
}

// Write prints the report as a table.
func (r *Report) Write(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "rotation\tsteps\tcalls\tfailed\tcallbacks\trefused\twebhooks\trejected\tseconds\t")
	var calls, callbacks, webhooks Counts
	for _, row := range r.Rows {
		line(t, row.Name, strconv.Itoa(len(row.Steps)), row.Calls, row.Callbacks, row.Webhooks, row.Took)
		calls, callbacks, webhooks = calls.plus(row.Calls), callbacks.plus(row.Callbacks), webhooks.plus(row.Webhooks)
	}
	line(t, "all", "", calls, callbacks, webhooks, 0)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe old key is gone:\n")
	for _, row := range r.Rows {
		proof := row.Proof
		if row.Err != nil {
			proof = "NOT DONE: " + row.Err.Error()
		}
		fmt.Fprintf(out, "  %s: %s\n", row.Name, proof)
	}
	_, err := fmt.Fprintf(out, "Deployments and restarts: none. Sandboxes started meanwhile: %d. Events accepted and not delivered: %d.\n", r.Started, r.Undelivered)
	return err
}

func line(t io.Writer, name, steps string, calls, callbacks, webhooks Counts, took time.Duration) {
	seconds := ""
	if took > 0 {
		seconds = strconv.Itoa(int(took.Round(time.Second).Seconds()))
	}
	fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", name, steps, calls.Sent, calls.Failed, callbacks.Sent, callbacks.Failed, webhooks.Sent, webhooks.Failed, seconds)
}

func (c Counts) plus(d Counts) Counts  { return Counts{c.Sent + d.Sent, c.Failed + d.Failed} }
func (c Counts) minus(d Counts) Counts { return Counts{c.Sent - d.Sent, c.Failed - d.Failed} }

// stream counts one kind of traffic.
type stream struct{ sent, failed atomic.Int64 }

func (s *stream) counts() Counts { return Counts{s.sent.Load(), s.failed.Load()} }

// run is one run under way.
type run struct {
	Options
	stack  *stack.Stack
	folder string // what a person has on the disk: files of keys
	vendor atomic.Pointer[demovendor.Vendor]
	number atomic.Int64

	parkings, entries, plates, payments, webhooks stream

	mu       sync.Mutex
	accepted map[string]bool // keys of events that WeChat Pay was told are accepted and that no webhook has brought
	early    map[string]bool // keys of events that a webhook brought before WeChat Pay was told
	signers  map[string]int  // accepted V3 callbacks by the key that signed them
	report   Report
	row      *Row // the one under way
}

// Run rotates everything and returns what happened. Its error is that of a run that could not be finished; a rotation that
// went wrong is the Report's.
func Run(ctx context.Context, options Options) (*Report, error) {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	r := &run{Options: options, accepted: map[string]bool{}, early: map[string]bool{}, signers: map[string]int{}}
	var err error
	if r.folder, err = os.MkdirTemp("", "rotation-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.folder)
	first, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer r.stack.Close()

	trafficCtx, stop := context.WithCancel(ctx)
	defer stop()
	var traffic sync.WaitGroup
	for _, send := range []func(context.Context){r.parking, r.entry, r.plate, r.payment} {
		for range workers {
			traffic.Go(func() { repeat(trafficCtx, send) })
		}
	}
	if err := r.flow(ctx); err != nil {
		return nil, err
	}
	before := r.coldStarts()
	for _, rotation := range r.rotations(first) {
		if err := r.rotate(ctx, rotation); err != nil {
			return nil, err
		}
	}
	r.report.Started = r.coldStarts() - before
	stop()
	traffic.Wait()
	return &r.report, r.drain(ctx)
}

// start starts the stack in the state of a merchant that verifies with certificates, with one in use and an expired one of
// the time before.
func (r *run) start(ctx context.Context) (*wechatpaysim.Certificate, error) {
	world, err := fixture.New(time.Now)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	expired, err := newCertificate(now.AddDate(-5, 0, 0), now.Add(-time.Hour))
	if err != nil {
		return nil, err
	}
	current := world.Identity.Certificate()
	world.Merchant.WeChatPayKeys = map[string]string{current.Serial: current.PEM, expired.Serial: expired.PEM}
	world.Merchant.ResponseKeyID = ""
	env := map[string]string{"SECRETS_LIFE_FOR_TESTS": Life.String()}
	if r.Leaked {
		env = nil
	}
	r.stack, err = stack.Start(ctx, stack.Options{
		Root: r.Root, Listen: "127.0.0.1:0", World: world, FunctionLog: r.FunctionLog, Progress: r.Progress, Env: env,
	})
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*wechatpaysim.Certificate, error) {
		r.stack.Close()
		return nil, err
	}
	if err := r.stack.WeChatPay.ChangeKeys(func(k *wechatpaysim.Keys) { k.PublicKey = false }); err != nil {
		return fail(err)
	}
	if err := r.stack.WriteStateIn(r.folder); err != nil {
		return fail(err)
	}
	r.vendor.Store(r.stack.Vendor)
	go r.watchWebhooks(ctx)
	return expired, nil
}

func (r *run) coldStarts() int {
	n := 0
	for _, f := range r.stack.Functions() {
		if f != stack.CertRefreshID { // it is started by its first invocation
			n += r.stack.Host.Stats(f).ColdStarts
		}
	}
	return n
}

// repeat sends until ctx ends. A message that is under way then is finished.
func repeat(ctx context.Context, send func(context.Context)) {
	for ctx.Err() == nil {
		send(context.WithoutCancel(ctx))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (r *run) example(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report.Examples) < 10 {
		if r.row != nil {
			text = r.row.Name + ", step " + strconv.Itoa(len(r.row.Steps)) + ": " + text
		}
		r.report.Examples = append(r.report.Examples, text)
	}
}

// call makes one call of the vendor.
func (r *run) call(ctx context.Context, s *stream, route string, body []byte, want int) {
	n := r.number.Add(1)
	answer, err := r.vendor.Load().Call(ctx, route, "rotation-"+strconv.FormatInt(n, 10), body)
	s.sent.Add(1)
	if err != nil || answer.Status != want {
		s.failed.Add(1)
		r.example(fmt.Sprintf("call %s: status %d %s %v", route, answer.Status, answer.Body, err))
	}
}

func (r *run) parking(ctx context.Context) {
	r.call(ctx, &r.parkings, demovendor.Parkings, fixture.ParkingBody("IN", time.Now()), 204)
}

func (r *run) entry(ctx context.Context) {
	url := r.stack.World.Vendors.Vendors[fixture.VendorID].WebhookURL
	r.call(ctx, &r.entries, demovendor.Entry, fixture.EntryBodyFor(time.Now(), url), 200)
}

// plate sends one V2 callback, payment one V3 callback, each of an event of its own.
func (r *run) plate(ctx context.Context) {
	state := fixture.PlateState("BLOCKED", "OVERDUE", "")
	state.PlateNumber = fmt.Sprintf("粤A%05d", r.number.Add(1)%100_000)
	c, err := r.stack.WeChatPay.BuildPlateState(r.stack.URL+"/v1/callbacks/vehicle/"+fixture.VendorID, state)
	r.callback(ctx, &r.plates, state.PlateNumber, c, err)
}

func (r *run) payment(ctx context.Context) {
	payment := fixture.Payment(time.Now())
	payment.TransactionID = "rotation-" + strconv.FormatInt(r.number.Add(1), 10)
	c, err := r.stack.WeChatPay.BuildMallTransaction(r.stack.URL+"/v1/callbacks/businesscircle", payment)
	r.callback(ctx, &r.payments, payment.TransactionID, c, err)
}

func (r *run) callback(ctx context.Context, s *stream, key string, c wechatpaysim.Callback, err error) {
	var d wechatpaysim.Delivery
	if err == nil {
		d, err = r.stack.WeChatPay.Send(ctx, c)
	}
	if err == nil && d.Success {
		r.mu.Lock()
		if r.early[key] {
			delete(r.early, key)
		} else {
			r.accepted[key] = true
		}
		if serial := c.Header.Get("Wechatpay-Serial"); serial != "" {
			r.signers[serial]++
		}
		r.mu.Unlock()
	}
	s.sent.Add(1)
	if err != nil || !d.Success {
		s.failed.Add(1)
		r.example(fmt.Sprintf("callback %s: status %d %s %v", key, d.Status, d.Body, err))
	}
}

// watchWebhooks counts what the vendor gets, and what it rejects.
func (r *run) watchWebhooks(ctx context.Context) {
	for seen := 0; ctx.Err() == nil; {
		all := r.stack.Webhooks.Deliveries()
		for ; seen < len(all) && all[seen].Status != 0; seen++ { // one without a status is not answered yet
			d := all[seen]
			r.webhooks.sent.Add(1)
			if !d.Accepted() {
				r.webhooks.failed.Add(1)
				r.example(fmt.Sprintf("webhook %s: status %d %v", d.ID, d.Status, d.Verdict))
				continue
			}
			r.delivered(d)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *run) delivered(d demovendor.Delivery) {
	key := keyOf(d.Data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.accepted[key] {
		delete(r.accepted, key)
	} else {
		r.early[key] = true
	}
}

// flow waits until messages of every stream have come through since now.
func (r *run) flow(ctx context.Context) error {
	streams := []*stream{&r.parkings, &r.entries, &r.plates, &r.payments, &r.webhooks}
	var want []int64
	for _, s := range streams {
		want = append(want, s.sent.Load()+flow)
	}
	return r.until(ctx, "the traffic to flow", func() bool {
		for i, s := range streams {
			if s.sent.Load() < want[i] {
				return false
			}
		}
		return true
	})
}

// settle waits until every function goes by what the secrets hold now, and traffic has come through since.
func (r *run) settle(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(Life + Life/4):
	}
	return r.flow(ctx)
}

// calmDown lets traffic come through until every sandbox may read a secret for a failure's sake again: each counts from when it
// has met the new key itself, which a sandbox that is seldom used does late. One key leaks at a time.
func (r *run) calmDown(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2*secrets.RetryInterval + time.Second):
	}
	return r.flow(ctx)
}

func (r *run) until(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("rotation: waited in vain for %s: %w", what, ctx.Err())
		case err := <-r.stack.Broken():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// drain waits for the events that are on their way.
func (r *run) drain(ctx context.Context) error {
	r.Progress("waiting for the last events")
	left := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.accepted)
	}
	err := r.until(ctx, "the last events", func() bool { return left() == 0 })
	if ctx.Err() != nil {
		return err
	}
	r.report.Undelivered = left()
	return nil
}

// rotation is one script. Its proof says that the old key is gone, or fails.
type rotation struct {
	name  string
	steps []step
	proof func(context.Context) (string, error)
}

// step is one thing that somebody does. What waits does so for the functions to go by the secrets as they are then.
type step struct {
	text  string
	do    func(context.Context) error
	waits bool
}

// rotate plays one script under traffic.
func (r *run) rotate(ctx context.Context, what rotation) error {
	began := time.Now()
	r.mu.Lock()
	r.report.Rows = append(r.report.Rows, Row{Name: what.name})
	row := &r.report.Rows[len(r.report.Rows)-1]
	r.row = row
	r.mu.Unlock()
	total := func() (calls, callbacks, webhooks Counts) {
		return r.parkings.counts().plus(r.entries.counts()), r.plates.counts().plus(r.payments.counts()), r.webhooks.counts()
	}
	calls, callbacks, webhooks := total()
	defer func() {
		calls2, callbacks2, webhooks2 := total()
		row.Calls, row.Callbacks, row.Webhooks = calls2.minus(calls), callbacks2.minus(callbacks), webhooks2.minus(webhooks)
		row.Took = time.Since(began)
	}()
	r.Progress(what.name)
	for _, s := range what.steps {
		r.mu.Lock()
		row.Steps = append(row.Steps, s.text)
		r.mu.Unlock()
		r.Progress(fmt.Sprintf("  %d. %s", len(row.Steps), s.text))
		err := s.do(ctx)
		if err == nil && s.waits && !r.Leaked {
			err = r.settle(ctx)
		}
		if err == nil && !r.Leaked {
			err = r.flow(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			row.Err = fmt.Errorf("step %d (%s): %w", len(row.Steps), s.text, err)
			return nil
		}
	}
	if r.Leaked {
		if err := r.calmDown(ctx); err != nil {
			return err
		}
	}
	if row.Proof, row.Err = what.proof(ctx); row.Err == nil {
		r.Progress("  " + row.Proof)
	}
	return nil
}

// parkctl is a step that is a command of the operator's.
func (r *run) parkctl(args ...string) step {
	return step{text: "parkctl " + strings.Join(args, " "), waits: true, do: func(ctx context.Context) error {
		full := append([]string{}, args...)
		for i, a := range full {
			if strings.HasSuffix(a, ".txt") || strings.HasSuffix(a, ".pem") || strings.HasSuffix(a, ".env") {
				full[i] = filepath.Join(r.folder, a)
			}
		}
		out, err := r.Parkctl(ctx, append(full, "--root", r.folder, "--stack", "local")...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}}
}

// console is a step in the merchant console, whose effect is WeChat Pay's at once.
func (r *run) console(text string, change func(*wechatpaysim.Keys)) step {
	return step{text: "merchant console: " + text, do: func(context.Context) error { return r.stack.WeChatPay.ChangeKeys(change) }}
}
