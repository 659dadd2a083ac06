package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCollectAndSummarise(t *testing.T) {
	samples := map[string]map[string][]float64{}
	for _, out := range []string{
		"BenchmarkSignedCall-2 \t 100\t 220 ns/op\t 16 B/op\t 3 allocs/op\nBenchmarkSignedCallFloor-2 \t 100\t 200 ns/op\t 0 B/op\t 0 allocs/op\nPASS\n",
		"BenchmarkSignedCall-2 \t 100\t 330 ns/op\t 16 B/op\t 3 allocs/op\nBenchmarkSignedCallFloor-2 \t 100\t 300 ns/op\t 0 B/op\t 0 allocs/op\nPASS\n",
		"BenchmarkSignedCall-2 \t 100\t 440 ns/op\t 16 B/op\t 3 allocs/op\nBenchmarkSignedCallFloor-2 \t 100\t 400 ns/op\t 0 B/op\t 0 allocs/op\nPASS\n",
	} {
		if err := collect(samples, "shared/x", []byte(out)); err != nil {
			t.Fatal(err)
		}
	}
	m := micro{pkg: "shared/x", bench: "SignedCall", floors: []string{"SignedCallFloor"}}
	r, err := summarise(m, samples)
	if err != nil {
		t.Fatal(err)
	}
	// Within each round the ratio is the same, however slow the round was.
	if got := r.Floors[0].Ratio.Center; got < 1.0999 || got > 1.1001 {
		t.Errorf("got the ratio %v, want 1.1", got)
	}
	if r.Nanos.Center < 329.9 || r.Nanos.Center > 330.1 || r.Allocs != 3 {
		t.Errorf("got %v ns and %v allocs, want 330 and 3", r.Nanos.Center, r.Allocs)
	}
	m.floors = []string{"NoSuchFloor"}
	if _, err := summarise(m, samples); !errors.Is(err, errNoSample) {
		t.Errorf("got %v, want %v", err, errNoSample)
	}
}

// TestMicrosExist: each benchmark and floor that the page asks for is in its package, and each floor has its words.
func TestMicrosExist(t *testing.T) {
	for _, m := range micros {
		files, err := filepath.Glob(filepath.Join("..", "..", m.pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var source []byte
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source = append(source, b...)
		}
		for _, name := range append([]string{m.bench}, m.floors...) {
			if !bytes.Contains(source, []byte("func Benchmark"+name+"(")) {
				t.Errorf("%s has no Benchmark%s", m.pkg, name)
			}
		}
		for _, floor := range m.floors {
			if m.FloorText(floor) == "" {
				t.Errorf("%s: the page cannot say what %s is", m.pkg, floor)
			}
		}
	}
}

// TestBuildFlags: the hello-world function is built as the Makefile builds a function.
func TestBuildFlags(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join(buildFlags[:len(buildFlags)-1], " ") + " '" + buildFlags[len(buildFlags)-1] + "'"
	if !bytes.Contains(makefile, []byte(want)) {
		t.Errorf("the Makefile does not build with %s", want)
	}
}

func TestParseInits(t *testing.T) {
	got, err := parseInits([]byte("init runtime @0.1 ms, 0.02 ms clock, 0 bytes, 0 allocs\nMERCHANT_SECRET_ID is missing\n" +
		"init net/http @0.61 ms, 0.025 ms clock, 3288 bytes, 30 allocs\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []packageInit{{"runtime", 0.02, 0, 0}, {"net/http", 0.025, 3288, 30}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := parseInits([]byte("MERCHANT_SECRET_ID is missing\n")); !errors.Is(err, errNoTrace) {
		t.Errorf("got %v, want %v", err, errNoTrace)
	}
}

func TestAddUp(t *testing.T) {
	text, bss := &elf.Section{}, &elf.Section{}
	text.Type, bss.Type = elf.SHT_PROGBITS, elf.SHT_NOBITS
	got := addUp([]elf.Symbol{
		{Name: "main.main", Section: 1, Size: 100},
		{Name: "wechat-parking-gateway/shared/signing.(*V2Key).Sign", Section: 1, Size: 50},
		{Name: "github.com/aws/aws-sdk-go-v2/service/sqs.New[...]", Section: 1, Size: 20},
		{Name: "type:*github.com/aws/aws-sdk-go-v2/service/sqs.Client", Section: 1, Size: 10},
		{Name: "gopkg.in/x%2ev3.F", Section: 1, Size: 30},
		{Name: "runtime.mheap_", Section: 2, Size: 900},
		{Name: "net/http.(*Client).Do", Section: 1, Size: 5},
		{Name: "absolute", Section: elf.SHN_ABS, Size: 7},
	}, []*elf.Section{{}, text, bss}, map[string]string{
		"main": product, "wechat-parking-gateway/shared/signing": product, "github.com/aws/aws-sdk-go-v2/service/sqs": "sqs",
		"gopkg.in/x.v3": "x", "net/http": standardLibrary, "runtime": standardLibrary,
	})
	for module, want := range map[string]int64{product: 150, "sqs": 20, "x": 30, standardLibrary: 5, shared: 10} {
		if got[module] != want {
			t.Errorf("%s: got %d, want %d", module, got[module], want)
		}
	}
}

func TestModel(t *testing.T) {
	c := cpuResult{Route: routes[2].name, Warm: 1, Start: 40}
	all := model(c)
	if got := all[len(all)-1]; got.Memory != fullProcessor || got.WarmCPU != 1 || got.Latency != 1+awsWait {
		t.Errorf("got %+v at a whole processor, want what was measured", got)
	}
	if got, want := all[0].WarmCPU, fullProcessor/128; got < want-0.01 || got > want+0.01 {
		t.Errorf("got %v ms at 128 MB, want %v", got, want)
	}
	if got := advised(all); got != 1024 {
		t.Errorf("got %v MB advised, want 1024: 69 ms for a start, 1.7 ms for a request", got)
	}
	c.Warm = 1000
	if got := advised(model(c)); got != fullProcessor {
		t.Errorf("got %v MB advised for what no size can do, want the largest", got)
	}
}

// sample is a measurement that meets every budget.
func sample() measurement {
	m := measurement{
		Machine: machine{Processor: "a processor", Cores: 2, Go: "go1.26", OS: "linux/amd64"}, Took: time.Minute,
		Inits: map[string][]packageInit{"parkingsync": {{"net/http", 0.025, 3288, 30}}},
		Sizes: sizes{
			Bootstraps: []bootstrapSize{{hello, 5e6, 2e6, 100}, {"parkingsync", 9e6, 3e6, 300}},
			Modules:    []moduleSize{{product, map[string]int64{"parkingsync": 300_000}}},
		},
		Starts: []startResult{
			{Function: hello, FirstByte: summary([]float64{2}), FirstNext: summary([]float64{2.2})},
			{Function: "parkingsync", FirstByte: summary([]float64{4}), FirstNext: summary([]float64{20}), Answered: summary([]float64{25}), HasAnswer: true, CPU: 30},
		},
		Warm:   []warmResult{{"parkingsync", 0.6, 1.2, 0.5, 1.1}},
		Memory: memoryResult{[]float64{1, 2, 3}, []float64{20, 20, 20}},
	}
	for _, x := range micros {
		r := microResult{Micro: x, Nanos: summary([]float64{1000}), Allocs: 2}
		for _, f := range x.floors {
			r.Floors = append(r.Floors, floorResult{f, summary([]float64{990}), summary([]float64{1.01})})
		}
		m.Micro = append(m.Micro, r)
	}
	for _, r := range routes {
		m.CPU = append(m.CPU, cpuResult{Route: r.name, Function: r.function, Warm: 1})
		for _, rate := range []int{50, 150} {
			m.Load = append(m.Load, loadResult{Route: r.name, Arrivals: rate, P50: 1, P95: 2, P99: 3, Rate: 50, Requests: 10, Expected: 10})
		}
	}
	return m
}

func TestJudge(t *testing.T) {
	for _, j := range judge(sample()) {
		if !j.Met {
			t.Errorf("%s, %s: got %s, which is not met", j.What, j.Budget, j.Measured)
		}
	}
	// Each change breaks exactly one budget.
	for name, change := range map[string]func(*measurement){
		"V2 build and sign":         func(m *measurement) { m.Micro[0].Nanos = summary([]float64{1600}) },
		"V2 parse and verify":       func(m *measurement) { m.Micro[1].Allocs = 9 },
		"V3 Authorization header":   func(m *measurement) { m.Micro[2].Floors[0].Ratio = summary([]float64{1.04}) },
		"warm, no upstream: p50":    func(m *measurement) { m.Warm[0].P50 = 0.8 },
		"warm, no upstream: p99":    func(m *measurement) { m.Warm[0].P99 = 2.2 },
		"first outgoing byte":       func(m *measurement) { m.Starts[1].FirstByte = summary([]float64{6.7}) },
		"secrets fetched":           func(m *measurement) { m.Starts[1].FirstNext = summary([]float64{36}) },
		"parkingsync: bootstrap, a": func(m *measurement) { m.Sizes.Bootstraps[1].Bytes = 10_000_001 },
	} {
		m := sample()
		change(&m)
		var missed []string
		for _, j := range judge(m) {
			if !j.Met {
				missed = append(missed, j.What)
			}
		}
		if len(missed) != 1 || !strings.Contains(missed[0], name) {
			t.Errorf("%s: got %q not met, want that budget alone", name, missed)
		}
	}
}

// TestPage: the page and its plots can be made of a measurement, and the page holds what was measured.
func TestPage(t *testing.T) {
	root := t.TempDir()
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "template.yaml"), template, 0o600); err != nil {
		t.Fatal(err)
	}
	m := sample()
	s := settings{root: root, rounds: 7, starts: 60, warm: 4000, invocations: 100_000, lasts: 6 * time.Second, began: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}
	if err := writePage(s, m, judge(m)); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"on 2026-11-30: a processor, 2 cores", "| parkingsync: bootstrap, arm64 | ≤ 10.0 MB | 9.00 MB | met |", "net/http", "100000 genuine V2 callbacks", "Not measured"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, plot := range []string{"ratios", "starts", "memory", "load", "sizes"} {
		b, err := os.ReadFile(filepath.Join(root, "docs", "performance", plot+".svg"))
		if err != nil || !bytes.Contains(b, []byte("<svg")) {
			t.Errorf("%s.svg: %v", plot, err)
		}
		if !bytes.Contains(page, []byte("(performance/"+plot+".svg)")) {
			t.Errorf("the page does not show %s.svg", plot)
		}
	}
}

func TestRefusedEventsAndRealOnes(t *testing.T) {
	for _, r := range routes {
		event, err := r.refused()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(event, []byte(`"routeKey":"`+r.key+`"`)) {
			t.Errorf("got %s, want an event of %s", event, r.key)
		}
	}
	if _, err := (route{key: "POST /a", function: "f"}).event(request{URL: "http://127.0.0.1/b"}); !errors.Is(err, errNoEvent) {
		t.Errorf("got %v, want %v", err, errNoEvent)
	}
}
