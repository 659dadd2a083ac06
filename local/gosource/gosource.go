// Package gosource reads the project's own Go source, for tests that hold the template and the documents against the code.
package gosource

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNone is returned for a pattern that no source file fits: a test that reads nothing would prove nothing.
var ErrNone = errors.New("no Go source fits the pattern")

// Files parses the source files that fit a pattern of path/filepath, tests aside.
func Files(pattern string) ([]*ast.File, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: %w", pattern, ErrNone)
	}
	return files, nil
}

// Text returns the text of a string literal, and whether n is one.
func Text(n ast.Node) (string, bool) {
	l, ok := n.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}
