package gosource_test

import (
	"errors"
	"fmt"
	"go/ast"
	"testing"

	"wechat-parking-gateway/local/gosource"
)

func TestNothingFits(t *testing.T) {
	for _, pattern := range []string{"nowhere/*.go", "*_test.go"} {
		if files, err := gosource.Files(pattern); !errors.Is(err, gosource.ErrNone) {
			t.Errorf("%s: got %v, %v, want %v", pattern, files, err, gosource.ErrNone)
		}
	}
	if _, err := gosource.Files("["); err == nil {
		t.Error("a pattern that is none was taken")
	}
}

func Example() {
	files, err := gosource.Files("*.go")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := gosource.Text(n); ok && text == "_test.go" {
				fmt.Printf("%s passes over %s\n", file.Name, text)
			}
			return true
		})
	}
	// Output:
	// gosource passes over _test.go
}
