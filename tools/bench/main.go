// Command bench measures the gateway against floors in the same run and writes what it found to docs/performance.md, with
// plots beside it. Everything runs on this machine and on loopback: nothing is called outside.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const usage = `Measure the gateway against floors in the same run, and write docs/performance.md with its plots.

  go run . [flags]        (make bench does it from the project's folder)

It takes up to ten minutes on two cores; the machine should have nothing else to do. Times mean nothing from one machine to
the next: what counts is the ratio to the floor beside it.

`

// settings say how much is measured.
type settings struct {
	root        string
	folder      string // build/bench below root
	k6          string
	rounds      int           // of each microbenchmark and its floors
	each        time.Duration // of one benchmark in a round
	starts      int           // of each function
	warm        int           // invocations of each function
	invocations int           // invocations of the one sandbox whose memory is watched
	rates       []int         // arrivals a second
	lasts       time.Duration // of each rate
	log         io.Writer
	began       time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "bench: interrupted; nothing was written")
		os.Exit(130)
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s := settings{
		rounds: 7, each: 100 * time.Millisecond, starts: 60, warm: 4000, invocations: 100_000,
		rates: []int{50, 100, 200}, lasts: 6 * time.Second, log: os.Stdout, began: time.Now(),
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.root, "root", "../..", "the project's folder")
	flags.StringVar(&s.k6, "k6", "", "the k6 that makes the load (make bench builds one)")
	short := flags.Bool("short", false, "a tenth of everything and no page: to see that it works, not to measure")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	var err error
	if s.root, err = filepath.Abs(s.root); err != nil {
		return err
	}
	s.folder = filepath.Join(s.root, "build", "bench")
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return err
	}
	if s.k6 == "" {
		return errors.New("--k6 is missing: run make bench, which builds one")
	}
	if *short {
		s.rounds, s.each, s.starts, s.warm, s.invocations = 2, 10*time.Millisecond, 6, 200, 2000
		s.rates, s.lasts = []int{20}, 2*time.Second
	}
	m, err := measure(ctx, s)
	if err != nil {
		return err
	}
	judged := judge(m)
	printBudgets(s.log, judged)
	fmt.Fprintf(s.log, "\nmeasured in %d s\n", int(time.Since(s.began).Seconds()))
	if *short {
		return nil
	}
	if err := writePage(s, m, judged); err != nil {
		return err
	}
	fmt.Fprintln(s.log, "wrote docs/performance.md")
	return nil
}

// measurement is everything that one run found.
type measurement struct {
	Machine machine
	Took    time.Duration
	Micro   []microResult
	Inits   map[string][]packageInit
	Sizes   sizes
	Starts  []startResult
	Warm    []warmResult
	Load    []loadResult
	Memory  memoryResult
	CPU     []cpuResult
}

// measure does one thing after the other, so that nothing disturbs anything else.
func measure(ctx context.Context, s settings) (measurement, error) {
	m := measurement{Machine: thisMachine()}
	var b bench
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"building the functions, the hello-world function and the benchmarks", func(ctx context.Context) (err error) {
			b, err = prepare(ctx, s)
			return err
		}},
		{"microbenchmarks, each beside its floors", func(ctx context.Context) (err error) {
			m.Micro, err = runMicro(ctx, s)
			return err
		}},
		{"sizes", func(ctx context.Context) (err error) {
			m.Sizes, err = b.sizes(ctx)
			return err
		}},
		{"package initialisation", func(ctx context.Context) (err error) {
			m.Inits, err = b.inits(ctx)
			return err
		}},
		{"starts", func(ctx context.Context) (err error) {
			m.Starts, err = b.starts(ctx)
			return err
		}},
		{"warm invocations and their processor time", func(ctx context.Context) (err error) {
			m.Warm, m.CPU, err = b.warm(ctx)
			return err
		}},
		{"load", func(ctx context.Context) (err error) {
			m.Load, err = b.load(ctx)
			return err
		}},
		{"memory of one sandbox", func(ctx context.Context) (err error) {
			m.Memory, err = b.memory(ctx)
			return err
		}},
	} {
		fmt.Fprintf(s.log, "%4d s  %s\n", int(time.Since(s.began).Seconds()), step.name)
		if err := step.do(ctx); err != nil {
			b.close()
			return m, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	b.close()
	m.Took = time.Since(s.began)
	return m, nil
}
