//go:build e2e

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/local/awscalls"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/wechatpay"
)

// suite is what the tests share: one log, one set of private words, the stacks.
var suite struct {
	root    string // the folder that the stacks are started in
	log     *functionLog
	private *privateWords
	seen    *tally
	calls   *awscalls.Recorder
	// agreement watches that everything keeps to the contract.
	agreement *agreement

	mu      sync.Mutex
	started []*gateway
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	flag.Parse()
	// Tests wait for each other's lanes and for timeouts, far more than they compute: a slot for each processor would let
	// those that wait keep out those that they wait for.
	if err := flag.Set("test.parallel", "100"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	root, err := prepareRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(root)
	suite.root, suite.log, suite.private, suite.seen = root, newFunctionLog(), &privateWords{}, &tally{}
	suite.calls = awscalls.New()

	if suite.agreement, err = newAgreement(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}

	code = m.Run()

	suite.mu.Lock()
	defer suite.mu.Unlock()
	for _, g := range suite.started {
		g.Close()
	}
	problems := suite.log.check(suite.private)
	problems = append(problems, suite.log.checkMetrics(code == 0 && complete())...)
	problems = append(problems, suite.agreement.check(code == 0 && complete())...)
	if code == 0 && complete() {
		problems = append(problems, unseen()...)
		problems = append(problems, checkCalls()...)
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, "e2e:", p)
		code = 1
	}
	return code
}

// complete tells whether every test ran, so that what was never seen is missing from the tests.
func complete() bool {
	return flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
}

// unseen names what the closed lists hold and no scenario met.
func unseen() (missing []error) {
	var all []string
	for _, c := range problem.Codes() {
		all = append(all, "code "+string(c))
	}
	for _, c := range problem.FieldCodes() {
		all = append(all, "field code "+string(c))
	}
	for _, r := range wechatpay.Reasons() {
		all = append(all, "reason "+string(r))
	}
	for _, word := range all {
		if !suite.seen.has(word) {
			missing = append(missing, fmt.Errorf("%s: no scenario met it", word))
		}
	}
	return missing
}

// tally remembers which codes and reasons were met.
type tally struct{ words sync.Map }

func (t *tally) met(kind, word string)       { t.words.Store(kind+" "+word, true) }
func (t *tally) has(kindAndWord string) bool { _, ok := t.words.Load(kindAndWord); return ok }

// functions are those that answer requests.
var functions = []string{parkingSync, vehicleNotify, notifyCallback}

// Their logical ids in the template.
const (
	parkingSync    = "ParkingSyncFunction"
	vehicleNotify  = "VehicleNotifyFunction"
	notifyCallback = "NotifyCallbackFunction"
)

// prepareRoot builds the functions once, with the project's own targets, and returns a folder in which every stack finds
// the template, the emulated AWS and what was built. Stacks that build into one folder would overwrite each other's
// running executables, and those of a demo that runs beside the tests.
func prepareRoot() (string, error) {
	project, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	root, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return "", err
	}
	names, err := templateFunctions(project)
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(root))
	}
	var building sync.WaitGroup
	failures := make([]error, len(names))
	for i, name := range names {
		building.Go(func() { failures[i] = buildFunction(project, filepath.Join(root, "built", name), name) })
	}
	building.Wait()
	err = errors.Join(failures...)
	for _, name := range []string{"template.yaml", ".venv"} {
		err = errors.Join(err, os.Symlink(filepath.Join(project, name), filepath.Join(root, name)))
	}
	makefile := "build-%:\n\t@cp '" + filepath.Join(root, "built") + "/$*/bootstrap' '$(ARTIFACTS_DIR)/bootstrap'\n"
	err = errors.Join(err, os.WriteFile(filepath.Join(root, "Makefile"), []byte(makefile), 0o600))
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(root))
	}
	return root, nil
}

// templateFunctions returns the logical ids of the template's functions, which end the names of their make targets.
func templateFunctions(project string) ([]string, error) {
	template, err := os.ReadFile(filepath.Join(project, "template.yaml"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range functionResource.FindAllSubmatch(template, -1) {
		names = append(names, string(m[1]))
	}
	return names, nil
}

var functionResource = regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::Serverless::Function$`)

func buildFunction(project, folder, name string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("make", "--silent", "--no-print-directory", "build-"+name, "ARTIFACTS_DIR="+folder, "GOARCH="+runtime.GOARCH)
	cmd.Dir = project
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return nil
}

// startStack starts a stack for the rest of the run, which leaves events on their queue for tests to see.
func startStack(change func(*fixture.World), env map[string]string) (*gateway, error) {
	return start(change, stack.Options{Env: env, HoldEvents: true})
}

func start(change func(*fixture.World), options stack.Options) (*gateway, error) {
	world, err := fixture.New(time.Now)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(world)
	}
	suite.private.addWorld(world)
	// Stacks must not share the log of moto and the state of a demo.
	root, err := os.MkdirTemp(suite.root, "stack-")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"template.yaml", ".venv", "Makefile"} {
		if err := os.Symlink(filepath.Join(suite.root, name), filepath.Join(root, name)); err != nil {
			return nil, err
		}
	}
	heard := &hearing{}
	// The start is bounded by ctx, what was started is not.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	options.Root, options.Listen, options.World = root, "127.0.0.1:0", world
	options.FunctionLog, options.Observe, options.AWSCalls = suite.log, heard.observe, suite.calls
	options.Around.Front, options.Around.Webhooks = suite.agreement.front, suite.agreement.webhooks
	s, err := stack.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	g, err := newGateway(ctx, s, heard)
	if err != nil {
		s.Close()
		return nil, err
	}
	suite.mu.Lock()
	defer suite.mu.Unlock()
	suite.started = append(suite.started, g)
	return g, nil
}

// The stacks, each started when the first test asks for it.
var (
	partnerStack = sync.OnceValues(func() (*gateway, error) { return startStack(partnerWorld, nil) })
	directStack  = sync.OnceValues(func() (*gateway, error) { return startStack((*fixture.World).Direct, nil) })
	// deliveringStack takes events to the vendors, as a deployed one does.
	deliveringStack = sync.OnceValues(func() (*gateway, error) { return start(nil, stack.Options{}) })
)

func get(t *testing.T, start func() (*gateway, error)) *gateway {
	t.Helper()
	g, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// functionLog keeps every line that a function wrote.
type functionLog struct {
	mu    sync.Mutex
	more  *sync.Cond
	lines []string
}

func newFunctionLog() *functionLog {
	l := &functionLog{}
	l.more = sync.NewCond(&l.mu)
	return l
}

func (l *functionLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	l.more.Broadcast()
	return len(line), nil
}

// request returns the line of one request, which may come a little after its answer.
func (l *functionLog) request(t *testing.T, requestID string) string {
	t.Helper()
	late := false
	timer := time.AfterFunc(5*time.Second, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		late = true
		l.more.Broadcast()
	})
	defer timer.Stop()
	want := `"request_id":"` + requestID + `"`
	l.mu.Lock()
	defer l.mu.Unlock()
	for next := 0; ; {
		for ; next < len(l.lines); next++ {
			if strings.Contains(l.lines[next], want) && strings.Contains(l.lines[next], `"message":"request"`) {
				return l.lines[next]
			}
		}
		if late {
			t.Fatalf("no log line for request %s", requestID)
		}
		l.more.Wait()
	}
}

// check finds what belongs in no log line: private words, and panics, which are faults even when they are caught.
func (l *functionLog) check(private *privateWords) (found []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	words := private.list()
	for _, line := range l.lines {
		for _, word := range words {
			if strings.Contains(line, word) {
				found = append(found, fmt.Errorf("a log line holds %q, which belongs in no log: %s", word, line))
			}
		}
		for _, sign := range []string{`"panic":`, "panic: ", "goroutine ", "fatal error", "DATA RACE"} {
			if strings.Contains(line, sign) {
				found = append(found, fmt.Errorf("a log line tells of a failure (%s): %s", sign, line))
			}
		}
	}
	return found
}

// privateWords are the words that were used in this run and may stand in no log line.
type privateWords struct {
	mu    sync.Mutex
	words map[string]bool
}

// add takes private words. Of one of several lines, such as PEM, each line counts; a word of few bytes could stand in a
// line by chance and is left out.
func (p *privateWords) add(words ...string) {
	const fewest = 6
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.words == nil {
		p.words = make(map[string]bool)
	}
	for _, word := range words {
		for line := range strings.Lines(word) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "whsec_")
			if len(line) >= fewest && !strings.HasPrefix(line, "-----") {
				p.words[line] = true
			}
		}
	}
}

func (p *privateWords) addWorld(w *fixture.World) {
	p.add(fixture.Plate, fixture.OpenID, w.Merchant.LogHashKey, w.MerchantKey.PrivateKey, w.WeChatPay.APIv3Key)
	p.add(w.Merchant.APIv2Keys...)
	p.add(w.Merchant.APIv3Keys...)
	p.add(w.WeChatPay.APIv2Keys...)
	for _, text := range w.Merchant.WeChatPayKeys {
		p.add(text)
	}
	for _, v := range w.Vendors.Vendors {
		p.add(v.RequestSecrets...)
		p.add(v.WebhookSecrets...)
	}
}

// in returns the private words that stand in text.
func (p *privateWords) in(text string) (found []string) {
	for _, word := range p.list() {
		if strings.Contains(text, word) {
			found = append(found, word)
		}
	}
	return found
}

func (p *privateWords) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	words := make([]string, 0, len(p.words))
	for word := range p.words {
		words = append(words, word)
	}
	slices.Sort(words)
	return words
}
