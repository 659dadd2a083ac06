package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"wechat-parking-gateway/local/apifront"
)

// loadResult is one route at one rate of arrivals. Times are in milliseconds.
type loadResult struct {
	Route    string  `json:"-"`
	Arrivals int     `json:"-"` // a second
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
	P99      float64 `json:"p99"`
	Rate     float64 `json:"rate"` // answers a second
	Requests int     `json:"requests"`
	Expected int     `json:"expected"` // with the status that they should have
	Dropped  int     `json:"dropped"`  // never sent, since everybody was still waiting
}

// load puts each route under constant rates of arrivals: k6 on one side, the compiled functions behind the local front on
// the other, the stand-ins behind them, all on loopback and bounded in count and time.
func (b bench) load(ctx context.Context) ([]loadResult, error) {
	host, err := b.host(b.functions...)
	if err != nil {
		return nil, err
	}
	defer host.Close()
	var table []apifront.Route
	for _, r := range routes {
		table = append(table, apifront.Route{Key: r.key, Function: r.function})
	}
	front, err := apifront.New(table, host.Invoke, apifront.Options{})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: front, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	base := "http://" + listener.Addr().String()

	var results []loadResult
	for _, r := range routes {
		// Sandboxes that are there already: starts are measured elsewhere.
		if _, err := b.arrivals(ctx, r, base, b.rates[0], time.Second); err != nil {
			return nil, err
		}
		for _, rate := range b.rates {
			result, err := b.arrivals(ctx, r, base, rate, b.lasts)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(b.log, "        %-30s %4d/s  p50 %6.2f  p95 %6.2f  p99 %6.2f ms\n", r.name, rate, result.P50, result.P95, result.P99)
			if result.Expected != result.Requests {
				return nil, fmt.Errorf("%s at %d/s: %d of %d answers were not %d", r.name, rate, result.Requests-result.Expected, result.Requests, r.status)
			}
			results = append(results, result)
		}
	}
	return results, nil
}

func (b bench) arrivals(ctx context.Context, r route, base string, rate int, lasts time.Duration) (loadResult, error) {
	result := loadResult{Route: r.name, Arrivals: rate}
	requests := make([]request, int(float64(rate)*lasts.Seconds())+2)
	for i := range requests {
		var err error
		if requests[i], err = r.next(b, base); err != nil {
			return result, err
		}
	}
	document, err := json.Marshal(requests)
	if err != nil {
		return result, err
	}
	input, output := filepath.Join(b.folder, "requests.json"), filepath.Join(b.folder, "load.json")
	if err := os.WriteFile(input, document, 0o600); err != nil {
		return result, err
	}
	env := []string{
		"REQUESTS=" + input, "RESULT=" + output, "RATE=" + strconv.Itoa(rate), "LASTS=" + lasts.String(), "STATUS=" + strconv.Itoa(r.status),
		// k6 with nothing of this machine's own, and nothing to say to anybody.
		"K6_NO_USAGE_REPORT=true", "HOME=" + b.folder, "HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=",
	}
	err = command(ctx, filepath.Join(b.root, "tools", "bench"), env, b.k6, "run", "--quiet", "--no-color", "--address", "", "load.js")
	b.standIn.sim.Forget()
	if err != nil {
		return result, err
	}
	written, err := os.ReadFile(output)
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(written, &result)
}
