package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"wechat-parking-gateway/cmd/parkctl/deployment"
)

// settings are the flags that every command has.
type settings struct {
	stack, profile, region, root string
	json                         bool

	// started tells that the command line was understood and a command runs.
	started bool
}

// stackVariable names the environment variable that stands in for --stack.
const stackVariable = "PARKCTL_STACK"

func (s *settings) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.stack, "stack", cmp.Or(os.Getenv(stackVariable), deployment.Local),
		"CloudFormation stack of the gateway, or local for the one that runs here; default from "+stackVariable)
	flags.Lookup("stack").DefValue = deployment.Local
	flags.StringVar(&s.profile, "profile", "", "AWS profile (default: the environment's)")
	flags.StringVar(&s.region, "region", "", "AWS region (default: the environment's or the profile's)")
	flags.StringVar(&s.root, "root", ".", "the project's folder, where the running local stack is found")
	flags.BoolVar(&s.json, "json", false, "one JSON object a line, for machines")
	for name, values := range map[string][]string{
		"stack":   {deployment.Local},
		"profile": nil,
		"region":  {"cn-north-1", "cn-northwest-1", "ap-east-1", "ap-southeast-1"},
	} {
		// It fails for a flag that does not exist alone.
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.MarkPersistentFlagDirname("root")
}

// open finds the gateway that the flags name.
func (s *settings) open(ctx context.Context) (*deployment.Deployment, error) {
	return deployment.Open(ctx, deployment.Target{Stack: s.stack, Profile: s.profile, Region: s.region, Root: s.root})
}

// Errors that say how a command ends.
var (
	// errUsage marks what is wrong with a command line; see usage.
	errUsage = errors.New("usage")
	// errSilent ends a command with failedStatus when its output has said why.
	errSilent = errors.New("the command has said what is wrong")
)

// usage returns an error that ends the command with usageStatus.
func usage(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

type usageError struct{ text string }

func (e usageError) Error() string        { return e.text }
func (e usageError) Is(target error) bool { return target == errUsage }

// consent is the flag --yes of the commands that write, and what they do before they write.
type consent struct{ yes bool }

func (c *consent) register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask before writing")
}

// errNoConsent says that nothing was written because nobody agreed.
var errNoConsent = errors.New("nothing was changed; agree, or pass --yes")

// write says where something is about to be written and, on a terminal, asks. Scripts, which have none, go on; but for
// what cannot be undone they must pass --yes.
func (c *consent) write(cmd *cobra.Command, d *deployment.Deployment, what string, final bool) error {
	ctx, log := cmd.Context(), cmd.ErrOrStderr()
	if err := d.Identify(ctx); err != nil {
		return err
	}
	fmt.Fprintf(log, "%s\n", d)
	if c.yes {
		return nil
	}
	if !isTerminal(cmd.InOrStdin()) && !final {
		return nil
	}
	agreed, err := ask(ctx, cmd.InOrStdin(), log, what+" Go on?")
	if err != nil {
		return err
	}
	if !agreed {
		return errNoConsent
	}
	return nil
}

// ask puts a question and waits for a line, or until ctx ends.
func ask(ctx context.Context, in io.Reader, log io.Writer, question string) (bool, error) {
	fmt.Fprintf(log, "%s [y/N] ", question)
	type answer struct {
		line string
		err  error
	}
	// A read from a terminal cannot be cut short; the process is about to end when ctx is.
	read := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		read <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(log)
		return false, ctx.Err()
	case a := <-read:
		if a.err != nil {
			fmt.Fprintln(log)
		}
		return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(a.line))), nil
	}
}

// isTerminal tells whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour tells whether out is a terminal whose user has not asked for plain text (https://no-color.org).
func colour(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && !slices.Contains([]string{"", "dumb"}, os.Getenv("TERM"))
}

// The colours of words that say how something stands.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// painted puts a word into a colour where out shows colours.
func painted(out io.Writer, colourCode, word string) string {
	if !colour(out) {
		return word
	}
	return "\x1b[" + colourCode + "m" + word + "\x1b[0m"
}

// emit writes a value as one line of JSON.
func emit(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// newTable starts a table with a head; its rows are lines of columns with tabs between them, and Flush ends it.
func newTable(out io.Writer, head ...string) *tabwriter.Writer {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(head) > 0 {
		row(table, head...)
	}
	return table
}

// row writes one row of a table.
func row(table io.Writer, columns ...string) {
	// tabwriter keeps what it is given until Flush, which tells of errors.
	fmt.Fprintln(table, strings.Join(columns, "\t"))
}

// printJSON prints a JSON text indented, as it came otherwise.
func printJSON(out io.Writer, body []byte) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, body, "", "  "); err != nil {
		pretty.Reset()
		pretty.Write(body)
	}
	_, err := fmt.Fprintln(out, strings.TrimSpace(pretty.String()))
	return err
}

func orDash(s string) string { return cmp.Or(s, "-") }

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
