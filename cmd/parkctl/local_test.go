package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServeTwice: where a stack has the address already, a second one ends and leaves the first one's log as it is.
func TestServeTwice(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	root := t.TempDir()
	template, err := os.ReadFile(filepath.Join("..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "template.yaml"), template, 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(root, "build", "local", "functions.log")
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, []byte("the first one's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := parkctl(t, "local", "serve", "--root", root, "--listen", taken.Addr().String(), "--console", "")
	if got.status != failedStatus || !strings.Contains(got.log, "choose another address with --listen") {
		t.Errorf("got %+v, want status %d and what to do", got, failedStatus)
	}
	if left, err := os.ReadFile(log); err != nil || string(left) != "the first one's\n" {
		t.Errorf("got the log %q, %v, want it as it was", left, err)
	}
}

// TestFreshFile: a log is begun anew, and a stack that still writes to the old one does not write into it.
func TestFreshFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "functions.log")
	write := func(f *freshFile, text string) {
		t.Helper()
		if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("got %d, %v, want %d bytes written", n, err, len(text))
		}
	}
	first, second := &freshFile{path: path}, &freshFile{path: path}
	if err := second.Close(); err != nil {
		t.Errorf("got %v for a file without a line, want nothing", err)
	}
	write(first, "old\n")
	write(second, "new\n")
	write(first, "old again\n")
	write(second, "and new\n")
	for _, f := range []*freshFile{first, second} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new\nand new\n" {
		t.Errorf("got %q, %v, want the second's lines alone", got, err)
	}
}
