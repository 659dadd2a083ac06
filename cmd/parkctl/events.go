package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/deadletter"
	"wechat-parking-gateway/cmd/parkctl/deployment"
)

func eventsCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "See what could not be delivered to vendors, send it again or drop it",
		Long: `See what could not be delivered to vendors, send it again or drop it.

The queues are those of the gateway that --stack names, by its outputs EventsQueueUrl and EventsDeadLetterQueueUrl.
While a command looks at the dead-letter queue, what it has seen is hidden from others for up to 5 minutes.`,
		Example: `  parkctl events list --stack parking-prod
  parkctl events replay --all --vendor acme-parking --stack parking-prod`,
	}
	cmd.AddCommand(eventsListCommand(s), eventsReplayCommand(s), eventsDropCommand(s))
	return cmd
}

// eventsOptions are the flags of the three commands.
type eventsOptions struct {
	*settings
	consent
	queueURL, deadLetterURL string
	vendor, reason          string
	all                     bool
}

func (o *eventsOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.queueURL, "queue-url", "", "URL of the events queue (default: the stack's)")
	cmd.Flags().StringVar(&o.deadLetterURL, "dead-letter-queue-url", "", "URL of its dead-letter queue (default: the stack's)")
	cmd.Flags().StringVar(&o.vendor, "vendor", "", "only this vendor's")
	cmd.Flags().StringVar(&o.reason, "reason", "", "only those whose reason starts with this")
	completeVendors(cmd, o.settings, "vendor")
}

func eventsListCommand(s *settings) *cobra.Command {
	o := eventsOptions{settings: s}
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
	return cmd
}

func eventsReplayCommand(s *settings) *cobra.Command {
	o := eventsOptions{settings: s}
	cmd := &cobra.Command{
		Use:     "replay {--all | EVENT_ID...}",
		Short:   "Send undelivered events again, under the same ids",
		Example: "  parkctl events replay evt_4fd06cd4e5268e395f91928df3ab522e9877e6df\n  parkctl events replay --all --vendor demo-parking",
		RunE: func(cmd *cobra.Command, ids []string) error {
			return o.settle(cmd, ids, settling{"Undelivered events will be sent again.", "sent again", false, (*deadletter.Queues).Replay})
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&o.all, "all", false, "all that --vendor and --reason let through")
	o.consent.register(cmd)
	return cmd
}

func eventsDropCommand(s *settings) *cobra.Command {
	o := eventsOptions{settings: s}
	cmd := &cobra.Command{
		Use:     "drop {--all | EVENT_ID...}",
		Short:   "Delete undelivered events for good",
		Example: "  parkctl events drop --all --reason vendor_disabled",
		RunE: func(cmd *cobra.Command, ids []string) error {
			return o.settle(cmd, ids, settling{"Undelivered events will be deleted for good.", "dropped", true, (*deadletter.Queues).Drop})
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&o.all, "all", false, "all that --vendor and --reason let through")
	o.consent.register(cmd)
	return cmd
}

// queues returns the queues that the flags name, and the gateway that they belong to.
func (o *eventsOptions) queues(ctx context.Context) (*deadletter.Queues, *deployment.Deployment, error) {
	d, err := o.open(ctx)
	if errors.Is(err, deployment.ErrNoStack) && o.queueURL != "" && o.deadLetterURL != "" {
		err = nil // a deleted stack leaves its queues
	}
	if err != nil {
		return nil, nil, err
	}
	queues := &deadletter.Queues{
		API: sqs.NewFromConfig(d.AWS), EventsURL: cmp.Or(o.queueURL, d.EventsQueueURL), DeadLetterURL: cmp.Or(o.deadLetterURL, d.DeadLetterQueueURL),
	}
	if queues.EventsURL == "" || queues.DeadLetterURL == "" {
		return nil, nil, fmt.Errorf("the stack %s has no outputs EventsQueueUrl and EventsDeadLetterQueueUrl: name both --queue-url and --dead-letter-queue-url", d.Stack)
	}
	return queues, d, nil
}

func (o *eventsOptions) wants(l deadletter.Letter) bool {
	return (o.vendor == "" || o.vendor == l.VendorID) && strings.HasPrefix(l.Reason, o.reason)
}

func (o *eventsOptions) list(ctx context.Context, out, log io.Writer) error {
	queues, _, err := o.queues(ctx)
	if err != nil {
		return err
	}
	table := newTable(out)
	if !o.json {
		row(table, "EVENT", "VENDOR", "TYPE", "REASON", "TRIES", "FIRST TRY", "PARKED")
	}
	found := 0
	err = queues.Walk(ctx, func(l deadletter.Letter) (bool, error) {
		if !o.wants(l) {
			return false, nil
		}
		found++
		if o.json {
			return false, emit(out, l)
		}
		row(table, orDash(l.EventID), orDash(l.VendorID), orDash(l.Type), l.Reason, strconv.Itoa(l.Tries), stamp(l.FirstTry), stamp(l.ParkedAt))
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

// settling is what becomes of letters.
type settling struct {
	// what says it beforehand, and done afterwards; final means that it cannot be undone.
	what, done string
	final      bool
	deal       func(*deadletter.Queues, context.Context, deadletter.Letter) error
}

// settle walks the dead-letter queue and deals with the letters that are asked for, telling how far it is.
func (o *eventsOptions) settle(cmd *cobra.Command, ids []string, how settling) error {
	ctx, log, done := cmd.Context(), cmd.ErrOrStderr(), how.done
	if o.all == (len(ids) > 0) {
		return usage("name the events, or pass --all")
	}
	queues, d, err := o.queues(ctx)
	if err != nil {
		return err
	}
	if err := o.write(cmd, d, how.what, how.final); err != nil {
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
		if err := how.deal(queues, ctx, l); err != nil {
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
	if o.json {
		err = errors.Join(err, emit(cmd.OutOrStdout(), map[string]int{strings.ReplaceAll(done, " ", "_"): settled}))
	}
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("not on the dead-letter queue: %s", strings.Join(missing, ", "))
	}
	return err
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
