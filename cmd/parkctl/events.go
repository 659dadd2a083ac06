package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/deadletter"
	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/local/stack"
)

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "See what could not be delivered to vendors, send it again or drop it",
		Long: `See what could not be delivered to vendors, send it again or drop it.

The queues are those of the running local stack, or of a deployed one with --queue-url and --dead-letter-queue-url, which are
the stack's outputs EventsQueueUrl and EventsDeadLetterQueueUrl; then the AWS profile and region of the environment are used.
While a command looks at the dead-letter queue, what it has seen is hidden from others for up to 5 minutes.`,
	}
	cmd.AddCommand(eventsListCommand(), eventsReplayCommand(), eventsDropCommand())
	return cmd
}

// eventsOptions are the flags of the three commands.
type eventsOptions struct {
	root, queueURL, deadLetterURL string
	vendor, reason                string
	all, yes, json                bool
}

func (o *eventsOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.root, "root", ".", "the project's folder, where the running local stack is found")
	cmd.Flags().StringVar(&o.queueURL, "queue-url", "", "URL of a deployed stack's events queue")
	cmd.Flags().StringVar(&o.deadLetterURL, "dead-letter-queue-url", "", "URL of its dead-letter queue")
	cmd.Flags().StringVar(&o.vendor, "vendor", "", "only this vendor's")
	cmd.Flags().StringVar(&o.reason, "reason", "", "only those whose reason starts with this")
}

func eventsListCommand() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List undelivered events: why, since when, for whom",
		Example: "  parkctl events list\n  parkctl events list --vendor demo-parking --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.list(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "one JSON object a line, for machines")
	return cmd
}

func eventsReplayCommand() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:     "replay {--all | EVENT_ID...}",
		Short:   "Send undelivered events again, under the same ids",
		Example: "  parkctl events replay evt_4fd06cd4e5268e395f91928df3ab522e9877e6df\n  parkctl events replay --all --vendor demo-parking",
		RunE: func(cmd *cobra.Command, ids []string) error {
			return o.settle(cmd.Context(), cmd.ErrOrStderr(), ids, "sent again", (*deadletter.Queues).Replay)
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&o.all, "all", false, "all that --vendor and --reason let through")
	return cmd
}

func eventsDropCommand() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:     "drop {--all | EVENT_ID...}",
		Short:   "Delete undelivered events for good",
		Example: "  parkctl events drop --all --reason vendor_disabled",
		RunE: func(cmd *cobra.Command, ids []string) error {
			if !o.yes && !confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), "Undelivered events will be deleted for good. Go on?") {
				return errors.New("nothing was deleted; confirm, or pass --yes")
			}
			return o.settle(cmd.Context(), cmd.ErrOrStderr(), ids, "dropped", (*deadletter.Queues).Drop)
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&o.all, "all", false, "all that --vendor and --reason let through")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}

// queues returns the queues that the flags name, and says where they are.
func (o *eventsOptions) queues(ctx context.Context, log io.Writer) (*deadletter.Queues, error) {
	if o.queueURL == "" && o.deadLetterURL == "" {
		state, err := stack.ReadState(o.root)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(log, "queues of the local stack at %s\n", state.BaseURL)
		return &deadletter.Queues{
			API: sqs.NewFromConfig(moto.Config(state.AWSEndpoint)), EventsURL: state.EventsQueueURL, DeadLetterURL: state.DeadLetterQueueURL,
		}, nil
	}
	if o.queueURL == "" || o.deadLetterURL == "" {
		return nil, errors.New("name both --queue-url and --dead-letter-queue-url")
	}
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	fmt.Fprintf(log, "queues in region %s\n", aws.Region)
	return &deadletter.Queues{API: sqs.NewFromConfig(aws), EventsURL: o.queueURL, DeadLetterURL: o.deadLetterURL}, nil
}

func (o *eventsOptions) wants(l deadletter.Letter) bool {
	return (o.vendor == "" || o.vendor == l.VendorID) && strings.HasPrefix(l.Reason, o.reason)
}

func (o *eventsOptions) list(ctx context.Context, out, log io.Writer) error {
	queues, err := o.queues(ctx, log)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !o.json {
		fmt.Fprintln(table, "EVENT\tVENDOR\tTYPE\tREASON\tTRIES\tFIRST TRY\tPARKED")
	}
	found := 0
	err = queues.Walk(ctx, func(l deadletter.Letter) (bool, error) {
		if !o.wants(l) {
			return false, nil
		}
		found++
		if o.json {
			return false, json.NewEncoder(out).Encode(l)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", orDash(l.EventID), orDash(l.VendorID), orDash(l.Type), l.Reason, l.Tries,
			stamp(l.FirstTry), stamp(l.ParkedAt))
		return false, nil
	})
	if !o.json {
		if flushErr := table.Flush(); err == nil {
			err = flushErr
		}
	}
	fmt.Fprintf(log, "%d undelivered\n", found)
	return err
}

// settle walks the dead-letter queue and deals with the letters that are asked for, telling how far it is.
func (o *eventsOptions) settle(ctx context.Context, log io.Writer, ids []string, done string, deal func(*deadletter.Queues, context.Context, deadletter.Letter) error) error {
	if o.all == (len(ids) > 0) {
		return errors.New("name the events, or pass --all")
	}
	queues, err := o.queues(ctx, log)
	if err != nil {
		return err
	}
	settled, missing, dealt := 0, slices.Clone(ids), map[string]bool{}
	err = queues.Walk(ctx, func(l deadletter.Letter) (bool, error) {
		if !o.wants(l) || !o.all && !slices.Contains(ids, l.EventID) {
			return false, nil
		}
		// What was sent again may be back at once, for the same reason; once more in this run would go on for ever.
		if l.EventID != "" && dealt[l.EventID] {
			fmt.Fprintf(log, "%s is back: %s\n", l.EventID, l.Reason)
			return false, nil
		}
		if err := deal(queues, ctx, l); err != nil {
			if errors.Is(err, deadletter.ErrUnreadable) {
				fmt.Fprintln(log, "a message that is no event was left alone; drop it")
				return false, nil
			}
			return false, err
		}
		settled++
		dealt[l.EventID] = true
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == l.EventID })
		if settled%100 == 0 {
			fmt.Fprintf(log, "%d %s …\n", settled, done)
		}
		return true, nil
	})
	fmt.Fprintf(log, "%d %s\n", settled, done)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("not on the dead-letter queue: %s", strings.Join(missing, ", "))
	}
	return err
}

func confirm(in io.Reader, log io.Writer, question string) bool {
	fmt.Fprintf(log, "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(log)
		return false
	}
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line)))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
