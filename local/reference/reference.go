// Package reference makes the page that shows the contract to people: Swagger UI, as its Go module carries it, over
// api/openapi.yaml. The local stack serves it, and `make reference` writes it to docs/reference for publishing, where Git
// leaves it alone: all of it can be written again. Nothing of it comes from another host.
//
// Only local/, cmd/, tools/ and tests may import this package.
//
// Swagger UI is SmartBear's, under the Apache License 2.0, as this project is.
package reference

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/swaggest/swgui/v5/static"

	"wechat-parking-gateway/api"
)

// policy is what the page may do: load its own files and show them. The renderer draws its icons from data: URLs in its
// style sheet; it needs no inline script and no inline style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"

// framing cannot stand in a page, only in a header.
const framing = "; frame-ancestors 'none'"

//go:embed page
var page embed.FS

// The page's own files, and those of the renderer, which are compressed in its module.
var (
	own      = []string{"index.html", "reference.css", "reference.js"}
	renderer = []string{"swagger-ui-bundle.js", "swagger-ui.css"}
)

// Files returns the page's files by name: index.html and what it loads.
var Files = sync.OnceValues(func() (map[string][]byte, error) {
	files := map[string][]byte{"openapi.yaml": api.OpenAPI}
	for _, name := range own {
		b, err := page.ReadFile("page/" + name)
		if err != nil {
			return nil, fmt.Errorf("reference: %w", err)
		}
		files[name] = bytes.ReplaceAll(b, []byte("{{CSP}}"), []byte(policy))
	}
	for _, name := range renderer {
		b, err := unpack(name)
		if err != nil {
			return nil, fmt.Errorf("reference: %s: %w", name, err)
		}
		files[name] = b
	}
	return files, nil
})

func unpack(name string) ([]byte, error) {
	packed, err := static.FS.Open(name + ".gz")
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

// Handler serves the page at "/" and its files beside it. It answers GET and HEAD alone.
func Handler() (http.Handler, error) {
	files, err := Files()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy+framing)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		b, ok := files[name]
		if !ok {
			http.Error(w, "no such file", http.StatusNotFound)
			return
		}
		header.Set("Content-Type", mediaType(name))
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	}), nil
}

// mediaType does not depend on what the machine knows.
func mediaType(name string) string {
	if path.Ext(name) == ".yaml" {
		return "application/yaml; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}
