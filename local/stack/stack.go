// Package stack is the gateway on one machine, without Docker and without an AWS account: the compiled functions over the
// Lambda Runtime API, API Gateway's front, the real Secrets Manager, SQS and DynamoDB APIs as moto emulates them, and a
// WeChat Pay that verifies strictly. Routes, settings and resources come from template.yaml, so that what runs here and
// what is deployed cannot drift apart; only the addresses of WeChat Pay and of the gateway itself are put in their place.
package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"wechat-parking-gateway/local/apifront"
	"wechat-parking-gateway/local/awscalls"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/eventsource"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/lambdahost"
	"wechat-parking-gateway/local/loopback"
	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/local/samtemplate"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/merchant"
)

// Where the stack believes to be.
const (
	accountID = lambdahost.DefaultAccountID
	stackName = "wechat-parking-local"
)

// The template's logical ids that the stack goes by.
const (
	queueID           = "EventsQueue"
	deadLetterQueueID = "EventsDeadLetterQueue"
	deliveryID        = "EventDeliveryFunction"
	tableID           = "IdempotencyTable"
)

// Options say what to start.
type Options struct {
	// Root is the project's folder, with template.yaml, the Makefile and .venv. What is built goes to build/local below it.
	Root string
	// Listen is the front's loopback address; port 0 takes a free one.
	Listen string
	// FunctionLog takes the functions' log lines, each with its function's name in front.
	FunctionLog io.Writer
	// Observe, when set, is told of every request that WeChat Pay receives.
	Observe func(wechatpaysim.Request)
	// Traffic, when set, records what the parties say to each other. What goes to WebhookURL is not seen.
	Traffic *traffic.Recorder
	// AWSCalls, when set, notes what each function calls of AWS.
	AWSCalls *awscalls.Recorder
	// Around, when set, is put around the gateway's front and around each vendor's receiver, for tests that look at what
	// goes through.
	Around struct {
		Front, Webhooks func(http.Handler) http.Handler
	}
	// Progress, when set, is told what is being done.
	Progress func(what string)
	// World is who plays; nil makes a new one.
	World *fixture.World
	// Env replaces settings of the functions, and EnvFor those of one function, for tests that stand between them and the
	// emulated APIs.
	Env    map[string]string
	EnvFor func(function string) map[string]string
	// HoldEvents leaves the events on their queue, where Events finds them, instead of delivering them.
	HoldEvents bool
	// WebhookURL, when set, is where fixture.VendorID's events go in place of Webhooks: a receiver of the reader's own.
	WebhookURL string
	// Visibility replaces the events queue's visibility timeout where it is not 0, for tests that kill functions and would
	// only wait.
	Visibility time.Duration
}

// Stack is a running stack.
type Stack struct {
	// URL is the gateway's address, AWSEndpoint that of the emulated AWS APIs.
	URL, AWSEndpoint string
	World            *fixture.World
	WeChatPay        *wechatpaysim.Simulator
	// Vendor calls the gateway as fixture.VendorID; Webhooks takes that vendor's events, and OtherWebhooks those of
	// fixture.OtherVendorID.
	Vendor                  *demovendor.Vendor
	Webhooks, OtherWebhooks *demovendor.Receiver
	Host                    *lambdahost.Host
	// AWS is a configuration for clients of the emulated APIs.
	AWS aws.Config

	root       string
	functions  []string
	queueURL   string
	deadURL    string
	sqs        *sqs.Client
	controlURL string
	elsewhere  bool // the demo vendor's events go to somebody else's receiver
	// table and weChatPayURL are noted for parkctl.
	table, weChatPayURL string
	broken              chan error
	closers             []func()
}

// Start builds the functions and starts everything. What it started before a failure is ended.
func Start(ctx context.Context, options Options) (*Stack, error) {
	s := &Stack{root: options.Root, World: options.World, broken: make(chan error, 4)}
	if err := s.start(ctx, options); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, options Options) error {
	progress := options.Progress
	if progress == nil {
		progress = func(string) {}
	}
	template, err := samtemplate.Load(filepath.Join(s.root, "template.yaml"))
	if err != nil {
		return fmt.Errorf("%w (run this in the project's folder, or name it with --root)", err)
	}
	front, err := loopback.Listen(options.Listen)
	if err != nil {
		return fmt.Errorf("%w (end what serves there, or choose another address with --listen)", err)
	}
	s.closers = append(s.closers, func() { _ = front.Close() })
	s.URL = "http://" + front.Addr().String()

	values := samtemplate.Values{
		Partition: "aws-cn", URLSuffix: "amazonaws.com.cn", Region: moto.Region, AccountID: accountID, StackName: stackName,
		Parameters: map[string]string{"CertificateRefresh": "on"},
	}
	progress("starting the AWS APIs (moto): Secrets Manager, SQS, DynamoDB")
	if err := s.startAWS(ctx, template, &values); err != nil {
		return err
	}
	// Before the AWS APIs, where it looks keys up.
	s.closers = append(s.closers, options.Traffic.Close)
	progress("making a merchant, two vendors and their keys")
	if err := s.startWorld(ctx, options); err != nil {
		return err
	}
	if options.Visibility != 0 {
		if _, err := s.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &s.queueURL, Attributes: map[string]string{
			string(types.QueueAttributeNameVisibilityTimeout): strconv.Itoa(int(options.Visibility.Seconds())),
		}}); err != nil {
			return fmt.Errorf("setting the visibility timeout: %w", err)
		}
	}
	functions, err := template.Functions(values)
	if err != nil {
		return err
	}
	progress(fmt.Sprintf("building %d functions for this machine, as sam build does", len(functions)))
	if err := s.startFunctions(ctx, options, functions); err != nil {
		return err
	}
	if err := s.startFront(options, template, values, front); err != nil {
		return err
	}
	if !options.HoldEvents {
		if err := s.startDelivery(options, template, values); err != nil {
			return err
		}
	}
	if err := s.startSchedules(template, values); err != nil {
		return err
	}
	if s.Vendor, err = demovendor.New(fixture.VendorID, s.World.RequestSecret(fixture.VendorID), s.URL, time.Now); err != nil {
		return err
	}
	if s.controlURL, err = s.serve("127.0.0.1:0", loopback.Guard(http.HandlerFunc(s.control))); err != nil {
		return err
	}
	progress("ready: " + s.URL)
	return nil
}

// startAWS starts moto and makes what the template asks for.
func (s *Stack) startAWS(ctx context.Context, template *samtemplate.Template, values *samtemplate.Values) error {
	server, err := moto.Start(ctx, filepath.Join(s.root, ".venv", "bin", "moto_server"), filepath.Join(s.root, "build", "local", "moto.log"))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = server.Close() })
	s.AWSEndpoint, s.AWS = server.URL(), server.Config()
	if values.Physical, err = server.Create(ctx, template, *values); err != nil {
		return err
	}
	s.sqs = sqs.NewFromConfig(s.AWS)
	s.queueURL, s.deadURL = values.Physical[queueID].Ref, values.Physical[deadLetterQueueID].Ref
	s.table = values.Physical[tableID].Ref
	if s.queueURL == "" || s.deadURL == "" {
		return fmt.Errorf("template.yaml must have the queues %s and %s", queueID, deadLetterQueueID)
	}
	return nil
}

// startWorld makes the keys, stores the secrets and starts WeChat Pay.
func (s *Stack) startWorld(ctx context.Context, options Options) error {
	var err error
	if s.World == nil {
		if s.World, err = fixture.New(time.Now); err != nil {
			return err
		}
	}
	if !options.HoldEvents {
		if err := s.startReceivers(options); err != nil {
			return err
		}
	}
	secrets, err := s.World.Secrets()
	if err != nil {
		return err
	}
	client := secretsmanager.NewFromConfig(s.AWS)
	for name, document := range secrets {
		if _, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &document}); err != nil {
			return fmt.Errorf("storing the secret %s: %w", name, err)
		}
	}
	config := s.World.WeChatPay
	config.Observe = func(ctx context.Context, r wechatpaysim.Request) {
		if r.Accepted {
			traffic.From(ctx).Judge(traffic.Verified, "")
		} else {
			traffic.From(ctx).Judge(traffic.Refused, strings.TrimSpace(r.Code+" "+r.Reason))
		}
		if options.Observe != nil {
			options.Observe(r)
		}
	}
	config.Transport = http.DefaultTransport
	if s.WeChatPay, err = wechatpaysim.New(config); err != nil {
		return err
	}
	s.closers = append(s.closers, s.WeChatPay.Close)
	return nil
}

// startReceivers opens the vendors' webhook_urls and writes them into the world.
func (s *Stack) startReceivers(options Options) error {
	for id, receiver := range map[string]**demovendor.Receiver{fixture.VendorID: &s.Webhooks, fixture.OtherVendorID: &s.OtherWebhooks} {
		vendor := s.World.Vendors.Vendors[id]
		if vendor == nil {
			continue
		}
		var err error
		if *receiver, err = demovendor.NewReceiver(time.Now, vendor.WebhookSecrets...); err != nil {
			return err
		}
		(*receiver).Observe(func(ctx context.Context, d demovendor.Delivery) {
			if d.Verdict != nil {
				traffic.From(ctx).Judge(traffic.Refused, d.Verdict.Error())
			} else {
				traffic.From(ctx).Judge(traffic.Verified, "")
			}
		})
		address, err := s.serve("127.0.0.1:0", around(options.Around.Webhooks, options.Traffic.Webhooks(*receiver, id)))
		if err != nil {
			return err
		}
		// Before its server's, which would wait for answers that the receiver holds.
		s.closers = append(s.closers, (*receiver).Close)
		vendor.WebhookURL = address + "/webhooks/wechat"
	}
	if vendor := s.World.Vendors.Vendors[fixture.VendorID]; vendor != nil && options.WebhookURL != "" {
		vendor.WebhookURL, s.elsewhere = options.WebhookURL, true
	}
	return nil
}

// startFunctions builds the functions and gives them to a Lambda host.
func (s *Stack) startFunctions(ctx context.Context, options Options, functions []samtemplate.Function) error {
	weChatPayURL, err := s.serve("127.0.0.1:0", options.Traffic.WeChatPay(s.WeChatPay, s.merchant))
	if err != nil {
		return err
	}
	s.weChatPayURL = weChatPayURL
	folder, err := filepath.Abs(filepath.Join(s.root, "build", "local"))
	if err != nil {
		return err
	}
	if err := build(ctx, s.root, folder, functions); err != nil {
		return err
	}
	var hosted []lambdahost.Function
	for _, f := range functions {
		env := maps.Clone(f.Environment)
		if env["AWS_ENDPOINT_URL"], err = s.wayToAWS(options, f.LogicalID); err != nil {
			return err
		}
		if f.LogicalID == deliveryID {
			env["WEBHOOK_ALLOW_LOOPBACK"] = "true"
		}
		// The addresses are the one thing in which this stack must differ from a deployed one.
		for name, address := range map[string]string{
			"WECHATPAY_BASE_URL": weChatPayURL, "WECHATPAY_BACKUP_URL": weChatPayURL, "CALLBACK_BASE_URL": s.URL,
		} {
			if _, used := env[name]; used {
				env[name] = address
			}
		}
		maps.Copy(env, options.Env)
		if options.EnvFor != nil {
			maps.Copy(env, options.EnvFor(f.LogicalID))
		}
		s.functions = append(s.functions, f.LogicalID)
		hosted = append(hosted, lambdahost.Function{
			Name: f.LogicalID, Bootstrap: filepath.Join(folder, f.LogicalID, f.Handler), Env: env, Timeout: f.Timeout, MemoryMB: f.MemoryMB,
		})
	}
	if s.Host, err = lambdahost.New(hosted, lambdahost.Options{Logs: options.FunctionLog, Region: moto.Region}); err != nil {
		return err
	}
	s.closers = append(s.closers, s.Host.Close)
	return nil
}

// wayToAWS returns the address at which a function finds the AWS APIs: their own, unless what it says to them is to be
// recorded.
func (s *Stack) wayToAWS(options Options, function string) (string, error) {
	if options.Traffic == nil && options.AWSCalls == nil {
		return s.AWSEndpoint, nil
	}
	target, err := url.Parse(s.AWSEndpoint)
	if err != nil {
		return "", err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.DisableCompression = true
	s.closers = append(s.closers, transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
		// A function that has gone away, or an emulator that is stopped first, is no fault.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	sends := options.Traffic.Sends(proxy, folderOf(function), s.deadURL)
	return s.serve("127.0.0.1:0", options.AWSCalls.Note(sends, strings.TrimSuffix(function, "Function"), map[string]string{
		s.queueURL: queueID, s.deadURL: deadLetterQueueID, s.table: tableID,
		s.World.MerchantSecret: "MerchantSecretName", s.World.MerchantKeySecret: "MerchantKeySecretName", s.World.VendorsSecret: "VendorsSecretNames",
	}))
}

// folderOf returns the folder below functions/ of the function that template.yaml calls by a logical id.
func folderOf(logicalID string) string {
	return strings.ToLower(strings.TrimSuffix(logicalID, "Function"))
}

// merchant reads the merchant's document as it is now.
func (s *Stack) merchant(ctx context.Context) (*merchant.Merchant, error) {
	out, err := secretsmanager.NewFromConfig(s.AWS).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &s.World.MerchantSecret, VersionStage: aws.String("AWSCURRENT"),
	})
	if err != nil {
		return nil, fmt.Errorf("reading the merchant's secret: %w", err)
	}
	return merchant.Parse([][]byte{[]byte(aws.ToString(out.SecretString))})
}

// build runs the targets that SAM's makefile builder runs, side by side and for this machine's processor.
func build(ctx context.Context, root, folder string, functions []samtemplate.Function) error {
	failures := make([]error, len(functions))
	var wg sync.WaitGroup
	for i, f := range functions {
		wg.Go(func() { failures[i] = buildOne(ctx, root, filepath.Join(folder, f.LogicalID), f.LogicalID) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(failures...)
}

func buildOne(ctx context.Context, root, folder, logicalID string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "make", "--silent", "--no-print-directory", "build-"+logicalID,
		"ARTIFACTS_DIR="+folder, "GOARCH="+runtime.GOARCH)
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", logicalID, err, out)
	}
	return nil
}

// startFront opens the gateway.
func (s *Stack) startFront(options Options, template *samtemplate.Template, values samtemplate.Values, listener net.Listener) error {
	routes, err := template.Routes(values)
	if err != nil {
		return err
	}
	var table []apifront.Route
	for _, r := range routes {
		table = append(table, apifront.Route{Key: r.Key, Function: r.Function})
	}
	handler, err := apifront.New(table, func(ctx context.Context, function string, payload []byte) ([]byte, error) {
		traffic.From(ctx).Serve(folderOf(function))
		return s.Host.Invoke(ctx, function, payload)
	}, apifront.Options{})
	if err != nil {
		return err
	}
	s.serveOn(listener, around(options.Around.Front, options.Traffic.Front(handler, s.merchant)))
	return nil
}

// startDelivery polls the events queue for the delivery function, as its event source mapping does.
func (s *Stack) startDelivery(options Options, template *samtemplate.Template, values samtemplate.Values) error {
	sources, err := template.EventSources(values)
	if err != nil {
		return err
	}
	for _, source := range sources {
		if source.QueueARN != values.Physical[queueID].Attributes["Arn"] {
			return fmt.Errorf("template.yaml: %s polls another queue than %s", source.Function, queueID)
		}
		invoke := func(ctx context.Context, payload []byte) ([]byte, error) {
			return s.Host.Invoke(ctx, source.Function, payload)
		}
		running, err := eventsource.Start(s.sqs, options.Traffic.Delivers(folderOf(source.Function), invoke), eventsource.Options{
			QueueURL: s.queueURL, QueueARN: source.QueueARN, BatchSize: source.BatchSize,
			MaximumConcurrency: source.MaximumConcurrency, Wait: time.Second,
			ReportBatchItemFailures: source.ReportBatchItemFailures,
		})
		if err != nil {
			return err
		}
		s.closers = append(s.closers, running.Close)
	}
	return nil
}

// Serve serves something else beside the gateway until the stack is closed.
func (s *Stack) Serve(listener net.Listener, handler http.Handler) { s.serveOn(listener, handler) }

func around(wrap func(http.Handler) http.Handler, handler http.Handler) http.Handler {
	if wrap == nil {
		return handler
	}
	return wrap(handler)
}

// serve serves a handler at an address of its own and returns its URL.
func (s *Stack) serve(address string, handler http.Handler) (string, error) {
	listener, err := loopback.Listen(address)
	if err != nil {
		return "", err
	}
	s.serveOn(listener, handler)
	return "http://" + listener.Addr().String(), nil
}

func (s *Stack) serveOn(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.broken <- fmt.Errorf("the local stack's server ended: %w", err)
		}
	}()
	s.closers = append(s.closers, func() { _ = server.Close() })
}

// Broken tells of a server of the stack that ended by itself.
func (s *Stack) Broken() <-chan error { return s.broken }

// Close ends everything that Start started, the last first.
func (s *Stack) Close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

// DeadLetters returns how many events could not be delivered.
func (s *Stack) DeadLetters(ctx context.Context) (int, error) { return s.depth(ctx, s.deadURL) }

// Waiting returns how many events are on their way, those that wait for a later try among them.
func (s *Stack) Waiting(ctx context.Context) (int, error) { return s.depth(ctx, s.queueURL) }

func (s *Stack) depth(ctx context.Context, url string) (int, error) {
	out, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		return 0, fmt.Errorf("looking at a queue: %w", err)
	}
	total := 0
	for _, name := range []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	} {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return 0, fmt.Errorf("looking at a queue: %w", err)
		}
		total += n
	}
	return total, nil
}

// Queues returns the URLs of the events queue and of its dead-letter queue.
func (s *Stack) Queues() (events, deadLetters string) { return s.queueURL, s.deadURL }

// Functions returns the functions' logical ids.
func (s *Stack) Functions() []string { return s.functions }

// Folders returns the functions' names as folders below functions/ have them.
func (s *Stack) Folders() []string {
	var names []string
	for _, f := range s.functions {
		names = append(names, folderOf(f))
	}
	return names
}

// Event is one message of the events queue or of its dead-letter queue.
type Event struct {
	ID       string          `json:"id"`
	VendorID string          `json:"vendor_id"`
	Type     string          `json:"type"`
	Data     json.RawMessage `json:"data"`
	Reason   string          `json:"-"` // why it was parked, on the dead-letter queue
}

// Events takes what is on the events queue where HoldEvents keeps it there, waiting for at most wait until there is
// something, and 1 s at the least: the SDK does not send a wait of 0, in whose place the queue has its own.
func (s *Stack) Events(ctx context.Context, wait time.Duration) ([]Event, error) {
	return s.take(ctx, s.queueURL, wait)
}

// TakeDeadLetters takes everything that is on the dead-letter queue.
func (s *Stack) TakeDeadLetters(ctx context.Context) ([]Event, error) {
	var all []Event
	for {
		some, err := s.take(ctx, s.deadURL, time.Second)
		all = append(all, some...)
		if err != nil || len(some) == 0 {
			return all, err
		}
	}
}

func (s *Stack) take(ctx context.Context, url string, wait time.Duration) ([]Event, error) {
	out, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: max(1, int32(wait.Seconds())), MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		return nil, fmt.Errorf("reading a queue: %w", err)
	}
	var events []Event
	for _, m := range out.Messages {
		var event Event
		if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &event); err != nil {
			return nil, fmt.Errorf("a queue message is not JSON: %w", err)
		}
		event.Reason = aws.ToString(m.MessageAttributes["reason"].StringValue)
		events = append(events, event)
		if _, err := s.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return nil, fmt.Errorf("deleting from a queue: %w", err)
		}
	}
	return events, nil
}
