package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
)

// TestLinks: what a page refers to exists, the headings too, in the READMEs and everything below docs.
func TestLinks(t *testing.T) {
	readmes, err := filepath.Glob("../*.md")
	if err != nil || len(readmes) < 2 {
		t.Fatalf("got %q, %v, want the READMEs", readmes, err)
	}
	found := 0
	check := func(page string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(page) != ".md" {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(prose(t, page), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, ":") {
				continue // an address on the web
			}
			found++
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			} else if anchor != "" && !anchors(t, target)[anchor] {
				t.Errorf("%s: %s has no heading #%s", page, target, anchor)
			}
		}
		return nil
	}
	for _, page := range append(readmes, ".") {
		if err := filepath.WalkDir(page, check); err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("found no links")
	}
}

// prose is a page without its code blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return fenced.ReplaceAllString(string(b), "")
}

// anchors are the names that a page's headings have on the web: in lower case, without punctuation, hyphens for spaces.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(prose(t, page), -1) {
		names[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsNumber(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])] = true
	}
	return names
}

// TestIndex: README.md names every page beside it.
func TestIndex(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("got %q, %v", pages, err)
	}
	named := map[string]bool{"README.md": true}
	for _, m := range link.FindAllStringSubmatch(prose(t, "README.md"), -1) {
		path, _, _ := strings.Cut(m[1], "#")
		named[path] = true
	}
	for _, page := range pages {
		if !named[page] {
			t.Errorf("docs/README.md does not name %s", page)
		}
	}
}
