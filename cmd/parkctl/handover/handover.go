// Package handover writes what a vendor needs to call a gateway and to verify its events: a file that the operator gives
// to the vendor, and that the vendor's programs read as environment variables. docs/guide.md tells vendors how.
package handover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// File is one vendor's hand-over file. It holds secrets: it is written for its owner alone, and never printed.
type File struct {
	// BaseURL is the gateway's address, without a slash at its end.
	BaseURL  string
	VendorID string
	// RequestSecret is what the vendor signs its calls with, WebhookSecret what it verifies events with; both are
	// written whsec_…. While a secret is being rotated these are the newest, which are enough: a vendor signs with one,
	// and an event carries a signature for each.
	RequestSecret, WebhookSecret string
}

// String hides the secrets.
func (f File) String() string { return "handover for " + f.VendorID }

// text returns the file's lines: KEY=value without quotes or export, which a shell, docker's --env-file and the dotenv
// libraries all read. Values are therefore refused when any of them would read something else.
func (f File) text() (string, error) {
	lines := []string{
		"# WeChat Parking Gateway: hand-over for vendor " + f.VendorID,
		"# Keep it secret. How to use it: docs/guide.md, docs/guide.zh-CN.md",
	}
	for _, pair := range []struct{ key, value string }{
		{"PARKING_GATEWAY_URL", strings.TrimSuffix(f.BaseURL, "/")},
		{"PARKING_VENDOR_ID", f.VendorID},
		{"PARKING_REQUEST_SECRET", f.RequestSecret},
		{"PARKING_WEBHOOK_SECRET", f.WebhookSecret},
	} {
		if pair.value == "" || strings.ContainsFunc(pair.value, misread) {
			return "", fmt.Errorf("handover: %s is empty or holds a character that an environment file cannot carry", pair.key)
		}
		lines = append(lines, pair.key+"="+pair.value)
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// misread tells whether a shell or a dotenv reader could take a character for something other than itself.
func misread(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~:/+=", r)
}

// Write writes the file so that only its owner can read it. A file that is there is replaced as a whole.
func (f File) Write(path string) (err error) {
	text, err := f.text()
	if err != nil {
		return err
	}
	// CreateTemp makes it readable for its owner alone, whatever the file that it replaces was.
	temporary, err := os.CreateTemp(filepath.Dir(path), ".handover-*")
	if err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	_, err = temporary.WriteString(text)
	if err = errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	if err = os.Rename(temporary.Name(), path); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	return nil
}
