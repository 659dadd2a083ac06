// Package handover writes what a vendor needs to call a gateway and to verify its events: a file that the operator gives
// to the vendor, and that the vendor's programs read as environment variables. docs/guide.md tells vendors how.
package handover

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"wechat-parking-gateway/shared/stdwebhook"
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
	// WebhookURL is where events are sent, "" if the vendor has named no address yet, and Events are those that it hears of.
	// They are written as remarks, for people.
	WebhookURL string
	Events     []string
}

// String hides the secrets.
func (f File) String() string { return "handover for " + f.VendorID }

// The keys of the file, which the vendor's programs read.
const (
	keyURL           = "PARKING_GATEWAY_URL"
	keyVendor        = "PARKING_VENDOR_ID"
	keyRequestSecret = "PARKING_REQUEST_SECRET"
	keyWebhookSecret = "PARKING_WEBHOOK_SECRET"
)

type field struct{ key, value string }

func (f File) fields() []field {
	return []field{
		{keyURL, strings.TrimSuffix(f.BaseURL, "/")}, {keyVendor, f.VendorID},
		{keyRequestSecret, f.RequestSecret}, {keyWebhookSecret, f.WebhookSecret},
	}
}

// text returns the file's lines: KEY=value without quotes or export, which a shell, docker's --env-file and the dotenv
// libraries all read. Values are therefore refused when any of them would read something else.
func (f File) text() (string, error) {
	lines := []string{
		"# WeChat Parking Gateway: hand-over for vendor " + f.VendorID,
		"# Keep it secret. How to use it: docs/guide.md, docs/guide.zh-CN.md",
	}
	if len(f.Events) > 0 {
		lines = append(lines, "# Events: "+strings.Join(f.Events, ", "))
	}
	if f.WebhookURL != "" && !strings.ContainsFunc(f.WebhookURL, unicode.IsControl) {
		lines = append(lines, "# They are sent to: "+f.WebhookURL)
	}
	if len(f.Events) > 0 && f.WebhookURL == "" {
		lines = append(lines, "# They are sent nowhere yet: tell the operator the https address that takes them.")
	}
	for _, pair := range f.fields() {
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

// ErrExists says that there is a file of that name, which may hold secrets that are nowhere else.
var ErrExists = errors.New("the file exists already")

// Create writes a new file that only its owner can read, down to the disk, and never over another: whoever stores the
// secrets after it cannot store what nobody has.
func (f File) Create(path string) (err error) {
	text, err := f.text()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("handover: %s: %w, and is not overwritten", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("handover: %w", err), os.Remove(path))
	}
	if folder, openErr := os.Open(filepath.Dir(path)); openErr == nil {
		// Some file systems do not sync folders; the file itself was synced.
		_ = folder.Sync()
		_ = folder.Close()
	}
	return nil
}

// maxSize is more than any hand-over file has, in bytes.
const maxSize = 64 << 10

// Read reads a hand-over file. Its errors show nothing of the file's content but the names of keys.
func Read(path string) (File, error) {
	var f File
	file, err := os.Open(path)
	if err != nil {
		return f, fmt.Errorf("handover: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxSize))
	if err != nil {
		return f, fmt.Errorf("handover: %w", err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			values[key] = value
		}
	}
	for _, field := range f.fields() {
		if values[field.key] == "" {
			return File{}, fmt.Errorf("handover: %s has no %s; it is no hand-over file", path, field.key)
		}
	}
	for _, key := range []string{keyRequestSecret, keyWebhookSecret} {
		if _, err := stdwebhook.ParseSecret(values[key]); err != nil {
			return File{}, fmt.Errorf("handover: %s: %s is not whsec_ and base64; copy it again as it was handed over", path, key)
		}
	}
	return File{
		BaseURL: strings.TrimSuffix(values[keyURL], "/"), VendorID: values[keyVendor],
		RequestSecret: values[keyRequestSecret], WebhookSecret: values[keyWebhookSecret],
	}, nil
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
