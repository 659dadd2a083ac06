package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commandInText finds the commands of a page, in its code blocks and between backquotes.
var commandInText = regexp.MustCompile("(?m)(?:^ *|`)(parkctl [^`\n]+)")

// TestRotationPage: every command of docs/rotation.md is one that parkctl understands, and every command that edits keys is
// on the page.
func TestRotationPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/rotation.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range commandInText.FindAllStringSubmatch(string(page), -1) {
		args := strings.Fields(m[1])[1:]
		if i := slices.Index(args, "…"); i >= 0 {
			args = args[:i]
		}
		command, rest, err := root(&settings{}).Find(args)
		if err != nil || !command.Runnable() {
			t.Errorf("%s: %v", m[1], err)
			continue
		}
		seen[command.CommandPath()] = true
		if err := command.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", m[1], err)
			continue
		}
		if err := command.ValidateArgs(command.Flags().Args()); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	if len(seen) == 0 {
		t.Fatal("the page has no command")
	}
	for _, c := range []*cobra.Command{keyCommand(&settings{}), merchantKeyCommand(&settings{})} {
		for _, sub := range append(c.Commands(), c) {
			path := "parkctl secret " + sub.CommandPath()
			if sub.Runnable() && !seen[path] {
				t.Errorf("%s is not in docs/rotation.md", path)
			}
		}
	}
}
