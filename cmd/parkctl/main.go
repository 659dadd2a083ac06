// Command parkctl is the operator's and developer's tool of the WeChat Parking Gateway.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// interruptedStatus is what a shell gives a command that Ctrl-C ended before its work was done: 128 and SIGINT's number.
const interruptedStatus = 130

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err == nil:
	case interrupted && errors.Is(err, context.Canceled):
		os.Exit(interruptedStatus)
	default:
		fmt.Fprintln(os.Stderr, "parkctl:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parkctl",
		Short: "Run the WeChat Parking Gateway on this machine, and call it",
		Long: `parkctl runs the WeChat Parking Gateway on this machine, without Docker and without an AWS account, and
calls a gateway as a parking vendor does.`,
		Example: `  parkctl local serve                 # the whole gateway on http://127.0.0.1:8080, until Ctrl-C
  parkctl local demo                  # play one car's visit, exit 1 if any step is wrong
  parkctl call parking --state OUT    # a signed call to the running local stack
  parkctl local trigger blocked       # let WeChat Pay report that the plate is blocked`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(localCommand(), callCommand(), eventsCommand())
	return cmd
}
