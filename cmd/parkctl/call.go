package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/handover"
	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
)

func callCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "call",
		Short: "Make a signed call as a parking vendor does",
		Long: `Make a signed call as a parking vendor does, to the gateway that --stack names, or to the one of a hand-over file.

The secret is never given by a flag. It comes from the environment variable ` + secretVariable + ` (whsec_…), else from the
hand-over file, else from the vendors' secret of the stack.`,
		Example: `  parkctl call parking --state IN                                  # to the running local stack, as its demo vendor
  parkctl call entry --handover acme-parking.gateway.env                  # to any gateway, as the vendor of a hand-over file
  parkctl call parking --stack parking-prod --vendor acme-parking`,
	}
	cmd.AddCommand(callInfoCommand(s), callParkingCommand(s), callEntryCommand(s))
	return cmd
}

// secretVariable names the environment variable with the secret that calls are signed with.
const secretVariable = "PARKCTL_REQUEST_SECRET"

// callOptions are the flags that both calls have.
type callOptions struct {
	*settings
	baseURL, vendorID, handover, webhookID, plate string
}

func (o *callOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.baseURL, "base-url", "", "the gateway's address (default: the stack's, or the hand-over file's)")
	cmd.Flags().StringVar(&o.handover, "handover", "", "hand-over file that `parkctl vendor add` wrote: address, vendor and secret")
	cmd.Flags().StringVar(&o.vendorID, "vendor", "", "vendor id (default: the hand-over file's, or "+fixture.VendorID+" on the local stack)")
	cmd.Flags().StringVar(&o.webhookID, "webhook-id", "", "id of the fact, the idempotency key (default: a new one)")
	completeVendors(cmd, o.settings, "vendor")
}

func callInfoCommand(s *settings) *cobra.Command {
	options := callOptions{settings: s}
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Ask the gateway what is configured for the vendor: proves address, id and secret, and reaches no car",
		Example: `  parkctl call info --handover acme-parking.gateway.env
  parkctl call info --stack parking-prod --vendor acme-parking`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return options.call(ctx, cmd.OutOrStdout(), func(vendor *demovendor.Vendor, webhookID string) (called, demovendor.Answer, error) {
				answer, err := vendor.Info(ctx, webhookID)
				return called{Method: http.MethodGet, URL: vendor.InfoPath()}, answer, err
			})
		},
	}
	options.register(cmd)
	return cmd
}

func callParkingCommand(s *settings) *cobra.Command {
	options := callOptions{settings: s}
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
	cmd.Flags().StringVar(&options.plate, "plate", fixture.Plate, "plate number")
	cmd.Flags().StringVar(&state, "state", state, "IN or OUT")
	cmd.Flags().StringVar(&openID, "openid", openID, "the member's openid under the brand's appid")
	cmd.Flags().StringVar(&at, "time", "", "RFC 3339 with offset (default: now)")
	return cmd
}

func callEntryCommand(s *settings) *cobra.Command {
	options := callOptions{settings: s}
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
	cmd.Flags().StringVar(&options.plate, "plate", fixture.Plate, "plate number")
	cmd.Flags().StringVar(&parking, "parking-name", parking, "the car park's name")
	cmd.Flags().StringVar(&at, "time", "", "RFC 3339 with offset (default: now)")
	return cmd
}

// caller returns the vendor to call as, and the gateway's address.
func (o *callOptions) caller(ctx context.Context) (*demovendor.Vendor, string, error) {
	baseURL, vendorID, secret := o.baseURL, o.vendorID, os.Getenv(secretVariable)
	if o.handover != "" {
		file, err := handover.Read(o.handover)
		if err != nil {
			return nil, "", err
		}
		if vendorID != "" && vendorID != file.VendorID {
			return nil, "", usage("the hand-over file is for vendor %s, --vendor says another", file.VendorID)
		}
		baseURL, vendorID, secret = cmp.Or(baseURL, file.BaseURL), file.VendorID, cmp.Or(secret, file.RequestSecret)
	}
	if baseURL == "" || secret == "" {
		d, err := o.open(ctx)
		if err != nil {
			return nil, "", err
		}
		if d.Local {
			vendorID = cmp.Or(vendorID, fixture.VendorID)
		}
		baseURL = cmp.Or(baseURL, d.BaseURL)
		if vendorID != "" && secret == "" {
			if secret, err = d.RequestSecret(ctx, vendorID); err != nil {
				return nil, "", fmt.Errorf("%w (or set %s)", err, secretVariable)
			}
		}
	}
	if vendorID == "" {
		return nil, "", usage("name the vendor with --vendor, or give its --handover file")
	}
	if baseURL == "" {
		return nil, "", usage("the stack %s has no output ApiUrl; name the gateway's address with --base-url", o.stack)
	}
	baseURL = strings.TrimSuffix(baseURL, "/")
	vendor, err := demovendor.New(vendorID, secret, baseURL, time.Now)
	return vendor, baseURL, err
}

func call(ctx context.Context, out io.Writer, options callOptions, route string, fields map[string]any) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return options.call(ctx, out, func(vendor *demovendor.Vendor, webhookID string) (called, demovendor.Answer, error) {
		answer, err := vendor.Call(ctx, route, webhookID, body)
		return called{Method: http.MethodPost, URL: vendor.Path(route), Request: body}, answer, err
	})
}

// call makes a call as the vendor of the flags and tells what came of it.
func (o *callOptions) call(ctx context.Context, out io.Writer, do func(vendor *demovendor.Vendor, webhookID string) (called, demovendor.Answer, error)) error {
	vendor, baseURL, err := o.caller(ctx)
	if err != nil {
		return err
	}
	webhookID := cmp.Or(o.webhookID, "call-"+rand.Text())
	c, answer, err := do(vendor, webhookID)
	if err != nil {
		return fmt.Errorf("the gateway does not answer: %w", err)
	}
	c.URL, c.WebhookID = baseURL+c.URL, webhookID
	c.take(answer)
	if o.json {
		err = emit(out, c)
	} else {
		err = c.write(out, answer.Body)
	}
	if err == nil && answer.Status >= 300 {
		err = fmt.Errorf("the gateway refused the call (%d)", answer.Status)
	}
	return err
}

// answerHeaders are the headers of an answer that tell its reader something.
var answerHeaders = []string{"Request-Id", "Retry-After", "Idempotency-Replayed"}

// called is a call and its answer, for machines.
type called struct {
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	WebhookID string            `json:"webhook_id"`
	Request   json.RawMessage   `json:"request,omitzero"`
	Status    int               `json:"status"`
	TookMS    int64             `json:"took_ms"`
	Headers   map[string]string `json:"headers"`
	Body      any               `json:"body,omitzero"`
}

func (c *called) take(answer demovendor.Answer) {
	c.Status, c.TookMS, c.Headers = answer.Status, answer.Took.Milliseconds(), map[string]string{}
	for _, name := range answerHeaders {
		if value := answer.Header.Get(name); value != "" {
			c.Headers[name] = value
		}
	}
	switch {
	case json.Valid(answer.Body):
		c.Body = json.RawMessage(answer.Body)
	case len(answer.Body) > 0:
		c.Body = string(answer.Body)
	}
}

// write writes a call for people.
func (c *called) write(out io.Writer, body []byte) error {
	text := fmt.Sprintf("%s %s\nwebhook-id: %s\n", c.Method, c.URL, c.WebhookID)
	if len(c.Request) > 0 {
		text += string(c.Request) + "\n"
	}
	text += fmt.Sprintf("\nHTTP %d in %d ms\n", c.Status, c.TookMS)
	for _, name := range answerHeaders {
		if value := c.Headers[name]; value != "" {
			text += name + ": " + value + "\n"
		}
	}
	if _, err := io.WriteString(out, text); err != nil || len(body) == 0 {
		return err
	}
	return printJSON(out, body)
}

// completeVendors completes a flag with the ids of the gateway's vendors: those that the local stack's state file names, or
// what the stack's secrets say within a moment.
func completeVendors(cmd *cobra.Command, s *settings, flag string) {
	// It fails for a flag that does not exist alone.
	_ = cmd.RegisterFlagCompletionFunc(flag, vendorIDs(s))
}

const completionPatience = 3 * time.Second

func vendorIDs(s *settings) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		d, err := s.open(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ids, err := d.VendorIDs(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
