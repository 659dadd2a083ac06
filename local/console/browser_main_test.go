//go:build browser

package console_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"wechat-parking-gateway/local/console"
	"wechat-parking-gateway/local/reference"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/transcript"
	"wechat-parking-gateway/local/visit"
)

// suite is the one stack and the one browser that the tests share. They take turns.
var suite struct {
	project  string
	stack    *stack.Stack
	recorder *traffic.Recorder
	stage    console.Stage
	server   *httptest.Server
	// handler can be replaced, as when the stack is started anew.
	handler atomic.Pointer[http.Handler]
	browser context.Context
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	stop, err := start()
	defer stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		return 1
	}
	return m.Run()
}

// patience is how long a condition may take to become true on a busy machine.
const patience = 30 * time.Second

func start() (func(), error) {
	var closers []func()
	stop := func() {
		for _, c := range slices.Backward(closers) {
			c()
		}
	}
	chromium, err := findChromium()
	if err != nil {
		return stop, err
	}
	if suite.project, err = filepath.Abs("../.."); err != nil {
		return stop, err
	}
	root, err := os.MkdirTemp("", "console-")
	if err != nil {
		return stop, err
	}
	closers = append(closers, func() { _ = os.RemoveAll(root) })
	for _, name := range []string{"template.yaml", ".venv"} {
		err = errors.Join(err, os.Symlink(filepath.Join(suite.project, name), filepath.Join(root, name)))
	}
	// Stacks that build into one folder would overwrite each other's running executables: this one has its own.
	makefile := ".DEFAULT:\n\t@$(MAKE) --silent --no-print-directory -C '" + suite.project + "' $@\n"
	err = errors.Join(err, os.WriteFile(filepath.Join(root, "Makefile"), []byte(makefile), 0o600))
	if err != nil {
		return stop, err
	}
	ctx := context.Background()
	suite.recorder = traffic.New(2000, time.Now)
	if suite.stack, err = stack.Start(ctx, stack.Options{
		Root: root, Listen: "127.0.0.1:0", FunctionLog: io.Discard, Traffic: suite.recorder,
	}); err != nil {
		return stop, err
	}
	closers = append(closers, suite.stack.Close)
	if suite.stage, err = stageOf(suite.stack, suite.recorder); err != nil {
		return stop, err
	}
	restart()
	suite.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*suite.handler.Load()).ServeHTTP(w, r) }))
	closers = append(closers, suite.server.Close, func() { suite.server.CloseClientConnections() })

	allocator, stopAllocator := chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-search-engine-choice-screen", true),
		// A shared memory segment as small as a container's would end the browser.
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-US"),
	)
	closers = append(closers, stopAllocator)
	browser, stopBrowser := chromedp.NewContext(allocator)
	closers = append(closers, stopBrowser)
	if err := chromedp.Do(browser); err != nil {
		return stop, fmt.Errorf("starting %s: %w", chromium, err)
	}
	suite.browser = browser
	return stop, nil
}

// restart puts a new console before the same stack, as after a start of the local stack.
func restart() {
	handler := console.New(suite.stage)
	suite.handler.Store(&handler)
}

func stageOf(s *stack.Stack, recorder *traffic.Recorder) (console.Stage, error) {
	docs, err := reference.Handler()
	if err != nil {
		return console.Stage{}, err
	}
	webhookURL := s.World.Vendors.Vendors[s.Vendor.ID()].WebhookURL
	return console.Stage{
		Traffic: recorder, Vendor: s.Vendor, Webhooks: s.Webhooks, WeChatPay: s.WeChatPay, BaseURL: s.URL, WebhookURL: webhookURL,
		Functions: s.Folders(), Waiting: s.Waiting, DeadLetters: s.DeadLetters, Now: time.Now, Reference: docs,
		Play: func(ctx context.Context) error {
			return visit.Play(ctx, visit.Stage{
				Vendor: s.Vendor, Webhooks: s.Webhooks, WeChatPay: s.WeChatPay, BaseURL: s.URL, WebhookURL: webhookURL,
				Waiting: s.Waiting, Tell: transcript.New(io.Discard, false, time.Now), Now: time.Now, Heading: recorder.Heading,
			})
		},
	}, nil
}

// findChromium finds the browser under the names that it has.
func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", errors.New("there is no Chromium here; install one, such as with: apt-get install chromium fonts-noto-cjk")
}

// look is how a page looks to its reader.
type look struct {
	width, height int64
	language      string
	dark, still   bool
	mobile        bool
}

var desktop = look{width: 1440, height: 900, language: "en-US", still: true}

// tab is one open page, which notes what it must not do.
type tab struct {
	t      *testing.T
	ctx    context.Context
	faults chan string
	// allowed are parts of faults that a test provokes.
	allowed []string

	mu     sync.Mutex
	closed bool
}

// allow lets a fault pass that the test provokes.
func (p *tab) allow(fault string) { p.allowed = append(p.allowed, fault) }

// open opens the console in a new tab. When the test ends, the page must have asked no other host for anything, violated no
// policy, thrown nothing and logged no error.
func open(t *testing.T, l look) *tab {
	t.Helper()
	return openAt(t, l, "/")
}

func openAt(t *testing.T, l look, path string) *tab {
	t.Helper()
	// A context of its own keeps no language from another test.
	ctx, cancel := chromedp.NewContext(suite.browser, chromedp.WithNewBrowserContext())
	p := &tab{t: t, ctx: ctx, faults: make(chan string, 1000)}
	t.Cleanup(func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		close(p.faults)
		p.closed = true
		for fault := range p.faults {
			if !slices.ContainsFunc(p.allowed, func(a string) bool { return strings.Contains(fault, a) }) {
				t.Error("the page " + fault)
			}
		}
	})
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	motion := "no-preference"
	if l.still {
		motion = "reduce"
	}
	send(p, network.Enable, network.EnableParams{})
	send(p, cdplog.Enable, cdp.Empty{})
	send(p, runtime.Enable, cdp.Empty{})
	send(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.mobile,
	})
	send(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "Chromium", AcceptLanguage: l.language})
	send(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
	}})
	send(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI));`,
	})
	p.do(chromedp.Navigate(suite.server.URL + path))
	return p
}

// note hears what the page does.
func (p *tab) note(event any) {
	fault := ""
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, suite.server.URL+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			fault = "asks another host: " + e.Request.URL
		}
	case *runtime.EventExceptionThrown:
		fault = "throws: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			fault = "complains:"
			for _, arg := range e.Args {
				fault += " " + string(arg.Value)
			}
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			fault = "logs: " + e.Entry.Text + " " + e.Entry.URL
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if fault != "" && !p.closed {
		select {
		case p.faults <- fault:
		default:
		}
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("in the browser: %v\n%s", err, p.rows())
	}
}

// send sends one command of the DevTools protocol.
func send[P, R any](p *tab, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		p.t.Fatalf("in the browser: %v", err)
	}
	return result
}

// eval returns what an expression of the page is.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits until an expression of the page is true.
func (p *tab) until(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	for {
		// While a page is being loaded there may be nothing to ask yet.
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if ok && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("waiting until %s: %v\n%s", expression, cmp.Or(err, ctx.Err()), p.rows())
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// rows is what the page shows, for a failure's message.
func (p *tab) rows() string {
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](
		`[...document.querySelectorAll('.row')].slice(-12).map((r) => r.innerText.replace(/\s+/g, ' ')).join('\n')`))
	return text
}

// shot writes a picture of the page to build/console.
func (p *tab) shot(name string) {
	p.t.Helper()
	png := send(p, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng}).Data
	folder := filepath.Join(suite.project, "build", "console")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
