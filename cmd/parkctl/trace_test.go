package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTraceUsage: what cannot be looked for is said, without the plate.
func TestTraceUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"neither":         {},
		"both":            {"--plate", "京A12345", "--id", "evt_1"},
		"a bad plate":     {"--plate", "京a12345"},
		"a placeholder":   {"--plate", "无车牌"},
		"a bad id":        {"--id", `x" ?"y`},
		"no time at all":  {"--plate", "京A12345", "--since", "0s"},
		"time in front":   {"--plate", "京A12345", "--since", "-2h"},
		"not a time":      {"--plate", "京A12345", "--since", "yesterday"},
		"an argument":     {"京A12345"},
		"an unknown flag": {"--openid", "o"},
	} {
		t.Run(name, func(t *testing.T) {
			got := parkctl(t, append([]string{"trace"}, args...)...)
			if got.status != usageStatus || got.out != "" {
				t.Errorf("got %+v, want status %d and no output", got, usageStatus)
			}
			if name != "an argument" && strings.Contains(got.log, "12345") {
				t.Errorf("got %q, want no plate in it", got.log)
			}
		})
	}
}

// TestTraceByID reads a local stack's log without anything of the stack running.
func TestTraceByID(t *testing.T) {
	t.Setenv(stackVariable, "")
	root := t.TempDir()
	folder := filepath.Join(root, "build", "local")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Format(time.RFC3339Nano)
	log := `VehicleNotifyFunction: {"timestamp":"` + at + `","level":"ERROR","message":"request","route":"POST /v1/vendors/{vendor_id}/vehicle/notifications",` +
		`"request_id":"r-1","vendor_id":"acme","status":502,"code":"wechatpay_unverified","reason":"bad_signature","wechatpay_http_status":200,"tries":3,` +
		`"duration_ms":812,"trace_id":"6b0d825571c79267e9c2d1004cd436d1"}` + "\n"
	for name, text := range map[string]string{"state.json": `{"aws_endpoint":"http://127.0.0.1:1"}`, "functions.log": log} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := parkctl(t, "trace", "--id", "r-1", "--root", root)
	row := "vehiclenotify  vehicle/notifications  502 wechatpay_unverified  bad_signature, WeChat Pay 200  acme    3      812  1\n"
	if got.status != 0 || !strings.HasSuffix(got.out, row) || !strings.Contains(got.log, "trace 1 is 6b0d825571c79267e9c2d1004cd436d1\n") {
		t.Errorf("got %+v, want the row %q and the trace", got, row)
	}
	got = parkctl(t, "trace", "--id", "r-1", "--root", root, "--json")
	var fields map[string]any
	if err := json.Unmarshal([]byte(got.out), &fields); err != nil || fields["function"] != "vehiclenotify" || fields["duration_ms"] != float64(812) {
		t.Errorf("got %+v, %v, want every field and the function", got, err)
	}
	if got := parkctl(t, "trace", "--id", "r-2", "--root", root); got.status != failedStatus || !strings.Contains(got.log, "nothing was found") {
		t.Errorf("got %+v, want nothing found", got)
	}
	elsewhere := filepath.Join(root, "elsewhere.log")
	if err := os.Rename(filepath.Join(folder, "functions.log"), elsewhere); err != nil {
		t.Fatal(err)
	}
	if got := parkctl(t, "trace", "--id", "r-1", "--root", root, "--function-log", elsewhere); got.status != 0 {
		t.Errorf("got %+v, want the line in the other file", got)
	}
	if got := parkctl(t, "trace", "--id", "r-1", "--root", root); got.status != failedStatus || !strings.Contains(got.log, "--function-log") {
		t.Errorf("got %+v, want to be told how to name the file", got)
	}
}
