//go:build e2e

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
)

// functionLog opens the file in which a local stack logs.
func functionLog(t *testing.T, root string) io.Writer {
	t.Helper()
	folder := filepath.Join(root, "build", "local")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(folder, "functions.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// TestLocalStack: against the compiled functions of a running local stack the doctor finds everything in order, a vendor
// that was just added calls with its hand-over file, keeps calling while its secrets are rotated, is pinged, and a callback
// that the stack's WeChat Pay sent is explained.
func TestLocalStack(t *testing.T) {
	t.Setenv(stackVariable, "")
	project, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, name := range []string{"template.yaml", ".venv"} {
		if err := os.Symlink(filepath.Join(project, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	makefile := "build-%:\n\t@$(MAKE) --no-print-directory --silent -C '" + project + "' $@ ARTIFACTS_DIR='$(ARTIFACTS_DIR)' GOARCH='$(GOARCH)'\n"
	if err := os.WriteFile(filepath.Join(root, "Makefile"), []byte(makefile), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	log := functionLog(t, root)
	s, err := stack.Start(ctx, stack.Options{Root: root, Listen: "127.0.0.1:0", FunctionLog: log})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.WriteState(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	run := func(want int, args ...string) result {
		t.Helper()
		got := parkctl(t, append(args, "--root", root)...)
		if got.status != want {
			t.Fatalf("parkctl %q: got %+v, want status %d", args, got, want)
		}
		return got
	}

	if got := run(0, "doctor"); !strings.Contains(got.log, "0 fail, 0 warn") {
		t.Errorf("got %+v, want everything in order", got)
	}
	run(0, "secret", "check")
	run(0, "vendor", "add", "acme", "--sub-mchid", fixture.SubMchID, "--vehicle-appid", fixture.SubAppID, "--brandid", fmt.Sprint(fixture.BrandID), "--circle-appid", fixture.CircleAppID)
	if got := run(0, "call", "info", "--handover", "acme.gateway.env", "--json"); !strings.Contains(got.out, `"method":"GET"`) || !strings.Contains(got.out, fixture.SubMchID) {
		t.Errorf("got %+v, want what is configured for the vendor", got)
	}
	run(0, "call", "parking", "--handover", "acme.gateway.env")
	run(0, "vendor", "rotate", "acme", "--out", "rotated.env")
	// The functions look again at once for a secret that they do not know, and at most every 30 s: the old one works meanwhile.
	run(0, "call", "entry", "--handover", "acme.gateway.env")
	run(0, "vendor", "ping", fixture.VendorID)
	run(failedStatus, "vendor", "ping", "acme")

	// The two calls of the plate are found again. A line may come a little after its answer.
	var found result
	for found.status = -1; ctx.Err() == nil && strings.Count(found.out, " acme ") < 2; time.Sleep(50 * time.Millisecond) {
		found = parkctl(t, "trace", "--plate", fixture.Plate, "--root", root)
	}
	if !strings.Contains(found.out, "parkingsync ") || !strings.Contains(found.out, "vehiclenotify ") || strings.Contains(found.out+found.log, fixture.Plate) {
		t.Errorf("got %+v, want both calls of the plate, and never the plate", found)
	}

	callback, err := s.WeChatPay.BuildPlateState(s.URL+"/v1/callbacks/vehicle/"+fixture.VendorID, fixture.PlateState("BLOCKED", "OVERDUE", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("callback.xml", callback.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(0, "explain", "callback.xml"); !strings.Contains(got.out, "verifies: verified") {
		t.Errorf("got %+v", got)
	}
	if err := os.WriteFile("callback.xml", []byte(strings.Replace(string(callback.Body), "BLOCKED", "NORMAL", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(failedStatus, "explain", "callback.xml"); !strings.Contains(got.out, "no_match") {
		t.Errorf("got %+v", got)
	}
	if got := parkctl(t, "__complete", "vendor", "show", "--root", root, ""); !strings.Contains(got.out, "acme\n") || !strings.Contains(got.out, fixture.VendorID+"\n") {
		t.Errorf("got %+v, want the vendors completed", got)
	}
}
