package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"wechat-parking-gateway/local/chaos"
)

func chaosCommand(s *settings) *cobra.Command {
	options := chaos.Options{}
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Run the gateway while everything around it fails, and count what was lost (0)",
		Long: `Run the compiled functions on a local stack while AWS calls fail, hang or are carried out without an answer, WeChat Pay and
the vendor misbehave, processes are killed and a vendor's secrets are rotated. Then hold what happened against what was
promised, print it as a table, and exit 1 when a promise was broken.`,
		Example: "  parkctl local chaos --callbacks 500 --calls 100\n  parkctl local chaos --seed 42",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.Callbacks < 1 || options.Callbacks > 100_000 || options.Calls < 0 || options.Calls > 100_000 {
				return usage("--callbacks must be 1 to 100000, --calls 0 to 100000")
			}
			options.Root = s.root
			if !cmd.Flags().Changed("seed") {
				options.Seed = rand.Uint64N(1_000_000)
			}
			folder := filepath.Join(options.Root, "build", "local")
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			log, err := os.Create(filepath.Join(folder, "chaos.log"))
			if err != nil {
				return err
			}
			defer log.Close()
			options.FunctionLog = log
			started := time.Now()
			options.Progress = func(what string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%6.1f s  %s\n", time.Since(started).Seconds(), what)
			}
			report, err := chaos.Run(cmd.Context(), options)
			if err != nil {
				return err
			}
			if err := report.Write(cmd.OutOrStdout()); err != nil {
				return err
			}
			return report.Err()
		},
	}
	cmd.Flags().IntVar(&options.Callbacks, "callbacks", 10_000, "callbacks from WeChat Pay")
	cmd.Flags().IntVar(&options.Calls, "calls", 2_000, "calls from the vendor")
	cmd.Flags().Uint64Var(&options.Seed, "seed", 0, "draws the faults; the same seed draws the same ones (default: a new one)")
	return cmd
}
