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
	s, err := stack.Start(ctx, stack.Options{Root: root, Listen: "127.0.0.1:0", FunctionLog: io.Discard})
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
	run(0, "call", "parking", "--handover", "acme.gateway.env")
	run(0, "vendor", "rotate", "acme", "--out", "rotated.env")
	// The functions look again at once for a secret that they do not know, and at most every 30 s: the old one works meanwhile.
	run(0, "call", "entry", "--handover", "acme.gateway.env")
	run(0, "vendor", "ping", fixture.VendorID)
	run(failedStatus, "vendor", "ping", "acme")

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
