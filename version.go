// Package gateway holds what the whole project shares: its version.
package gateway

import (
	_ "embed"
	"strings"
)

//go:embed VERSION
var version string

// Version returns the project's version, which stands in the file VERSION and nowhere else.
func Version() string { return strings.TrimSpace(version) }
