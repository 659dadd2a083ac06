package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/deployment"
	"wechat-parking-gateway/cmd/parkctl/logtrail"
	"wechat-parking-gateway/shared/plate"
	"wechat-parking-gateway/shared/secretstore"
	"wechat-parking-gateway/shared/telemetry"
)

func traceCommand(s *settings) *cobra.Command {
	o := traceOptions{settings: s}
	cmd := &cobra.Command{
		Use:   "trace {--plate PLATE | --id ID}",
		Short: "Find a car's visit in the logs, over all functions",
		Long: `Find a car's visit in the logs, over all functions: the vendor's calls, WeChat Pay's callbacks, the events' deliveries.

No log holds a plate. It is looked for by its hash, keyed with log_hash_key of the merchant's secret, which has to be
readable; nothing that is printed holds the plate either, so that it may be passed on. Lines that were logged under another
log_hash_key are not found.

With --id it is looked for by what somebody has at hand: the Request-Id of an answer or a webhook, a trace id, an event id,
a webhook-id, or WeChat Pay's own Request-ID. Lines of the same traces and, by the hash of its openid, of the same member
are shown too.`,
		Example: `  parkctl trace --plate 京A12345 --since 2h
  parkctl trace --plate 京A12345 --since 24h --stack parking-prod
  parkctl trace --id evt_4fd06cd4e5268e395f91928df3ab522e9877e6df --stack parking-prod --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.trace(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.plate, "plate", "", "the car's plate")
	cmd.Flags().StringVar(&o.id, "id", "", "an id in place of a plate")
	cmd.Flags().DurationVar(&o.since, "since", 2*time.Hour, "how far back to look, such as 30m or 48h")
	cmd.Flags().StringVar(&o.functionLog, "function-log", "", "the local stack's log, if it is not build/local/functions.log")
	for _, name := range []string{"plate", "id", "since"} {
		// It fails for a flag that does not exist alone.
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

type traceOptions struct {
	*settings
	plate, id, functionLog string
	since                  time.Duration
}

// idForm is what can be an id of any kind.
var idForm = regexp.MustCompile(`^[A-Za-z0-9_=-]{1,64}$`)

// errNothingFound ends the command when no line was found.
var errNothingFound = errors.New("nothing was found")

func (o *traceOptions) trace(ctx context.Context, out, log io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	d, err := o.open(ctx)
	if err != nil {
		return err
	}
	id := o.id
	if o.plate != "" {
		if id, err = hashOf(ctx, d, o.plate); err != nil {
			return err
		}
		fmt.Fprintf(log, "plate_hash %s, stack %s, the last %v\n", id, d.Stack, o.since)
	} else {
		fmt.Fprintf(log, "id %s, stack %s, the last %v\n", id, d.Stack, o.since)
	}
	var source logtrail.Source = logtrail.CloudWatch{API: cloudwatchlogs.NewFromConfig(d.AWS), Stack: d.Stack}
	if d.Local {
		source = logtrail.File{Path: cmp.Or(o.functionLog, filepath.Join(o.root, "build", "local", "functions.log"))}
	}
	lines, err := logtrail.Follow(ctx, source, time.Now().Add(-o.since), id)
	if err != nil {
		return deployment.Plain(err)
	}
	if len(lines) == 0 {
		return fmt.Errorf("%w in the last %v: check the plate or id, --since and --stack; logs are kept for the stack's LogRetentionDays",
			errNothingFound, o.since)
	}
	if o.json {
		return printLines(out, lines)
	}
	return printTimeline(out, log, lines)
}

func (o *traceOptions) check() error {
	switch {
	case (o.plate == "") == (o.id == ""):
		return usage("name a --plate or an --id, one of them")
	case o.since <= 0:
		return usage("--since must be more than 0")
	case o.id != "" && !idForm.MatchString(o.id):
		return usage("the --id is none: ids have up to 64 letters, digits, hyphens, underscores and =")
	case o.plate == "":
		return nil
	}
	if _, hint, ok := plate.Check(o.plate); !ok {
		return usage("the --plate is none that the gateway takes: %s", hint)
	}
	return nil
}

// hashOf hashes a plate as the functions do. Of the merchant's secret nothing but the hash's key is looked at.
func hashOf(ctx context.Context, d *deployment.Deployment, plateNumber string) (string, error) {
	if d.MerchantSecret == "" {
		return "", fmt.Errorf("the stack %s does not say which its merchant's secret is", d.Stack)
	}
	secret, err := secretstore.New(secretsmanager.NewFromConfig(d.AWS)).Read(ctx, d.MerchantSecret)
	if err != nil {
		return "", fmt.Errorf("reading log_hash_key from the secret %s: %w", d.MerchantSecret, deployment.Plain(err))
	}
	var document struct {
		LogHashKey string `json:"log_hash_key"`
	}
	if json.Unmarshal(secret.Document, &document) != nil {
		return "", fmt.Errorf("the secret %s is not the JSON of a merchant: run `parkctl secret check`", d.MerchantSecret)
	}
	if document.LogHashKey == "" {
		return "", fmt.Errorf("the secret %s has no log_hash_key, so nothing of a plate is logged: add one, and later visits can be found", d.MerchantSecret)
	}
	return telemetry.Hash([]byte(document.LogHashKey), plateNumber), nil
}

// printLines prints the lines as they were logged, with the name of their function.
func printLines(out io.Writer, lines []logtrail.Line) error {
	for _, l := range lines {
		fields := maps.Clone(l.Fields)
		fields["function"] = l.Function
		if err := emit(out, fields); err != nil {
			return err
		}
	}
	return nil
}

func printTimeline(out, log io.Writer, lines []logtrail.Line) error {
	table := newTable(out, "TIME", "FUNCTION", "WHAT", "RESULT", "WHY", "VENDOR", "TRIES", "MS", "TRACE")
	traces := map[string]int{} // numbered in the order in which they come
	var order []string
	for _, l := range lines {
		number := "-"
		if t := l.Text(telemetry.TraceID); t != "" {
			if traces[t] == 0 {
				order = append(order, t)
				traces[t] = len(order)
			}
			number = strconv.Itoa(traces[t])
		}
		row(table, l.At.Local().Format("01-02 15:04:05.000"), l.Function, what(l), outcome(l), orDash(why(l)), orDash(l.Text(telemetry.VendorID)),
			orDash(l.Text(telemetry.Tries)), orDash(l.Text(telemetry.Duration)), number)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i, t := range order {
		fmt.Fprintf(log, "trace %d is %s\n", i+1, t)
	}
	fmt.Fprintf(log, "%s; --json shows every field\n", counted(len(lines), "line"))
	return nil
}

// what says in a few words what a line is about.
func what(l logtrail.Line) string {
	event := l.Text(telemetry.EventType)
	if route := l.Text(telemetry.Route); route != "" {
		_, path, _ := strings.Cut(route, " ")
		path = strings.TrimPrefix(strings.TrimPrefix(path, "/v1/"), "vendors/{vendor_id}/")
		if event != "" {
			return path + ": " + event
		}
		return path
	}
	if event != "" {
		return event
	}
	text, _ := l.Fields["message"].(string)
	return orDash(text)
}

// outcome is what came of it: a status, and of an event what became of it.
func outcome(l logtrail.Line) string {
	var parts []string
	for _, key := range []telemetry.Key{telemetry.Decision, telemetry.Status, telemetry.Code} {
		if text := l.Text(key); text != "" {
			parts = append(parts, text)
		}
	}
	if l.Text(telemetry.Replayed) == "true" {
		parts = append(parts, "replayed")
	}
	if len(parts) == 0 {
		level, _ := l.Fields["level"].(string)
		parts = append(parts, orDash(level))
	}
	return strings.Join(parts, " ")
}

// why is the reason, with WeChat Pay's own words for it.
func why(l logtrail.Line) string {
	var parts []string
	for _, key := range []telemetry.Key{telemetry.Reason, telemetry.WeChatCode} {
		if text := l.Text(key); text != "" {
			parts = append(parts, text)
		}
	}
	if status := l.Text(telemetry.WeChatHTTP); status != "" && l.Text(telemetry.Code) != "" {
		parts = append(parts, "WeChat Pay "+status)
	}
	return strings.Join(parts, ", ")
}
