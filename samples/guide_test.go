// Package samples_test holds the samples against the guide that shows them: the guide's pages are what a vendor's engineer
// copies from, so that the files here, which tools can check, must be the same text.
package samples_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "put the samples into the guide's pages")

// guides are the guide in both languages, and pages those that both share.
var guides = []string{"../docs/guide.md", "../docs/guide.zh-CN.md"}

func pages(t *testing.T) []string {
	t.Helper()
	shared, err := filepath.Glob("../docs/guide/*.md")
	if err != nil || len(shared) == 0 {
		t.Fatalf("got %q, %v, want the guide's pages", shared, err)
	}
	return append(slices.Clone(guides), shared...)
}

// block is a code block of the guide that belongs to a sample. Its info string says so, behind the language:
//
//	```python sample=python variant=library file=signing.py
//	```sh sample=python do=call
//
// A file is to be saved under its name; a command is to be run: prepare, call or receive. Without a variant a block
// belongs to every variant of its sample.
type block struct {
	sample, variant, file, do string
	text                      string
	first, last               int // the lines of the text
}

// in tells whether the block belongs to a variant.
func (b block) in(sample, variant string) bool {
	return b.sample == sample && (b.variant == "" || b.variant == variant)
}

// path is where the samples' folder has a file.
func (b block) path() string {
	if b.variant == "library" {
		return filepath.Join(b.sample, "library", b.file)
	}
	return filepath.Join(b.sample, b.file)
}

// blocks reads a page's blocks in their order. A block that carries no mark is prose.
func blocks(t *testing.T, page string) (found []block, lines []string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.SplitAfter(string(b), "\n")
	for i := 0; i < len(lines); i++ {
		info, fence := strings.CutPrefix(lines[i], "```")
		if !fence {
			continue
		}
		words := strings.Fields(info)
		one := block{first: i + 1}
		for i++; i < len(lines) && !strings.HasPrefix(lines[i], "```"); i++ {
			one.text += lines[i]
		}
		one.last = i
		if i == len(lines) {
			t.Fatalf("%s:%d: the block does not end", page, one.first)
		}
		for _, word := range words[min(1, len(words)):] {
			key, value, _ := strings.Cut(word, "=")
			field, known := map[string]*string{"sample": &one.sample, "variant": &one.variant, "file": &one.file, "do": &one.do}[key]
			if !known || value == "" {
				t.Errorf("%s:%d: %q says nothing to the tests", page, one.first, word)
				continue
			}
			*field = value
		}
		if one.sample == "" {
			continue
		}
		if (one.file == "") == (one.do == "") || one.variant != "" && one.variant != "plain" && one.variant != "library" {
			t.Errorf("%s:%d: a sample's block is a file or a command, and its variant is plain or library", page, one.first)
		}
		found = append(found, one)
	}
	return found, lines
}

// TestThePagesShowTheSamples: what the guide shows is what lies here, and all of it. Run it with -update after a sample
// was changed.
func TestThePagesShowTheSamples(t *testing.T) {
	shown := map[string]bool{}
	for _, page := range pages(t) {
		found, lines := blocks(t, page)
		for _, b := range slices.Backward(found) {
			if b.file == "" {
				continue
			}
			want, err := os.ReadFile(b.path())
			if err != nil {
				t.Errorf("%s:%d: %v", page, b.first, err)
				continue
			}
			shown[b.path()] = true
			if b.text == string(want) {
				continue
			}
			if !*update {
				t.Errorf("%s:%d: is not the text of samples/%s; run go test ./samples -update", page, b.first, b.path())
				continue
			}
			lines = slices.Replace(lines, b.first, b.last, string(want))
			if err := os.WriteFile(page, []byte(strings.Join(lines, "")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, pattern := range []string{"*/*.*", "*/library/*.*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			// go.mod tells Go that the samples are a module of their own; testdata is the tests'.
			if !shown[file] && file != "go/go.mod" && !strings.HasPrefix(file, "testdata/") {
				t.Errorf("samples/%s: no page of the guide shows it", file)
			}
		}
	}
}

// TestBothGuidesShowTheSame: the guide has the same samples and the same commands in both languages, in the same order.
func TestBothGuidesShowTheSame(t *testing.T) {
	english, _ := blocks(t, guides[0])
	chinese, _ := blocks(t, guides[1])
	strip := func(b block) string { return fmt.Sprint(b.sample, b.variant, b.file, b.do, "\n", b.text) }
	for i := range max(len(english), len(chinese)) {
		var left, right string
		if i < len(english) {
			left = strip(english[i])
		}
		if i < len(chinese) {
			right = strip(chinese[i])
		}
		if left != right {
			t.Errorf("block %d: the English guide has\n%s\nand the Chinese one\n%s", i+1, left, right)
		}
	}
	if len(english) == 0 {
		t.Error("the guide has no samples")
	}
}

// TestTheCollectionHoldsTheScript: the collection that a tool imports signs by the script that the guide shows.
func TestTheCollectionHoldsTheScript(t *testing.T) {
	b, err := os.ReadFile("postman/collection.json")
	if err != nil {
		t.Fatal(err)
	}
	var collection struct {
		Event []struct {
			Listen string
			Script struct{ Exec []string }
		}
	}
	if err := json.Unmarshal(b, &collection); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("postman/sign.js")
	if err != nil {
		t.Fatal(err)
	}
	if len(collection.Event) != 1 || collection.Event[0].Listen != "prerequest" ||
		strings.Join(collection.Event[0].Script.Exec, "\n")+"\n" != string(script) {
		t.Error("postman/collection.json has another pre-request script than postman/sign.js; copy it line by line into event[0].script.exec")
	}
}
