package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"wechat-parking-gateway/cmd/parkctl/handover"
	"wechat-parking-gateway/cmd/parkctl/progress"
	"wechat-parking-gateway/local/stack"
	"wechat-parking-gateway/local/traffic"
	"wechat-parking-gateway/local/transcript"
	"wechat-parking-gateway/local/visit"
)

func localCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "local",
		Short: "The gateway on this machine: the compiled functions, emulated AWS APIs, a WeChat Pay simulator",
		Example: `  parkctl local serve
  parkctl local trigger blocked`,
	}
	cmd.AddCommand(serveCommand(s), demoCommand(s), triggerCommand(s), chaosCommand(s), rotateCommand(s))
	return cmd
}

func serveCommand(s *settings) *cobra.Command {
	options := localOptions{settings: s, logName: "functions.log"}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Build and start the local stack, play one car's visit, and serve until Ctrl-C",
		Example: `  parkctl local serve
  parkctl local serve --listen 127.0.0.1:9090 --console 127.0.0.1:9091 --no-visit
  parkctl local serve --webhook-url http://127.0.0.1:9000/webhooks/wechat   # events to a receiver of your own`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), cmd.OutOrStdout(), options) },
	}
	options.register(cmd)
	cmd.Flags().StringVar(&options.listen, "listen", "127.0.0.1:8080", "loopback address of the gateway's front; port 0 takes a free one")
	cmd.Flags().StringVar(&options.console, "console", consoleAddress, "loopback address of the console, a page that shows every message; port 0 takes a free one, empty serves none")
	cmd.Flags().BoolVar(&options.noVisit, "no-visit", false, "start without playing the visit")
	cmd.Flags().StringVar(&options.webhookURL, "webhook-url", "", "loopback address of a receiver of your own for the demo vendor's events; the visit is not played then")
	return cmd
}

func demoCommand(s *settings) *cobra.Command {
	// A log of its own: a stack that serves in this folder goes on writing to the other.
	options := localOptions{settings: s, listen: "127.0.0.1:0", logName: "demo.log"}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Play one car's visit on a stack of its own and end; exit 1 if any step is wrong",
		Example: "  parkctl local demo",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), cmd.OutOrStdout(), options) },
	}
	options.register(cmd)
	return cmd
}

// localOptions are the flags of the commands that start a stack.
type localOptions struct {
	*settings
	listen, functionLog, webhookURL, console string
	noVisit                                  bool
	// logName is the file of the functions' log lines in build/local, where functionLog names no other.
	logName string
}

func (o *localOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.functionLog, "function-log", "", "file for the functions' log lines (default build/local/"+o.logName+", - for the screen)")
}

// logPath is the file of the functions' log lines, or - for the screen.
func (o *localOptions) logPath() string {
	return cmp.Or(o.functionLog, filepath.Join(o.root, "build", "local", o.logName))
}

// freshFile is a file that is begun anew with the first line. A start that fails before that, since another stack has the
// address, leaves that one's file as it is.
type freshFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

func (f *freshFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		// Who still has the old file open goes on writing to that, and not into the middle of this one.
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		file, err := os.Create(f.path)
		if err != nil {
			return 0, err
		}
		f.file = file
	}
	return f.file.Write(p)
}

func (f *freshFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// start builds and starts a stack, telling each step as it happens.
func (o *localOptions) start(ctx context.Context, out io.Writer, recorder *traffic.Recorder) (*stack.Stack, *transcript.Writer, func(), error) {
	log := io.Writer(os.Stderr)
	closeLog := func() {}
	if path := o.logPath(); path != "-" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, nil, nil, err
		}
		f := &freshFile{path: path}
		log, closeLog = f, func() { _ = f.Close() }
	}
	tell := transcript.New(out, colour(out), time.Now)
	steps := progress.New(out, progressStyle(out), time.Now)
	s, err := stack.Start(ctx, stack.Options{
		Root: o.root, Listen: o.listen, WebhookURL: o.webhookURL, FunctionLog: log, Observe: visit.Heard(tell),
		Traffic: recorder, Progress: steps.Step,
	})
	if err != nil {
		steps.Failed()
		closeLog()
		return nil, nil, nil, err
	}
	steps.Done()
	// The functions may have had nothing to say so far; what an earlier stack logged goes all the same.
	if _, err := log.Write(nil); err != nil {
		s.Close()
		return nil, nil, nil, err
	}
	return s, tell, func() { s.Close(); closeLog() }, nil
}

// progressStyle draws on a terminal alone.
func progressStyle(out io.Writer) progress.Style {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || slices.Contains([]string{"", "dumb"}, os.Getenv("TERM")) {
		return progress.Style{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return progress.Style{Terminal: true, Colour: colour(out), Width: width}
}

func play(ctx context.Context, s *stack.Stack, tell *transcript.Writer, recorder *traffic.Recorder) error {
	return visit.Play(ctx, visit.Stage{
		Vendor: s.Vendor, Webhooks: s.Webhooks, WeChatPay: s.WeChatPay, BaseURL: s.URL,
		WebhookURL: s.World.Vendors.Vendors[s.Vendor.ID()].WebhookURL, Waiting: s.Waiting, Tell: tell, Now: time.Now,
		Heading: recorder.Heading,
	})
}

func demo(ctx context.Context, out io.Writer, options localOptions) error {
	s, tell, stop, err := options.start(ctx, out, nil)
	if err != nil {
		return err
	}
	defer stop()
	err = play(ctx, s, tell, nil)
	told, failed := tell.Steps()
	fmt.Fprintf(out, "\n%d steps, %d wrong.\n", told, failed)
	return err
}

func serve(ctx context.Context, out io.Writer, options localOptions) error {
	listener, err := listenForConsole(options.console)
	if err != nil {
		return err
	}
	var recorder *traffic.Recorder
	if listener != nil {
		defer listener.Close()
		recorder = traffic.New(keptMessages, time.Now)
	}
	s, tell, stop, err := options.start(ctx, out, recorder)
	if err != nil {
		return err
	}
	defer stop()
	page := ""
	if listener != nil {
		if page, err = serveConsole(s, recorder, listener, options.webhookURL != ""); err != nil {
			return err
		}
	}
	if err := s.WriteState(); err != nil {
		return err
	}
	defer s.RemoveState()
	handed := handOverPath(options.root)
	if err := handOver(s, handed); err != nil {
		return err
	}
	defer func() { _ = os.Remove(handed) }()
	if !options.noVisit && options.webhookURL == "" {
		if err := play(ctx, s, tell, recorder); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%s", nextSteps(s, options.logPath(), handed))
	if page != "" {
		fmt.Fprintf(out, "\nOpen %s to watch every message, and to send some.\n", page)
	}
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "\nStopping.")
		return nil
	case err := <-s.Broken():
		return err
	}
}

func handOverPath(root string) string { return filepath.Join(root, "build", "local", "gateway.env") }

// handOver writes for the demo vendor what an operator hands over to a vendor.
func handOver(s *stack.Stack, path string) error {
	return handover.File{
		BaseURL: s.URL, VendorID: s.Vendor.ID(), RequestSecret: s.World.RequestSecret(s.Vendor.ID()),
		WebhookSecret: s.World.Vendors.Vendors[s.Vendor.ID()].WebhookSecrets[0],
	}.Write(path)
}

// nextSteps is what the reader can paste next.
func nextSteps(s *stack.Stack, logged, handed string) string {
	tool, err := os.Executable()
	if wd, wdErr := os.Getwd(); err == nil && wdErr == nil {
		if relative, err := filepath.Rel(wd, tool); err == nil && !strings.HasPrefix(relative, "..") {
			tool = relative
		}
	}
	return fmt.Sprintf(`The gateway serves on %[1]s until Ctrl-C. In another terminal:

    %[2]s call parking --state IN                 a member's car drives in
    %[2]s call entry --plate 京A12345             ask whether a car may leave by password-free payment
    %[2]s call parking --plate 粤b888888          see how a mistake is answered
    %[2]s local trigger blocked                   WeChat Pay reports that the plate is blocked
    %[2]s local trigger paid                      a member pays in the mall
    %[2]s local trigger forged                    a forger tries
    curl -i -X POST %[1]s/v1/callbacks/businesscircle -d '{}'

The demo vendor's address and secrets for a program of your own: %[5]s (docs/guide.md).
The functions log to %[3]s; the AWS APIs are emulated at %[4]s.
`, s.URL, tool, cmp.Or(map[string]string{"-": "the screen"}[logged], logged), s.AWSEndpoint, handed)
}

func triggerCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "trigger {" + strings.Join(stack.Triggers(), "|") + "}",
		Short: "Let the running local stack's WeChat Pay send a callback or offer a certificate, and show what became of it",
		Example: `  parkctl local trigger blocked
  parkctl local trigger probe
  parkctl local trigger new-certificate   # WeChat Pay offers a new platform certificate,
  parkctl local trigger certrefresh       # and the refresh that a schedule runs puts it into the secret`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(stack.Triggers(), args[0]) {
				return fmt.Errorf("name one of: %s", strings.Join(stack.Triggers(), ", "))
			}
			return nil
		},
		ValidArgs: stack.Triggers(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return trigger(cmd.Context(), cmd.OutOrStdout(), s, args[0])
		},
	}
}

func trigger(ctx context.Context, out io.Writer, s *settings, kind string) error {
	state, err := stack.ReadState(s.root)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, state.ControlURL+"/trigger/"+kind, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the local stack does not answer; start it with: parkctl local serve")
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the local stack answered %s: %s", res.Status, bytes.TrimSpace(body))
	}
	if s.json {
		return emit(out, json.RawMessage(body))
	}
	return printJSON(out, body)
}
