package moto_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"wechat-parking-gateway/local/moto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// standIn writes a shell script that stands in for moto_server, and returns its path.
func standIn(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "moto_server")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// answering returns the URL of a server that gives every request that status.
func answering(t *testing.T, status int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(s.Close)
	return s.URL
}

func TestStartFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name, script string
		ctx          context.Context
		want         error
		says         string
	}{
		{"not installed", "", t.Context(), moto.ErrNotInstalled, "make .venv"},
		{"ends at once", "echo broken >&2; exit 3", t.Context(), moto.ErrNotReady, "it ended; its log ends: broken"},
		{"says nothing", "exec sleep 60", ended, context.Canceled, "did not become ready"},
		{"answers with an error", "echo ' * Running on " + answering(t, 500) + "'; exec sleep 60", t.Context(), moto.ErrNotReady, "500"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			executable := filepath.Join(t.TempDir(), "absent")
			if tt.script != "" {
				executable = standIn(t, tt.script)
			}
			_, err := moto.Start(tt.ctx, executable, filepath.Join(t.TempDir(), "moto.log"))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.want, tt.says)
			}
		})
	}
}

func TestCloseEndsTheWholeGroupAndKeepsTheLog(t *testing.T) {
	url := answering(t, 200)
	log := filepath.Join(t.TempDir(), "logs", "moto.log")
	s, err := moto.Start(t.Context(), standIn(t, "sleep 60 & echo $$; echo ' * Running on "+url+"'; wait"), log)
	if err != nil {
		t.Fatal(err)
	}
	if s.URL() != url {
		t.Errorf("got URL %s, want %s", s.URL(), url)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("got %v, want no error from Close", err)
	}
	<-s.Done()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	if want := " * Running on " + url + "\n"; rest != want {
		t.Errorf("got %q in the log, want %q", rest, want)
	}
	group, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	// The killed child of the child is reaped by init, in its own time: a zombie counts as gone.
	if err := syscall.Kill(-group, 0); err == nil && !onlyZombies(t, group) {
		t.Errorf("group %d is still there", group)
	}
}

// onlyZombies says whether every process of group that is left has ended.
func onlyZombies(t *testing.T, group int) bool {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if fields[2] == strconv.Itoa(group) && fields[0] != "Z" {
			return false
		}
	}
	return true
}

func TestTheCallersSettingsDoNotReachIt(t *testing.T) {
	t.Setenv("MOTO_PORT", "1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "the caller's")
	log := filepath.Join(t.TempDir(), "moto.log")
	s, err := moto.Start(t.Context(), standIn(t, "env; echo ' * Running on "+answering(t, 200)+"'; exec sleep 60"), log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"MOTO_PORT", "AWS_"} {
		if strings.Contains(string(text), name) {
			t.Errorf("got %s in the environment of moto_server, want it left out", name)
		}
	}
}

func Example() {
	ctx := context.Background()
	server, err := moto.Start(ctx, filepath.Join("no", "such", "moto_server"), filepath.Join("build", "moto.log"))
	if errors.Is(err, moto.ErrNotInstalled) {
		fmt.Println(moto.ErrNotInstalled)
		return
	}
	defer server.Close()
	// Output: moto_server is not installed: run `make .venv`
}
