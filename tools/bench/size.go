package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// sizes are the deployed bootstraps' sizes, and what each module puts into them.
type sizes struct {
	Bootstraps []bootstrapSize
	Modules    []moduleSize // the largest first
}

type bootstrapSize struct {
	Function   string
	Bytes, Zip int64
	Packages   int
}

// moduleSize is the code and data of one module's symbols by function, before the symbols are stripped.
type moduleSize struct {
	Module string
	Bytes  map[string]int64
}

func (m moduleSize) most() int64 {
	var most int64
	for _, n := range m.Bytes {
		most = max(most, n)
	}
	return most
}

func (b bench) sizes(ctx context.Context) (sizes, error) {
	var s sizes
	byModule := make(map[string]map[string]int64)
	for _, name := range append([]string{hello}, b.functions...) {
		path := b.bootstrap(deployed, name)
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		zipped, err := zipSize(path)
		if err != nil {
			return s, err
		}
		packages, modules, err := b.moduleSizes(ctx, name)
		if err != nil {
			return s, err
		}
		s.Bootstraps = append(s.Bootstraps, bootstrapSize{name, info.Size(), zipped, packages})
		for module, n := range modules {
			if byModule[module] == nil {
				byModule[module] = make(map[string]int64)
			}
			byModule[module][name] = n
		}
	}
	for module, n := range byModule {
		s.Modules = append(s.Modules, moduleSize{module, n})
	}
	slices.SortFunc(s.Modules, func(a, b moduleSize) int {
		return cmp.Or(cmp.Compare(b.most(), a.most()), cmp.Compare(a.Module, b.Module))
	})
	return s, nil
}

// zipSize is the size of the archive that is uploaded.
func zipSize(path string) (int64, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	w, err := z.Create("bootstrap")
	if err == nil {
		_, err = w.Write(program)
	}
	return int64(archive.Len()), errors.Join(err, z.Close())
}

// The names under which symbols are counted that no module has.
const (
	standardLibrary = "Go's runtime and standard library"
	shared          = "types, strings and tables of the linker's"
	product         = "wechat-parking-gateway"
)

// moduleSizes links a function once more with its symbols, and adds these up by module.
func (b bench) moduleSizes(ctx context.Context, name string) (packages int, sizes map[string]int64, err error) {
	dir, path := b.root, "./functions/"+name
	if name == hello {
		dir, path = filepath.Join(b.root, "tools", "bench"), "./hello"
	}
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+deployed)
	moduleOf := map[string]string{"main": product}
	list := exec.CommandContext(ctx, "go", "list", "-tags", "lambda.norpc", "-deps", "-json=ImportPath,Standard,Module", path)
	list.Dir, list.Env = dir, env
	out, err := list.Output()
	if err != nil {
		return 0, nil, err
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Standard   bool
			Module     *struct{ Path string }
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, nil, err
		}
		packages++
		if p.Module != nil {
			moduleOf[p.ImportPath] = p.Module.Path
		} else {
			moduleOf[p.ImportPath] = standardLibrary
		}
	}
	unstripped := filepath.Join(b.folder, name+".symbols")
	defer os.Remove(unstripped)
	if err := command(ctx, dir, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + deployed}, "go",
		"build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-o", unstripped, path); err != nil {
		return 0, nil, err
	}
	program, err := elf.Open(unstripped)
	if err != nil {
		return 0, nil, err
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		return 0, nil, err
	}
	return packages, addUp(symbols, program.Sections, moduleOf), nil
}

// addUp adds up by module what symbols take in the file. Those of sections that are only made when the program starts (BSS)
// take nothing.
func addUp(symbols []elf.Symbol, sections []*elf.Section, moduleOf map[string]string) map[string]int64 {
	sizes := make(map[string]int64)
	for _, s := range symbols {
		if int(s.Section) >= len(sections) || sections[s.Section].Type == elf.SHT_NOBITS || sections[s.Section].Type == elf.SHT_NULL {
			continue
		}
		module, found := moduleOf[packageOf(s.Name)]
		if !found {
			module = shared
		}
		if module == "wechat-parking-gateway/tools/bench" {
			module = product
		}
		sizes[module] += int64(s.Size)
	}
	return sizes
}

// packageOf returns the import path in a symbol's name: all before the first full stop after the last slash that stands
// before any bracket.
func packageOf(symbol string) string {
	head, _, _ := strings.Cut(symbol, "[")
	head, _, _ = strings.Cut(head, "(")
	slash := strings.LastIndexByte(head, '/') + 1
	dot := strings.IndexByte(head[slash:], '.')
	if dot < 0 {
		return head
	}
	path := head[:slash+dot]
	return strings.ReplaceAll(path, "%2e", ".")
}
