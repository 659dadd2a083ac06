//go:build samples

package samples_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/cmd/parkctl/handover"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/stdwebhook"
)

// patience is how long something is waited for that must come. It bounds a failure and is no measure of anything.
const patience = 90 * time.Second

// kit is one way to integrate: a language, with or without the library.
type kit struct {
	sample, variant string
	tools           []string // the programs that it needs, and what Debian calls the packages that have them
	vectors         []string // how testdata's program prints the sample's signatures
	receives        bool
}

var kits = []kit{
	{"shell", "", []string{"curl", "openssl"}, nil, false},
	{"java", "plain", []string{"javac"}, javaVectors, true},
	{"java", "library", []string{"javac", "mvn"}, javaVectors, true},
	{"php", "", []string{"php"}, []string{"vectors.php", "php vectors.php"}, true},
	{"python", "plain", []string{"python3"}, []string{"vectors.py", "python3 vectors.py"}, true},
	{"python", "library", []string{"python3"}, []string{"vectors.py", ".venv/bin/python vectors.py"}, true},
	{"node", "plain", []string{"node"}, []string{"vectors.mjs", "node vectors.mjs"}, true},
	{"node", "library", []string{"node", "npm"}, []string{"vectors.mjs", "node vectors.mjs"}, true},
	{"go", "plain", []string{"go"}, []string{"vectors.go", "go run vectors.go signing.go"}, true},
	{"go", "library", []string{"go"}, []string{"vectors.go", "go run vectors.go signing.go"}, true},
	{"postman", "", []string{"npm"}, nil, false},
}

var javaVectors = []string{"Vectors.java", "javac -encoding UTF-8 -cp 'lib/*' Signing.java Vectors.java && java -cp '.:lib/*' Vectors"}

// packages are Debian's names of what has the programs.
var packages = map[string]string{
	"javac": "default-jdk-headless", "mvn": "maven", "php": "php-cli", "node": "nodejs", "npm": "npm", "python3": "python3 python3-venv",
	"curl": "curl", "openssl": "openssl", "go": "golang",
}

func (k kit) name() string { return strings.TrimSuffix(k.sample+"-"+k.variant, "-") }

// bench is a folder in which a kit was set up by following the guide.
type bench struct {
	kit
	folder   string
	commands map[string]string // by what they do
	port     int
	handed   handover.File
}

// result is a line of the table.
type result struct {
	call, event, forged string
	took                time.Duration
}

var table struct {
	sync.Mutex
	lines map[string]*result
}

func note(k kit, change func(*result)) {
	table.Lock()
	defer table.Unlock()
	if table.lines[k.name()] == nil {
		table.lines[k.name()] = &result{call: "-", event: "-", forged: "-"}
	}
	change(table.lines[k.name()])
}

func TestMain(m *testing.M) {
	flag.Parse()
	table.lines = map[string]*result{}
	// The samples wait more than they compute.
	if err := flag.Set("test.parallel", "100"); err != nil {
		panic(err)
	}
	code := m.Run()
	fmt.Printf("\n%-18s %-10s %-15s %-15s %s\n", "sample", "calls", "event verified", "forged refused", "time from an empty folder")
	for _, k := range kits {
		if line := table.lines[k.name()]; line != nil {
			fmt.Printf("%-18s %-10s %-15s %-15s %.1f s\n", k.name(), line.call, line.event, line.forged, line.took.Seconds())
		}
	}
	os.Exit(code)
}

// TestTheGuideToTheLetter: what the guide says, in an empty folder, gives verified calls and verified events. The files
// and the commands are the guide's own, in its order; what the guide presupposes is the hand-over file and the tools. Then
// each sample meets what an engineer's first trial does not: known answers, forgeries, duplicates, a gateway that does not
// answer and one that refuses.
func TestTheGuideToTheLetter(t *testing.T) {
	for _, k := range kits {
		for _, tool := range k.tools {
			if _, err := exec.LookPath(tool); err != nil {
				t.Fatalf("the samples need %s: install %s (apt-get install -y %s)", tool, tool, packages[tool])
			}
		}
	}
	s, ports := startStack(t)
	root := t.TempDir()
	var benches []*bench
	for _, k := range kits {
		// One after the other: the time that the table tells is an engineer's, who has the machine for himself.
		t.Run(k.name(), func(t *testing.T) {
			benches = append(benches, follow(t, s, k, root, ports[k.name()]))
		})
	}
	t.Run("beyond", func(t *testing.T) {
		for _, b := range benches {
			t.Run(b.name(), func(t *testing.T) {
				t.Parallel()
				b.repeats(t, s)
				b.isRefused(t)
				b.staysHere(t)
				if b.sample == "java" {
					b.must(t, "javac --release 8 -Xlint:-options -encoding UTF-8 -cp 'lib/*' -d release8 *.java")
				}
				if b.receives {
					b.signsKnownAnswers(t)
					b.judgesKnownMessages(t)
				}
			})
		}
	})
	if dead, err := s.DeadLetters(t.Context()); err != nil || dead != 0 {
		t.Errorf("got %d dead letters, %v, want none", dead, err)
	}
}

// startStack starts a local stack with one vendor for each kit, whose events go to a port of its own.
func startStack(t *testing.T) (*stack.Stack, map[string]int) {
	t.Helper()
	project, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// A folder of its own, so that a stack that somebody runs in the project keeps its executables.
	root := t.TempDir()
	for _, name := range []string{"template.yaml", ".venv"} {
		if err := os.Symlink(filepath.Join(project, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	makefile := "build-%:\n\t@$(MAKE) --silent --no-print-directory -C '" + project + "' build-$* ARTIFACTS_DIR='$(ARTIFACTS_DIR)' GOARCH='$(GOARCH)'\n"
	write(t, filepath.Join(root, "Makefile"), makefile)
	world, err := fixture.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]int{}
	for _, k := range kits {
		port := freePort(t)
		ports[k.name()] = port
		world.Vendors.Vendors[k.name()] = &fixture.Vendor{
			RequestSecrets: []string{fixture.NewSecret()}, WebhookSecrets: []string{fixture.NewSecret()},
			WebhookURL: fmt.Sprintf("http://127.0.0.1:%d/webhooks/wechat", port),
			Merchants: []fixture.VendorMerchant{{
				SubMchID: fixture.SubMchID, Vehicle: &fixture.Vehicle{SubAppID: fixture.SubAppID},
				BusinessCircle: &fixture.BusinessCircle{BrandID: fixture.BrandID, AppID: fixture.CircleAppID},
			}},
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s, err := stack.Start(ctx, stack.Options{Root: root, Listen: "127.0.0.1:0", World: world, FunctionLog: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, ports
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// page is the page of the guide that a kit is on.
func (k kit) page() string {
	if k.sample == "shell" {
		return guides[0]
	}
	return filepath.Join("..", "docs", "guide", k.sample+".md")
}

// follow does what the guide says, in a new folder below root.
func follow(t *testing.T, s *stack.Stack, k kit, root string, port int) *bench {
	t.Helper()
	vendor := s.World.Vendors.Vendors[k.name()]
	b := &bench{kit: k, folder: filepath.Join(root, k.name()), commands: map[string]string{}, port: port, handed: handover.File{
		BaseURL: s.URL, VendorID: k.name(), RequestSecret: vendor.RequestSecrets[0], WebhookSecret: vendor.WebhookSecrets[0],
	}}
	if err := os.Mkdir(b.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	b.handOver(t, b.handed)

	started := time.Now()
	var events []string
	found, _ := blocks(t, k.page())
	for _, block := range found {
		if !block.in(k.sample, k.variant) {
			continue
		}
		switch {
		case block.file != "":
			write(t, filepath.Join(b.folder, block.file), block.text)
		case block.do == "prepare":
			b.must(t, block.text)
		case block.do == "call":
			b.commands["call"] = block.text
			b.called(t, b.must(t, block.text))
		case block.do == "receive":
			b.commands["receive"] = block.text
			events = b.received(t, s, block.text)
		default:
			t.Fatalf("the guide says do=%s, which the test does not know", block.do)
		}
	}
	took := time.Since(started)
	note(k, func(r *result) { r.took = took })
	if b.commands["call"] == "" || k.receives != (b.commands["receive"] != "") {
		t.Fatalf("the guide shows no complete way: %q", b.commands)
	}
	t.Logf("%s: calls and events %q in %.1f s", k.name(), events, took.Seconds())
	return b
}

// handOver writes the file that the operator gives to the vendor.
func (b *bench) handOver(t *testing.T, f handover.File) {
	t.Helper()
	if err := f.Write(filepath.Join(b.folder, "gateway.env")); err != nil {
		t.Fatal(err)
	}
}

// command is a command of the guide, run by a shell of its own in the folder.
func (b *bench) command(ctx context.Context, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = b.folder
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "PARKING_") || strings.HasPrefix(pair, "PORT=") || strings.HasPrefix(pair, "http_proxy=")
	})
	cmd.Env = append(cmd.Env, "PORT="+strconv.Itoa(b.port))
	// What it starts ends with it: some of the commands are front ends of others.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// must runs a command that has to succeed, and returns what it printed.
func (b *bench) must(t *testing.T, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	out, err := b.command(ctx, text).CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", text, err, out)
	}
	return string(out)
}

// called checks what the calls printed: 204 for the parking state, and 200 with the gateway's word for the entry.
func (b *bench) called(t *testing.T, out string) {
	t.Helper()
	for _, want := range []string{"204", "200", "password_free_available"} {
		if !strings.Contains(out, want) {
			t.Fatalf("got\n%s\nwant an answer %s", out, want)
		}
	}
	note(b.kit, func(r *result) { r.call = "204, 200" })
}

// start runs the receiver and returns what it prints, until the end of the test.
func (b *bench) start(t *testing.T, text string) *output {
	t.Helper()
	out := &output{}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := b.command(ctx, text)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err == nil {
			conn.Close()
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("the receiver does not listen: %v\n%s", err, out)
		}
	}
}

// output keeps what a program prints while it runs.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// await waits for a line that holds the words.
func (o *output) await(t *testing.T, words string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(o.String(), words); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got\n%s\nwant %q", o, words)
		}
	}
}

// received runs the receiver, lets WeChat Pay report a plate and the operator send a ping, and sees both verified.
func (b *bench) received(t *testing.T, s *stack.Stack, text string) []string {
	t.Helper()
	out := b.start(t, text)
	callback, err := s.WeChatPay.BuildPlateState(s.URL+"/v1/callbacks/vehicle/"+b.name(), fixture.PlateState("BLOCKED", "OVERDUE", ""))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := s.WeChatPay.Send(t.Context(), callback); err != nil || !d.Success {
		t.Fatalf("the callback: got %v, %v, want success", d, err)
	}
	out.await(t, " vehicle.plate_state_changed")
	queue, _ := s.Queues()
	ping := event.Ping(b.name(), "guide", time.Now())
	if err := event.NewQueue(sqs.NewFromConfig(s.AWS), queue).Send(t.Context(), []event.Message{ping}); err != nil {
		t.Fatal(err)
	}
	out.await(t, "verified "+ping.ID+" gateway.ping")
	verified := regexp.MustCompile(`verified evt_[0-9a-f]{40} [a-z_.]+`).FindAllString(out.String(), -1)
	if len(verified) != 2 {
		t.Fatalf("got\n%s\nwant two verified events", out)
	}
	// The gateway has the receiver's 2xx when nothing is on its way any more.
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		waiting, err := s.Waiting(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if waiting == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events are still on their way: the receiver does not take them\n%s", waiting, out)
		}
	}
	note(b.kit, func(r *result) { r.event = "yes" })
	return verified
}

// known are the answers of testdata/standardwebhooks.json.
type known struct {
	Sign []struct {
		Name, Secret, ID, Body, Signature string
		Timestamp                         int64
	}
	Verify []message
}

type message struct {
	Name, Secret, Body, Why  string
	Now                      int64
	ID, Timestamp, Signature *string
	Genuine                  bool
}

func knownAnswers(t *testing.T) (k known) {
	t.Helper()
	b, err := os.ReadFile("../testdata/standardwebhooks.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// signsKnownAnswers: the sample's sign gives the published signatures.
func (b *bench) signsKnownAnswers(t *testing.T) {
	t.Helper()
	program, err := os.ReadFile(filepath.Join("testdata", b.vectors[0]))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.folder, b.vectors[0]), string(program))
	var in, want strings.Builder
	for _, v := range knownAnswers(t).Sign {
		fmt.Fprintf(&in, "%s %s %d %s\n", v.Secret, v.ID, v.Timestamp, base64.StdEncoding.EncodeToString([]byte(v.Body)))
		fmt.Fprintln(&want, v.Signature)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := b.command(ctx, b.vectors[1])
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != want.String() {
		t.Errorf("known signatures: got %v\n%s\nwant\n%s", err, out, want.String())
	}
}

// judgesKnownMessages: the receiver takes the published messages that are genuine, and answers every other 401. They are
// moved to the present, since a receiver's clock cannot be set.
func (b *bench) judgesKnownMessages(t *testing.T) {
	t.Helper()
	messages := knownAnswers(t).Verify
	b.handOver(t, handover.File{BaseURL: b.handed.BaseURL, VendorID: b.name(), RequestSecret: b.handed.RequestSecret, WebhookSecret: messages[0].Secret})
	out := b.start(t, b.commands["receive"])
	forged, refused := 0, 0
	for _, m := range messages {
		want := http.StatusNoContent
		if !m.Genuine {
			want = http.StatusUnauthorized
			forged++
		}
		got := b.post(t, m.moved(t, time.Now().Unix()))
		if got != want {
			t.Errorf("%s: got %d, want %d (%s)", m.Name, got, want, m.Why)
		} else if !m.Genuine {
			refused++
		}
	}
	// All of the genuine ones have one id: the first is new, the others are repeats.
	lines := out.String()
	if strings.Count(lines, "verified ") != 1 || strings.Count(lines, "duplicate ") != len(messages)-forged-1 {
		t.Errorf("got\n%s\nwant one new event and %d duplicates", lines, len(messages)-forged-1)
	}
	note(b.kit, func(r *result) { r.forged = fmt.Sprintf("%d of %d", refused, forged) })
}

// moved returns the message as it would be if the receiver's clock showed now. A signature that was made over it, with
// whatever secret, is made over the moved message; any other stays as it is.
func (m message) moved(t *testing.T, now int64) message {
	t.Helper()
	if m.Timestamp == nil {
		return m
	}
	old, err := strconv.ParseInt(*m.Timestamp, 10, 64)
	if err != nil {
		return m
	}
	at := old + now - m.Now
	text := strconv.FormatInt(at, 10)
	m.Timestamp = &text
	if m.Signature == nil || m.ID == nil {
		return m
	}
	tokens := strings.Split(*m.Signature, " ")
	for i, token := range tokens {
		for _, v := range knownAnswers(t).Sign {
			secret, err := stdwebhook.ParseSecret(v.Secret)
			if err != nil {
				t.Fatal(err)
			}
			if token == stdwebhook.Sign(*m.ID, time.Unix(old, 0), []byte(m.Body), []stdwebhook.Secret{secret}) {
				tokens[i] = stdwebhook.Sign(*m.ID, time.Unix(at, 0), []byte(m.Body), []stdwebhook.Secret{secret})
			}
		}
	}
	joined := strings.Join(tokens, " ")
	m.Signature = &joined
	return m
}

// post sends a message to the receiver and returns the answer's status.
func (b *bench) post(t *testing.T, m message) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/webhooks/wechat", b.port), strings.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]*string{"webhook-id": m.ID, "webhook-timestamp": m.Timestamp, "webhook-signature": m.Signature} {
		if value != nil {
			req.Header.Set(name, *value)
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	res.Body.Close()
	return res.StatusCode
}

// attempt is one request of a sample's.
type attempt struct {
	path, id, timestamp, signature, body string
}

// repeats: where the gateway gives no answer to the first call and asks for patience at the second, the sample comes again
// by itself, with the id and the bytes that it had and a signature of the new time. The shell and Postman, which are for
// trials, do not.
func (b *bench) repeats(t *testing.T, s *stack.Stack) {
	t.Helper()
	if !b.receives {
		return
	}
	gateway, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	attempts := map[string][]attempt{}
	done := make(chan struct{})
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		first := len(attempts[r.URL.Path]) == 0
		attempts[r.URL.Path] = append(attempts[r.URL.Path], attempt{
			r.URL.Path, r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), string(body),
		})
		mu.Unlock()
		switch {
		case first && strings.HasSuffix(r.URL.Path, "/parkings"):
			select { // never an answer: the client's own limit ends it
			case <-r.Context().Done():
			case <-done:
			}
		case first:
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			onward := r.Clone(r.Context())
			onward.URL.Scheme, onward.URL.Host, onward.RequestURI = gateway.Scheme, gateway.Host, ""
			onward.Body = io.NopCloser(bytes.NewReader(body))
			res, err := http.DefaultTransport.RoundTrip(onward)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer res.Body.Close()
			w.WriteHeader(res.StatusCode)
			_, _ = io.Copy(w, res.Body)
		}
	}))
	defer flaky.Close()
	defer close(done)
	through := b.handed
	through.BaseURL = flaky.URL
	b.handOver(t, through)
	b.called(t, b.must(t, b.commands["call"]))
	for path, list := range attempts {
		if len(list) != 2 || list[0].id != list[1].id || list[0].body != list[1].body || list[0].signature == list[1].signature {
			t.Errorf("%s: got %+v, want two attempts with one id and one body, each signed for itself", path, list)
			continue
		}
		before, err1 := strconv.Atoi(list[0].timestamp)
		after, err2 := strconv.Atoi(list[1].timestamp)
		if waited := after - before; errors.Join(err1, err2) != nil || waited < 3 {
			t.Errorf("%s: the second attempt is signed %d s after the first, want at least 3", path, waited)
		}
	}
	if len(attempts) != 2 {
		t.Errorf("got %d paths, want 2", len(attempts))
	}
}

// isRefused: a call that the gateway refuses is not repeated; the sample shows the code and says by its exit status that
// it failed.
func (b *bench) isRefused(t *testing.T) {
	t.Helper()
	wrong := b.handed
	wrong.RequestSecret = fixture.NewSecret()
	b.handOver(t, wrong)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	out, err := b.command(ctx, b.commands["call"]).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case b.sample == "shell": // curl tells the status and is content
		if err != nil || !strings.Contains(string(out), "HTTP 401") {
			t.Errorf("got %v\n%s\nwant HTTP 401", err, out)
		}
	case !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "401"):
		t.Errorf("got %v\n%s\nwant exit status 1 and the status 401", err, out)
	case b.receives && strings.Count(string(out), "not_authenticated") != 2:
		t.Errorf("got\n%s\nwant the code of both refusals", out)
	}
}

// staysHere: a redirect is a failure. A POST that followed it would become a GET, and its 200 a success that nobody meant.
func (b *bench) staysHere(t *testing.T) {
	t.Helper()
	if !b.receives {
		return
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the sample followed a redirect")
	}))
	defer elsewhere.Close()
	away := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer away.Close()
	astray := b.handed
	astray.BaseURL = away.URL
	b.handOver(t, astray)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	out, err := b.command(ctx, b.commands["call"]).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(string(out), "302") != 2 {
		t.Errorf("got %v\n%s\nwant exit status 1 and the status 302 twice", err, out)
	}
}
