//go:build e2e && linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// processes returns the sandboxes of this stack: other stacks run the same programs with other addresses.
func (g *gateway) processes(t *testing.T) []int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	ours := []byte("AWS_ENDPOINT_URL_SQS=http://" + g.outages.services[simpleQueue].address + "\x00")
	var pids []int
	for _, path := range paths {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(append(environ, 0), ours) || !bytes.Contains(environ, []byte("AWS_LAMBDA_RUNTIME_API=")) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// TestFrozenSandboxes: Lambda freezes a sandbox between its invocations. Connections that died while it was frozen, those
// of the init phase too, cost no call when it wakes.
func TestFrozenSandboxes(t *testing.T) {
	for _, row := range []struct {
		name   string
		before func(*testing.T, *gateway)
	}{
		{"after its first request", func(t *testing.T, g *gateway) { knockAll(t, g).works(t, g) }},
		{"with the connections of its init phase", func(t *testing.T, g *gateway) {
			for _, use := range uses {
				use.warm(t, g)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := outageLanes(t)
			g.restart()
			startedOnce := g.startedOnce(t)
			row.before(t, g)
			pids := g.processes(t)
			if len(pids) < 3 {
				t.Fatalf("got %d sandboxes, want those of three functions", len(pids))
			}
			signal := func(s syscall.Signal) {
				for _, pid := range pids {
					if err := syscall.Kill(pid, s); err != nil {
						t.Error(err)
					}
				}
			}
			signal(syscall.SIGSTOP)
			// Every connection is closed by the other side, which then takes new ones.
			for name := range g.outages.services {
				g.outages.takeAway(t, outage{service: name, kind: refused})()
			}
			signal(syscall.SIGCONT)
			knockAll(t, g).works(t, g)
			startedOnce()
		})
	}
}
