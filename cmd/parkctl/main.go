// Command parkctl is the operator's and developer's tool of the WeChat Parking Gateway.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"wechat-parking-gateway/shared/secretstore"
)

// The statuses that parkctl ends with. They are part of its interface: docs/parkctl.md and `parkctl --help` list them.
const (
	// failedStatus: the command ran and the answer is no. Something was refused, is wrong, or could not be reached.
	failedStatus = 1
	// usageStatus: the command was not understood, and nothing was done.
	usageStatus = 2
	// interruptedStatus is what a shell gives a command that Ctrl-C ended before its work was done: 128 and SIGINT's number.
	interruptedStatus = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks the command to end; with the handler gone, a second one ends it at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command line and returns the status to end with.
func run(ctx context.Context, args []string, in io.Reader, out, log io.Writer) int {
	s := &settings{}
	cmd := root(s)
	cmd.SetArgs(args)
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(log)
	if group, typed := unknownCommand(cmd, args); group != nil {
		fmt.Fprintf(log, "parkctl: unknown command %q for %q\n%sSee `%[2]s --help`.\n", typed, group.CommandPath(), meant(group, typed))
		return usageStatus
	}
	failed, err := cmd.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		if errors.Is(err, secretstore.ErrUnknownOutcome) {
			fmt.Fprintln(log, "parkctl:", err) // what was cut short matters here
		}
		return interruptedStatus
	case errors.Is(err, errSilent):
		return failedStatus
	case !s.started || errors.Is(err, errUsage):
		fmt.Fprintf(log, "parkctl: %v\nUsage: %s\nSee `%s --help`.\n", err, failed.UseLine(), failed.CommandPath())
		return usageStatus
	}
	fmt.Fprintln(log, "parkctl:", err)
	return failedStatus
}

// unknownCommand finds a word that should be the name of a command and is not. Of a group's, cobra itself would show the
// help and end with 0, and a script would not notice its typing mistake.
func unknownCommand(root *cobra.Command, args []string) (group *cobra.Command, typed string) {
	found, rest, err := root.Find(args)
	if err != nil || found.Runnable() || found.ParseFlags(rest) != nil || found.Flags().NArg() == 0 {
		return nil, ""
	}
	return found, found.Flags().Arg(0)
}

// meant says which of a group's commands is spelled nearly as typed.
func meant(group *cobra.Command, typed string) string {
	group.SuggestionsMinimumDistance = 2
	near := group.SuggestionsFor(typed)
	if len(near) == 0 {
		return ""
	}
	return "Did you mean " + strings.Join(near, ", or ") + "?\n"
}

// badFlag says what a flag wants without words of Go's.
func badFlag(_ *cobra.Command, err error) error {
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		return usage("%s: want a number", strings.TrimSuffix(err.Error(), ": "+number.Error()))
	}
	return err
}

// root makes the tree of commands, which share s.
func root(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parkctl",
		Short: "Run the WeChat Parking Gateway, look after it, and call it",
		Long: `parkctl looks after a deployed WeChat Parking Gateway, runs one on this machine without Docker and without an AWS account,
and calls either as a parking vendor does.

Which gateway is meant is said by --stack: the name of a CloudFormation stack, or "local" for the one that "parkctl local
serve" runs in this folder. What a command needs of it (the names of its secrets, its queues, its address) is read from the
stack. Before anything is written, profile, region, account and stack are printed, and on a terminal parkctl asks.

Results go to standard output: tables for people, with --json one JSON object a line for machines. All else goes to standard
error.

Exit status: 0 done; 1 refused, found wrong, or out of reach; 2 the command line was not understood, nothing was done;
130 interrupted.`,
		Example: `  parkctl local serve                                    # the whole gateway on http://127.0.0.1:8080, until Ctrl-C
  parkctl call parking --state OUT                       # a signed call to it
  parkctl doctor --profile prod --stack parking-prod     # is everything in order there?
  source <(parkctl completion bash)                      # complete commands, flags and vendors with Tab`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	s.register(cmd)
	cmd.SetFlagErrorFunc(badFlag)
	cmd.AddGroup(
		&cobra.Group{ID: operatorGroup, Title: "To look after a gateway:"},
		&cobra.Group{ID: developerGroup, Title: "To try things out:"},
	)
	grouped(cmd, operatorGroup, secretCommand(s), vendorCommand(s), eventsCommand(s), traceCommand(s), explainCommand(s), doctorCommand(s))
	grouped(cmd, developerGroup, localCommand(s), callCommand(s))
	cmd.AddCommand(versionCommand(s))
	noteStart(cmd, s)
	return cmd
}

// The groups that `parkctl --help` shows the commands in.
const (
	operatorGroup  = "operator"
	developerGroup = "developer"
)

func grouped(parent *cobra.Command, group string, children ...*cobra.Command) {
	for _, child := range children {
		child.GroupID = group
		parent.AddCommand(child)
	}
}

// noteStart makes every command note that it has begun: what fails before that is the command line's fault.
func noteStart(cmd *cobra.Command, s *settings) {
	if do := cmd.RunE; do != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			s.started = true
			return do(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		noteStart(child, s)
	}
}
