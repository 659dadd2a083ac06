package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// micro is a benchmark of the project and what it is held against. Its budgets are 0 where it has none.
type micro struct {
	What      string
	pkg       string
	bench     string
	floors    []string // the first is the one of the ratio
	maxRatio  float64  // to the first floor
	maxMicros float64  // µs
	maxAllocs float64
	Guide     string // the best Go SDK, for comparison, as its authors' code was measured
}

// micros are the microbenchmarks, in the order of the page.
var micros = []micro{
	{What: "V2 build and sign", pkg: "shared/signing", bench: "V2BuildAndSign", floors: []string{"V2BuildAndSignFloor"}, maxMicros: 1.5, maxAllocs: 6, Guide: "7.1 µs, 32 allocs"},
	{What: "V2 parse and verify", pkg: "shared/signing", bench: "V2ParseAndVerify", floors: []string{"V2ParseAndVerifyFloor", "V2ParseAndVerifyFloorXML"}, maxMicros: 2.5, maxAllocs: 8, Guide: "15.7 µs, 146 allocs"},
	{What: "V3 Authorization header", pkg: "shared/signing", bench: "V3Authorization", floors: []string{"V3AuthorizationFloor"}, maxRatio: 1.03, maxAllocs: 8},
	{What: "V3 signed call with a verified 204", pkg: "shared/wechatpay", bench: "SignedCall", floors: []string{"SignedCallFloor", "SignedCallFloorHTTP"}, maxRatio: 1.05},
	{What: "V3 callback: verify, decrypt, decode", pkg: "shared/wechatpay", bench: "V3Callback", floors: []string{"V3CallbackFloor"}, maxRatio: 1.4, maxAllocs: 45, Guide: "40.2 µs, 64 allocs against 26.3 µs"},
	{What: "the same by package signing", pkg: "shared/signing", bench: "V3Callback", floors: []string{"V3CallbackFloor", "V3CallbackFloorGCM", "V3CallbackFloorJSON"}},
	{What: "a vendor's request authenticated", pkg: "shared/stdwebhook", bench: "Authenticate", floors: []string{"AuthenticateFloor"}},
	{What: "API Gateway's event in, answer out", pkg: "shared/httpapi", bench: "Adapter", floors: []string{"AdapterFloor"}},
	{What: "parkingsync, whole", pkg: "functions/parkingsync", bench: "Invocation", floors: []string{"InvocationFloor"}},
	{What: "vehiclenotify, whole", pkg: "functions/vehiclenotify", bench: "Invocation", floors: []string{"InvocationFloor"}},
	{What: "notifycallback, V2, whole", pkg: "functions/notifycallback", bench: "PlateState", floors: []string{"PlateStateFloor"}},
	{What: "notifycallback, V3, whole", pkg: "functions/notifycallback", bench: "BusinessCircle", floors: []string{"BusinessCircleFloor"}},
}

// floorOf says in words what a floor does.
var floorOf = map[string]string{
	"V2BuildAndSignFloor":      "bare HMAC-SHA256",
	"V2ParseAndVerifyFloor":    "bare HMAC-SHA256",
	"V2ParseAndVerifyFloorXML": "encoding/xml walking the tokens",
	"V3AuthorizationFloor":     "bare RSA signature",
	"SignedCallFloor":          "bare RSA signature and verification",
	"SignedCallFloorHTTP":      "net/http's types over the stub",
	"V3CallbackFloor":          "bare RSA verification",
	"V3CallbackFloorGCM":       "bare AES-256-GCM",
	"V3CallbackFloorJSON":      "encoding/json of envelope and resource",
	"AuthenticateFloor":        "bare HMAC-SHA256",
	"AdapterFloor":             "encoding/json into aws-lambda-go's types",
	"InvocationFloor":          "",
	"PlateStateFloor":          "encoding/json of the event, encoding/xml's tokens, HMAC",
	"BusinessCircleFloor":      "bare RSA verification",
}

// FloorText says what a floor of a benchmark does.
func (m micro) FloorText(floor string) string {
	switch {
	case m.pkg == "functions/parkingsync":
		return "bare RSA signature and verification"
	case m.pkg == "functions/vehiclenotify":
		return "encoding/json of event and body, three HMACs"
	}
	return floorOf[floor]
}

// microResult is a benchmark measured beside its floors.
type microResult struct {
	Micro  micro
	Nanos  benchmath.Summary // a call
	Allocs float64
	Floors []floorResult
}

// floorResult is a floor, and how many times as long the benchmark took in the same round.
type floorResult struct {
	Name  string
	Nanos benchmath.Summary
	Ratio benchmath.Summary
}

// testBinary is where a package's compiled tests are.
func (s settings) testBinary(pkg string) string {
	return filepath.Join(s.folder, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// buildMicro compiles the packages' benchmarks.
func buildMicro(ctx context.Context, s settings) error {
	for _, pkg := range packagesOf(micros) {
		if err := command(ctx, s.root, nil, "go", "test", "-c", "-o", s.testBinary(pkg), "./"+pkg); err != nil {
			return err
		}
	}
	return nil
}

func packagesOf(all []micro) []string {
	var pkgs []string
	for _, m := range all {
		if !slices.Contains(pkgs, m.pkg) {
			pkgs = append(pkgs, m.pkg)
		}
	}
	return pkgs
}

// runMicro runs each benchmark and its floors in the same moments, round after round, and keeps the raw lines in
// build/bench/micro.txt for benchstat.
func runMicro(ctx context.Context, s settings) ([]microResult, error) {
	raw, err := os.Create(filepath.Join(s.folder, "micro.txt"))
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	samples := map[string]map[string][]float64{} // by package and benchmark, then by unit: one value a round
	for range s.rounds {
		for _, m := range micros {
			names := append([]string{m.bench}, m.floors...)
			cmd := exec.CommandContext(ctx, s.testBinary(m.pkg), "-test.run=^$", "-test.bench=^Benchmark("+strings.Join(names, "|")+")$",
				"-test.benchmem", "-test.benchtime="+s.each.String())
			cmd.Dir = filepath.Join(s.root, m.pkg)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", m.pkg, err, out)
			}
			if _, err := fmt.Fprintf(raw, "pkg: wechat-parking-gateway/%s\n%s", m.pkg, out); err != nil {
				return nil, err
			}
			if err := collect(samples, m.pkg, out); err != nil {
				return nil, err
			}
		}
	}
	if err := raw.Close(); err != nil {
		return nil, err
	}
	var results []microResult
	for _, m := range micros {
		r, err := summarise(m, samples)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// collect adds the benchmark lines of one run.
func collect(samples map[string]map[string][]float64, pkg string, out []byte) error {
	reader := benchfmt.NewReader(bytes.NewReader(out), pkg)
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		key := pkg + " " + benchName(string(result.Name.Base()))
		if samples[key] == nil {
			samples[key] = map[string][]float64{}
		}
		for _, unit := range []string{"sec/op", "allocs/op"} {
			if v, ok := result.Value(unit); ok {
				samples[key][unit] = append(samples[key][unit], v)
			}
		}
	}
	return reader.Err()
}

// benchName takes Go's suffix of the processor count off.
func benchName(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		return name[:i]
	}
	return name
}

var errNoSample = errors.New("a benchmark printed no result")

func summarise(m micro, samples map[string]map[string][]float64) (microResult, error) {
	own := samples[m.pkg+" "+m.bench]
	if len(own["sec/op"]) == 0 {
		return microResult{}, fmt.Errorf("%w: %s in %s", errNoSample, m.bench, m.pkg)
	}
	r := microResult{Micro: m, Nanos: summary(scaled(own["sec/op"], 1e9)), Allocs: summary(own["allocs/op"]).Center}
	for _, floor := range m.floors {
		beside := samples[m.pkg+" "+floor]["sec/op"]
		if len(beside) != len(own["sec/op"]) {
			return microResult{}, fmt.Errorf("%w: %s in %s", errNoSample, floor, m.pkg)
		}
		ratios := make([]float64, len(beside))
		for i := range beside {
			ratios[i] = own["sec/op"][i] / beside[i]
		}
		r.Floors = append(r.Floors, floorResult{floor, summary(scaled(beside, 1e9)), summary(ratios)})
	}
	return r, nil
}

func scaled(values []float64, by float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v * by
	}
	return out
}

// summary is the median with its confidence interval, which assumes nothing of how the values are spread.
func summary(values []float64) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), 0.95)
}
