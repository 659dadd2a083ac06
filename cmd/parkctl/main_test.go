package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/explain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// result is what a command line came to.
type result struct {
	status   int
	out, log string
}

// parkctl runs a command line in this process, as main does, with nobody at the keyboard.
func parkctl(t *testing.T, args ...string) result {
	t.Helper()
	return parkctlWith(t, t.Context(), strings.NewReader(""), args...)
}

func parkctlWith(t *testing.T, ctx context.Context, in io.Reader, args ...string) result {
	t.Helper()
	var out, log bytes.Buffer
	status := run(ctx, args, in, &out, &log)
	return result{status, out.String(), log.String()}
}

func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, child := range cmd.Commands() {
		all = append(all, commands(child)...)
	}
	return all
}

// TestHelp: every command has a summary and an example, and says what testdata/help says that it says.
func TestHelp(t *testing.T) {
	seen := map[string]bool{}
	for _, cmd := range commands(root(&settings{})) {
		path := cmd.CommandPath()
		t.Run(path, func(t *testing.T) {
			if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
				t.Errorf("got the summary %q, want one without a full stop", cmd.Short)
			}
			if !strings.Contains(cmd.Example, cmd.CommandPath()) {
				t.Errorf("got the example %q, want one that runs %s", cmd.Example, path)
			}
			args := append(strings.Fields(path)[1:], "--help")
			got := parkctl(t, args...)
			if got.status != 0 || got.log != "" {
				t.Fatalf("got status %d and %q on standard error, want 0 and nothing", got.status, got.log)
			}
			file := strings.ReplaceAll(path, " ", "-") + ".txt"
			seen[file] = true
			golden(t, filepath.Join("testdata", "help", file), got.out)
		})
	}
	entries, err := os.ReadDir(filepath.Join("testdata", "help"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !seen[entry.Name()] {
			t.Errorf("testdata/help/%s is the help of no command", entry.Name())
		}
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run the tests of this package with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n(run the tests of this package with -update, and look at the difference)", path, got, want)
	}
}

// TestUsage: a command line that is not understood ends with status 2, says why and where help is, and does nothing.
func TestUsage(t *testing.T) {
	t.Setenv(stackVariable, "")
	for args, want := range map[string]string{
		"nothing-like-this":          `unknown command "nothing-like-this"`,
		"vendor disabel acme":        `unknown command "disabel" for "parkctl vendor"`,
		"--stack x secret key ad":    `unknown command "ad" for "parkctl secret key"`,
		"version --nothing":          "unknown flag: --nothing",
		"version more":               `unknown command "more"`,
		"events drop":                "name the events, or pass --all",
		"events replay --all evt_1":  "name the events, or pass --all",
		"local trigger":              "name one of",
		"local chaos --callbacks 0":  "--callbacks must be 1 to 100000",
		"secret init --mode direct":  "is missing",
		"vendor add":                 "accepts 1 arg(s), received 0\nUsage: parkctl vendor add VENDOR",
		"events lits":                "Did you mean list?",
		"vendor add a --brandid x":   `invalid argument "x" for "--brandid" flag: want a number` + "\n",
		"trace --id a --since long":  `invalid argument "long" for "--since" flag`,
		"explain --at noon":          "--at wants a time",
		"secret key add v3 --file x": `"v3" is no kind of key; there are apiv2, apiv3, wechatpay`,
	} {
		t.Run(args, func(t *testing.T) {
			got := parkctl(t, strings.Fields(args)...)
			if got.status != usageStatus || got.out != "" || !strings.Contains(got.log, want) || !strings.Contains(got.log, "--help") {
				t.Errorf("got %+v, want status %d and %q on standard error alone", got, usageStatus, want)
			}
		})
	}
}

// TestNoLocalStack: where no local stack runs, every command that needs one says so, and how to name another.
func TestNoLocalStack(t *testing.T) {
	t.Setenv(stackVariable, "")
	for _, args := range []string{"vendor list", "secret check", "events list", "doctor", "call parking", "local trigger blocked", "vendor ping x"} {
		got := parkctl(t, append(strings.Fields(args), "--root", t.TempDir())...)
		if got.status != failedStatus || got.out != "" || !strings.Contains(got.log, "no local stack runs here") {
			t.Errorf("%s: got %+v, want status %d and how to go on", args, got, failedStatus)
		}
	}
}

// TestInterrupted: Ctrl-C ends a command with the status that shells expect.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root := t.TempDir()
	state := `{"base_url":"http://127.0.0.1:9","aws_endpoint":"http://127.0.0.1:9","events_queue_url":"http://127.0.0.1:9/q","dead_letter_queue_url":"http://127.0.0.1:9/d"}`
	if err := os.MkdirAll(filepath.Join(root, "build", "local"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "build", "local", "state.json"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	got := parkctlWith(t, ctx, strings.NewReader(""), "events", "list", "--root", root)
	if got.status != interruptedStatus {
		t.Errorf("got %+v, want status %d", got, interruptedStatus)
	}
}

func TestVersion(t *testing.T) {
	got := parkctl(t, "version", "--json")
	if got.status != 0 || !strings.HasPrefix(got.out, `{"arch":`) || strings.Count(got.out, "\n") != 1 {
		t.Errorf("got %+v, want one line of JSON", got)
	}
}

// TestDocs: docs/parkctl.md names every command of an operator's that it does not leave to another page, and every cause
// of explain.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "parkctl.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cause := range explain.Causes() {
		if !strings.Contains(string(b), "`"+string(cause)+"`") {
			t.Errorf("the cause %s is not in docs/parkctl.md", cause)
		}
	}
	elsewhere := []string{"parkctl secret key", "parkctl secret merchant-key", "parkctl trace", "parkctl completion", "parkctl help"}
	for _, cmd := range commands(root(&settings{})) {
		path := cmd.CommandPath()
		if slices.ContainsFunc(elsewhere, func(other string) bool { return strings.HasPrefix(path, other) }) {
			continue
		}
		if short := strings.TrimPrefix(path, "parkctl "); !strings.Contains(string(b), short) {
			t.Errorf("%s is not in docs/parkctl.md", path)
		}
	}
}

// TestAsk: only a clear yes is one, and Ctrl-C ends the waiting.
func TestAsk(t *testing.T) {
	for line, want := range map[string]bool{"y\n": true, "YES\n": true, "yes": true, "\n": false, "": false, "n\n": false, "yess\n": false} {
		if got, err := ask(t.Context(), strings.NewReader(line), io.Discard, "Go on?"); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", line, got, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	silent, typed := io.Pipe()
	defer typed.Close()
	if _, err := ask(ctx, silent, io.Discard, "Go on?"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

var commandInDocs = regexp.MustCompile("(?:^|[`$ /])parkctl ((?:[a-z][a-z-]*)[^`|#;<>()\\\\\n]*)")

// TestDocsCommands: every command that a page of the docs shows, and every flag in it, is one that there is.
func TestDocsCommands(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../../docs/*.md", "../../README*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	checked := 0
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		fenced := false
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
				continue
			}
			if !fenced && !strings.Contains(line, "`") {
				continue
			}
			for _, found := range commandInDocs.FindAllStringSubmatch(line, -1) {
				if !fenced && !strings.Contains(line, "parkctl "+found[1]+"`") {
					continue // prose that only begins like a command
				}
				words := strings.Fields(found[1])
				tree := root(&settings{})
				tree.InitDefaultCompletionCmd() // as running it does
				cmd, rest, err := tree.Find(words)
				if err != nil || !cmd.Runnable() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
					t.Errorf("%s: there is no command parkctl %s (%v)", filepath.Base(page), found[1], err)
					continue
				}
				checked++
				for _, word := range words {
					name, _, _ := strings.Cut(strings.TrimRight(strings.TrimPrefix(word, "--"), ",.:"), "=")
					if strings.HasPrefix(word, "--") && name != "help" && name != "" && cmd.Flag(name) == nil {
						t.Errorf("%s: parkctl %s: %s has no flag --%s", filepath.Base(page), found[1], cmd.CommandPath(), name)
					}
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("got %d commands in the docs, want at least 50: are they still found?", checked)
	}
	t.Log(checked, "commands")
}
