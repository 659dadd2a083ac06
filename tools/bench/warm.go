package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"wechat-parking-gateway/local/lambdahost"
)

// warmResult is a function's warm invocations that call nobody, beside those of the function that does nothing.
type warmResult struct {
	Function           string
	P50, P99           float64 // ms
	HelloP50, HelloP99 float64
}

// cpuResult is the processor time of a function's genuine requests.
type cpuResult struct {
	Route, Function string
	Start, Warm     float64 // ms: until the first request for an invocation, and for an invocation
}

// host returns a host of the given functions, with the stand-ins around them.
func (b bench) host(names ...string) (*lambdahost.Host, error) {
	var hosted []lambdahost.Function
	for _, name := range names {
		f := lambdahost.Function{Name: name, Bootstrap: b.bootstrap(runtime.GOARCH, name), Timeout: 15 * time.Second, MemoryMB: 512}
		if name != hello {
			f.Env = b.standIn.env(b.world)
		}
		hosted = append(hosted, f)
	}
	return lambdahost.New(hosted, lambdahost.Options{Logs: io.Discard})
}

// warm invokes each function that serves a route over the Runtime API: first with what it refuses at once, taking turns with
// the function that does nothing, then with genuine requests whose processor time is counted.
func (b bench) warm(ctx context.Context) ([]warmResult, []cpuResult, error) {
	host, err := b.host(append([]string{hello}, b.functions...)...)
	if err != nil {
		return nil, nil, err
	}
	defer host.Close()
	var warm []warmResult
	for _, name := range b.functions {
		r, found := routeOf(name)
		if !found {
			continue
		}
		result, err := b.besideHello(ctx, host, r)
		if err != nil {
			return nil, nil, err
		}
		warm = append(warm, result)
	}
	var used []cpuResult
	for _, r := range routes {
		result, err := b.processorTime(ctx, host, r)
		if err != nil {
			return nil, nil, err
		}
		used = append(used, result)
	}
	return warm, used, nil
}

func (b bench) besideHello(ctx context.Context, host *lambdahost.Host, r route) (warmResult, error) {
	refused, err := r.refused()
	if err != nil {
		return warmResult{}, err
	}
	var own, floor []float64
	for i := range b.settings.warm + 100 {
		for _, name := range []string{hello, r.function} {
			payload := []byte(`{}`)
			if name != hello {
				payload = refused
			}
			began := time.Now()
			if _, err := host.Invoke(ctx, name, payload); err != nil {
				return warmResult{}, err
			}
			took := millis(time.Since(began))
			switch {
			case i < 100: // getting warm
			case name == hello:
				floor = append(floor, took)
			default:
				own = append(own, took)
			}
		}
	}
	return warmResult{r.function, median(own), quantile(own, 0.99), median(floor), quantile(floor, 0.99)}, nil
}

func (b bench) processorTime(ctx context.Context, host *lambdahost.Host, r route) (cpuResult, error) {
	n := b.settings.warm / 2
	events, err := b.events(r, n)
	if err != nil {
		return cpuResult{}, err
	}
	if err := genuine(ctx, host, r, events[0]); err != nil {
		return cpuResult{}, err
	}
	pid, err := processOf(b.bootstrap(runtime.GOARCH, r.function))
	if err != nil {
		return cpuResult{}, err
	}
	before, err := cpuTime(pid)
	if err != nil {
		return cpuResult{}, err
	}
	for _, e := range events[1:] {
		if err := genuine(ctx, host, r, e); err != nil {
			return cpuResult{}, err
		}
	}
	after, err := cpuTime(pid)
	b.standIn.sim.Forget()
	return cpuResult{Route: r.name, Function: r.function, Warm: millis(after-before) / float64(n-1)}, err
}

// genuine makes one invocation that must succeed.
func genuine(ctx context.Context, host *lambdahost.Host, r route, event []byte) error {
	answer, err := host.Invoke(ctx, r.function, event)
	if err != nil {
		return err
	}
	if !answeredWith(answer, r.status) {
		return fmt.Errorf("%s: got %s, want the status %d", r.name, answer, r.status)
	}
	return nil
}

// processOf returns the process of the one sandbox that runs a bootstrap.
func processOf(bootstrap string) (int, error) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		if path, err := os.Readlink(link); err == nil && path == bootstrap {
			return strconv.Atoi(strings.Split(link, "/")[2])
		}
	}
	return 0, fmt.Errorf("no process runs %s", filepath.Base(filepath.Dir(bootstrap)))
}

// tick is the unit of /proc's processor times: USER_HZ, which Linux fixes at 100 for programs; see proc(5).
const tick = 10 * time.Millisecond

// cpuTime returns what a process has used, in user mode and in the kernel.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name in brackets, which may hold spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, err
}

// memoryResult is the resident memory of one sandbox over many invocations.
type memoryResult struct {
	Invocations []float64
	MiB         []float64
}

// first and last are the means of the first and last tenth, after the first two samples, in which the process warms up.
func (m memoryResult) ends() (first, last float64) {
	settled := m.MiB[min(2, len(m.MiB)-1):]
	n := max(1, len(settled)/10)
	return mean(settled[:n]), mean(settled[len(settled)-n:])
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// memory gives one sandbox one genuine V2 callback after the other and looks at its resident memory.
func (b bench) memory(ctx context.Context) (memoryResult, error) {
	r, _ := routeOf("notifycallback")
	host, err := b.host(r.function)
	if err != nil {
		return memoryResult{}, err
	}
	defer host.Close()
	events, err := b.events(r, 200)
	if err != nil {
		return memoryResult{}, err
	}
	var m memoryResult
	every := max(1, b.settings.invocations/100)
	for i := range b.settings.invocations {
		if err := genuine(ctx, host, r, events[i%len(events)]); err != nil {
			return m, err
		}
		if (i+1)%every != 0 {
			continue
		}
		pid, err := processOf(b.bootstrap(runtime.GOARCH, r.function))
		if err != nil {
			return m, err
		}
		resident, err := residentMiB(pid)
		if err != nil {
			return m, err
		}
		m.Invocations, m.MiB = append(m.Invocations, float64(i+1)), append(m.MiB, resident)
	}
	return m, nil
}

func residentMiB(pid int) (float64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), err
}
