package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"wechat-parking-gateway/local/rotation"
)

func rotateCommand(s *settings) *cobra.Command {
	leaked := false
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Rotate every key under traffic, and count the calls and callbacks that were lost (0)",
		Long: `Rotate every key of a gateway on a local stack of its own, in the steps of docs/rotation.md, while a vendor calls on both
routes and WeChat Pay sends callbacks of both kinds the whole time. Print each step as it is taken and the result as a table,
and exit 1 when a call failed, a genuine callback was refused, an event was rejected or lost, or an old key still works.
It takes about a minute and a half.

A secret that was fetched lives for 2 s in this run, instead of 5 minutes. With --leaked it lives for 5 minutes, and the keys
between the gateway and WeChat Pay are changed as after a leak, without waiting between the steps.`,
		Example: "  parkctl local rotate\n  parkctl local rotate --leaked",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			folder := filepath.Join(s.root, "build", "local")
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			log, err := os.Create(filepath.Join(folder, "rotate.log"))
			if err != nil {
				return err
			}
			defer log.Close()
			self, err := os.Executable()
			if err != nil {
				return err
			}
			started := time.Now()
			report, err := rotation.Run(cmd.Context(), rotation.Options{
				Root: s.root, FunctionLog: log, Leaked: leaked,
				Progress: func(what string) {
					fmt.Fprintf(cmd.ErrOrStderr(), "%6.1f s  %s\n", time.Since(started).Seconds(), what)
				},
				Parkctl: func(ctx context.Context, args ...string) ([]byte, error) {
					return exec.CommandContext(ctx, self, args...).CombinedOutput()
				},
			})
			if err != nil {
				return err
			}
			if err := report.Write(cmd.OutOrStdout()); err != nil {
				return err
			}
			return report.Err()
		},
	}
	cmd.Flags().BoolVar(&leaked, "leaked", false, "change keys as after a leak, without waiting")
	return cmd
}
