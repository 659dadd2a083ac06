package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"wechat-parking-gateway/local/fixture"
)

// hello is the function that does nothing, built as the others are.
const hello = "hello"

// bench is what the measurements share: compiled functions, a world with its keys, and stand-ins for what is called.
type bench struct {
	settings
	functions []string // by their folders
	world     *fixture.World
	standIn   *standIn
}

// prepare builds everything and starts the stand-ins.
func prepare(ctx context.Context, s settings) (bench, error) {
	b := bench{settings: s}
	if err := buildMicro(ctx, s); err != nil {
		return b, err
	}
	for _, arch := range []string{runtime.GOARCH, deployed} {
		if err := command(ctx, s.root, nil, "make", "--silent", "build", "GOARCH="+arch); err != nil {
			return b, err
		}
		args := append(append([]string{"build"}, buildFlags...), "-o", s.bootstrap(arch, hello), "./hello")
		if err := command(ctx, filepath.Join(s.root, "tools", "bench"), []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + arch}, "go", args...); err != nil {
			return b, err
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.root, "functions"))
	if err != nil {
		return b, err
	}
	for _, e := range entries {
		if e.IsDir() {
			b.functions = append(b.functions, e.Name())
		}
	}
	if b.world, err = fixture.New(time.Now); err != nil {
		return b, err
	}
	b.standIn, err = newStandIn(b.world, s.folder)
	return b, err
}

func (b bench) close() {
	if b.standIn != nil {
		b.standIn.close()
	}
}

// deployed is the architecture that the template asks for.
const deployed = "arm64"

// buildFlags are the Makefile's for a function, with which the hello-world function is built as well.
var buildFlags = []string{"-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid="}

func (s settings) bootstrap(arch, name string) string {
	return filepath.Join(s.root, "build", "functions", arch, name, "bootstrap")
}

// command runs a command and shows what it said when it fails.
func command(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// machine says where a run was made.
type machine struct {
	Processor string
	Cores     int
	Go        string
	OS        string
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Processor: "unknown"}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	return m
}
