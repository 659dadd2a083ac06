package handover_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"wechat-parking-gateway/cmd/parkctl/handover"
)

func file() handover.File {
	return handover.File{
		BaseURL: "https://abc123.execute-api.cn-north-1.amazonaws.com.cn/", VendorID: "acme-parking",
		RequestSecret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", WebhookSecret: "whsec_+/Ab9r8GKYqrTwjUPD8ILPZIo2LaLQ==",
	}
}

// TestShellReadsIt: a shell gets every value as it is, by the two commands that the vendor guide shows.
func TestShellReadsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.env")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := file().Write(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want one that only the owner can read", info.Mode(), err)
	}
	cmd := exec.Command("sh", "-c", `set -a; . ./gateway.env; set +a
env | grep '^PARKING_' | sort`)
	cmd.Dir = filepath.Dir(path)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "PARKING_GATEWAY_URL=https://abc123.execute-api.cn-north-1.amazonaws.com.cn\n" +
		"PARKING_REQUEST_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n" +
		"PARKING_VENDOR_ID=acme-parking\n" +
		"PARKING_WEBHOOK_SECRET=whsec_+/Ab9r8GKYqrTwjUPD8ILPZIo2LaLQ==\n"
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// TestRefused: a value that a reader of the file could misread is refused, by the name of its key alone.
func TestRefused(t *testing.T) {
	for key, spoil := range map[string]func(*handover.File){
		"PARKING_GATEWAY_URL":    func(f *handover.File) { f.BaseURL = "https://a.example/$(id)" },
		"PARKING_VENDOR_ID":      func(f *handover.File) { f.VendorID = "" },
		"PARKING_REQUEST_SECRET": func(f *handover.File) { f.RequestSecret += " x" },
		"PARKING_WEBHOOK_SECRET": func(f *handover.File) { f.WebhookSecret += "\nA=b" },
	} {
		f := file()
		spoil(&f)
		path := filepath.Join(t.TempDir(), "gateway.env")
		err := f.Write(path)
		if err == nil || !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "whsec_") {
			t.Errorf("%s: got %v, want an error that names the key and shows no secret", key, err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: a file was left: %v", key, err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %s", file(), file(), file()); strings.Contains(shown, "whsec_") {
		t.Errorf("printing it shows a secret: %s", shown)
	}
}

// TestCreateAndRead: a new file reads as what was written, and is never written over another.
func TestCreateAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acme-parking.gateway.env")
	f := file()
	f.Events, f.WebhookURL = []string{"vehicle.plate_state_changed"}, "https://parking.example.com/hooks?a=$(id)"
	if err := f.Create(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want one that only the owner can read", info.Mode(), err)
	}
	got, err := handover.Read(path)
	want := file()
	want.BaseURL = strings.TrimSuffix(want.BaseURL, "/")
	if err != nil || got.BaseURL != want.BaseURL || got.VendorID != want.VendorID || got.RequestSecret != want.RequestSecret || got.WebhookSecret != want.WebhookSecret {
		t.Errorf("got %#v, %v, want what was written", got, err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := file().Create(path); !errors.Is(err, handover.ErrExists) {
		t.Errorf("got %v, want %v", err, handover.ErrExists)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file that was there changed: %v", err)
	}
	if err := os.WriteFile(path, []byte("PARKING_GATEWAY_URL=https://a.example\nwhsec_stray\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := handover.Read(path); err == nil || !strings.Contains(err.Error(), "PARKING_VENDOR_ID") || strings.Contains(err.Error(), "whsec_") {
		t.Errorf("got %v, want an error that names the missing key and shows nothing", err)
	}
	for key, secret := range map[string]string{"PARKING_REQUEST_SECRET": "whsec_!", "PARKING_WEBHOOK_SECRET": "stray"} {
		var text strings.Builder
		values := map[string]string{
			"PARKING_GATEWAY_URL": "https://a.example", "PARKING_VENDOR_ID": "acme",
			"PARKING_REQUEST_SECRET": file().RequestSecret, "PARKING_WEBHOOK_SECRET": file().WebhookSecret,
		}
		values[key] = secret
		for name, value := range values {
			fmt.Fprintf(&text, "%s=%s\n", name, value)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := handover.Read(path); err == nil || !strings.Contains(err.Error(), key+" is not whsec_ and base64") || strings.Contains(err.Error(), secret+" ") {
			t.Errorf("got %v for %s, want it named and not shown", err, key)
		}
	}
}
