package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"wechat-parking-gateway/local/reference"
)

// TestWrite: the folder holds the whole page, in place of an older one.
func TestWrite(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "docs", "reference")
	for range 2 {
		if err := write(folder); err != nil {
			t.Fatal(err)
		}
	}
	files, err := reference.Files()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != len(files) {
		t.Fatalf("got %d files, %v, want %d", len(entries), err, len(files))
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
}
