package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
)

func callCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "call",
		Short: "Make a signed call as a parking vendor does",
		Long: `Make a signed call as a parking vendor does. Without --base-url the call goes to the running local stack, as its
demo vendor. The secret (whsec_…) is read from the environment variable PARKCTL_REQUEST_SECRET, never from a flag.`,
	}
	cmd.AddCommand(callParkingCommand(), callEntryCommand())
	return cmd
}

// callOptions are the flags that both calls have.
type callOptions struct {
	root, baseURL, vendorID, webhookID, plate string
}

func (o *callOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.root, "root", ".", "the project's folder, where the running local stack is found")
	cmd.Flags().StringVar(&o.baseURL, "base-url", "", "the gateway's address (default: the running local stack)")
	cmd.Flags().StringVar(&o.vendorID, "vendor", fixture.VendorID, "vendor id")
	cmd.Flags().StringVar(&o.webhookID, "webhook-id", "", "id of the fact, the idempotency key (default: a new one)")
	cmd.Flags().StringVar(&o.plate, "plate", fixture.Plate, "plate number")
}

func callParkingCommand() *cobra.Command {
	var options callOptions
	state, openID, at := "IN", fixture.OpenID, ""
	cmd := &cobra.Command{
		Use:     "parking",
		Short:   "A member's car drove in or out (商圈会员停车状态同步)",
		Example: "  parkctl call parking --state OUT\n  parkctl call parking --plate 粤b888888   # a mistake, and how it is answered",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if at == "" {
				at = time.Now().Format(time.RFC3339)
			}
			return call(cmd.Context(), cmd.OutOrStdout(), options, demovendor.Parkings, map[string]any{
				"openid": openID, "plate_number": options.plate, "state": state, "time": at,
			})
		},
	}
	options.register(cmd)
	cmd.Flags().StringVar(&state, "state", state, "IN or OUT")
	cmd.Flags().StringVar(&openID, "openid", openID, "the member's openid under the brand's appid")
	cmd.Flags().StringVar(&at, "time", "", "RFC 3339 with offset (default: now)")
	return cmd
}

func callEntryCommand() *cobra.Command {
	var options callOptions
	parking, at := fixture.ParkingName, ""
	cmd := &cobra.Command{
		Use:     "entry",
		Short:   "A car entered a car park: may it leave by password-free payment? (用户入场通知)",
		Example: "  parkctl call entry --plate 京A12345",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if at == "" {
				at = time.Now().Format(time.RFC3339)
			}
			return call(cmd.Context(), cmd.OutOrStdout(), options, demovendor.Entry, map[string]any{
				"trade_scene": "PARKING", "start_time": at, "plate_number": options.plate, "parking_name": parking, "free_time": 1200,
			})
		},
	}
	options.register(cmd)
	cmd.Flags().StringVar(&parking, "parking-name", parking, "the car park's name")
	cmd.Flags().StringVar(&at, "time", "", "RFC 3339 with offset (default: now)")
	return cmd
}

func call(ctx context.Context, out io.Writer, options callOptions, route string, fields map[string]any) error {
	baseURL, secret := options.baseURL, os.Getenv("PARKCTL_REQUEST_SECRET")
	if baseURL == "" {
		state, err := stack.ReadState(options.root)
		if err != nil {
			return err
		}
		baseURL = state.BaseURL
		if secret == "" {
			secret = state.RequestSecrets[options.vendorID]
		}
	}
	if secret == "" {
		return fmt.Errorf("no secret for vendor %s: set PARKCTL_REQUEST_SECRET to its request secret (whsec_…)", options.vendorID)
	}
	vendor, err := demovendor.New(options.vendorID, secret, baseURL, time.Now)
	if err != nil {
		return err
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	webhookID := options.webhookID
	if webhookID == "" {
		webhookID = "call-" + rand.Text()
	}
	answer, err := vendor.Call(ctx, route, webhookID, body)
	if err != nil {
		return fmt.Errorf("the gateway does not answer: %w", err)
	}
	fmt.Fprintf(out, "POST %s%s\nwebhook-id: %s\n%s\n\nHTTP %d in %d ms\n", baseURL, vendor.Path(route), webhookID, body,
		answer.Status, answer.Took.Milliseconds())
	for _, name := range []string{"Request-Id", "Retry-After", "Idempotency-Replayed"} {
		if value := answer.Header.Get(name); value != "" {
			fmt.Fprintf(out, "%s: %s\n", name, value)
		}
	}
	if len(answer.Body) > 0 {
		if err := printJSON(out, answer.Body); err != nil {
			return err
		}
	}
	if answer.Status >= 300 {
		return fmt.Errorf("the gateway refused the call (%d)", answer.Status)
	}
	return nil
}
