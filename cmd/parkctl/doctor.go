package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	gateway "wechat-parking-gateway"
	"wechat-parking-gateway/cmd/parkctl/doctor"
	"wechat-parking-gateway/cmd/parkctl/secretdoc"
)

func doctorCommand(s *settings) *cobra.Command {
	var names secretNames
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether everything that the gateway needs is in order",
		Long: `Look whether everything that the gateway needs is in order: region and credentials, the stack, its secrets (see "parkctl secret
check"), the events queue, dead letters and table, the address, WeChat Pay, the clocks, and the alarms. Nothing is changed,
and no function is called. Each line is ok, warn or fail, with what to do; exit 1 when one is fail.`,
		Example: "  parkctl doctor\n  parkctl doctor --profile prod --stack parking-prod\n  parkctl doctor --stack parking-prod --json | jq -r 'select(.status != \"ok\") | .what'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := s.open(cmd.Context())
			if d == nil {
				return err
			}
			names.fill(d)
			out, failing, warning, written := cmd.OutOrStdout(), 0, 0, error(nil)
			doctor.Examine(cmd.Context(), doctor.Patient{
				Deployment: d, StackError: err, Version: gateway.Version(), Now: time.Now, HTTP: &http.Client{Timeout: 8 * time.Second},
				Secrets: func(ctx context.Context) (secretdoc.Set, error) { return secretSet(ctx, d) },
			}, func(line doctor.Line) {
				switch line.Status {
				case doctor.Fail:
					failing++
				case doctor.Warn:
					warning++
				}
				// A terminal shows each line as it is found; one that cannot be written is told of at the end.
				if s.json {
					written = errors.Join(written, emit(out, line))
					return
				}
				word := fmt.Sprintf("%-4s", line.Status)
				text := line.Detail
				if line.Do != "" {
					text += " → " + line.Do
				}
				_, err := fmt.Fprintf(out, "%s  %-12s  %s\n", painted(out, map[doctor.Status]string{doctor.OK: green, doctor.Warn: yellow, doctor.Fail: red}[line.Status], word), line.What, text)
				written = errors.Join(written, err)
			})
			if written != nil {
				return written
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if !s.json {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d fail, %d warn\n", failing, warning)
			}
			if failing > 0 {
				return errSilent
			}
			return nil
		},
	}
	names.register(cmd)
	return cmd
}
