package main

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/deployment"
	"wechat-parking-gateway/cmd/parkctl/vendorbook"
	"wechat-parking-gateway/shared/delivery"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/idempotency"
)

// lookEvery is how long ping waits before it looks again whether the vendor took its event.
const lookEvery = 250 * time.Millisecond

func vendorPingCommand(s *settings) *cobra.Command {
	o := &vendorOptions{settings: s}
	var wait time.Duration
	return withWait(vendorEdit(o, &cobra.Command{
		Use:   "ping VENDOR",
		Short: "Send a vendor the event gateway.ping, and see whether it takes it",
		Long: `Send a vendor the event gateway.ping by the way that every event takes, and see whether it takes it: address, certificate,
signature and answer are proven before the first car comes. A vendor that does not take it is tried again for 5 minutes; then
the event and its reason are on the dead-letter queue. Exit 1 when it was not taken within --wait.`,
		Example: "  parkctl vendor ping demo-parking\n  parkctl vendor ping acme-parking --stack parking-prod --wait 2m",
	}, func(cmd *cobra.Command, b *book, id, _ string, v vendorbook.Vendor) error {
		switch {
		case v.Disabled:
			return fmt.Errorf("vendor %s is disabled: parkctl vendor enable %s", id, id)
		case v.WebhookURL == "":
			return fmt.Errorf("vendor %s has no webhook_url: parkctl vendor update %s --webhook-url https://…", id, id)
		case len(v.WebhookSecrets) == 0:
			return fmt.Errorf("vendor %s has no webhook secret: parkctl vendor rotate %s --only webhook", id, id)
		case b.EventsQueueURL == "":
			return fmt.Errorf("the stack %s has no output EventsQueueUrl", b.Stack)
		}
		if err := o.write(cmd, b.Deployment, fmt.Sprintf("Vendor %s will be sent a gateway.ping.", id), false); err != nil {
			return err
		}
		ping := event.Ping(id, rand.Text(), time.Now())
		ctx := cmd.Context()
		if err := event.NewQueue(sqs.NewFromConfig(b.AWS), b.EventsQueueURL).Send(ctx, []event.Message{ping}); err != nil {
			return deployment.Plain(err)
		}
		if wait > 0 && !o.json {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is on its way to %s; this waits for %s at the most.\n", ping.ID, id, wait)
		}
		started, taken := time.Now(), false
		for table := dynamodb.NewFromConfig(b.AWS); wait > 0 && time.Since(started) < wait; {
			var err error
			if taken, err = idempotency.Answered(ctx, table, b.Table, delivery.DeliveredKey(id, ping.ID), time.Now()); err != nil {
				return deployment.Plain(err)
			}
			if taken {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(lookEvery):
			}
		}
		took := time.Since(started).Round(10 * time.Millisecond)
		if o.json {
			if err := emit(cmd.OutOrStdout(), pinged{id, ping.ID, taken, took.Milliseconds()}); err != nil {
				return err
			}
			if !taken && wait > 0 {
				return errSilent
			}
			return nil
		}
		out := cmd.OutOrStdout()
		switch {
		case taken:
			fmt.Fprintf(out, "%s took %s after %s.\n", id, ping.ID, took)
			return nil
		case wait <= 0:
			fmt.Fprintf(out, "%s is on its way to %s.\n", ping.ID, id)
			return nil
		}
		return fmt.Errorf("%s has not taken %s within %s; it is tried for 5 minutes in all. Then: parkctl events list --vendor %s", id, ping.ID, wait, id)
	}), &wait)
}

// pinged is what became of a ping, for machines.
type pinged struct {
	Vendor  string `json:"vendor"`
	EventID string `json:"event_id"`
	Taken   bool   `json:"taken"`
	AfterMS int64  `json:"after_ms"`
}

func withWait(cmd *cobra.Command, wait *time.Duration) *cobra.Command {
	cmd.Flags().DurationVar(wait, "wait", 30*time.Second, "how long to wait for the vendor; 0 does not")
	return cmd
}
