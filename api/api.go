// Package api holds the contract: every route, body, header, answer and error code, WeChat Pay's callbacks and the events
// that vendors are sent, as OpenAPI 3.1. What publishes or checks the contract reads it from here.
package api

import _ "embed"

// OpenAPI is the contract, in YAML.
//
//go:embed openapi.yaml
var OpenAPI []byte
