//go:build e2e

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/cmd/parkctl/handover"
	"wechat-parking-gateway/cmd/parkctl/vendorbook"
)

func (w *world) vendors() map[string]vendorbook.Vendor {
	w.t.Helper()
	vendors, err := vendorbook.Read([]byte(w.get(w.state.VendorsSecrets[0])))
	if err != nil {
		w.t.Fatal(err)
	}
	return vendors
}

func readHandOver(t *testing.T, path string) handover.File {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v for %s, want 0600", info.Mode(), path)
	}
	file, err := handover.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTwoHundredVendors: two hundred processes add a vendor each to one secret, twenty-five at a time. None is lost, and
// what each handed over is what is stored.
func TestTwoHundredVendors(t *testing.T) {
	const vendors, atOnce = 200, 25
	w := newWorld(t, map[string]string{"vendors": `{"vendors": {"first": {"request_secrets": []}}}`})
	parkctl, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	started := time.Now()
	var running sync.WaitGroup
	var next, failed atomic.Int32
	for range atOnce {
		running.Go(func() {
			for i := next.Add(1); i <= vendors; i = next.Add(1) {
				id := fmt.Sprintf("vendor-%d", i)
				cmd := exec.Command(parkctl, "vendor", "add", id, "--root", w.root, "--out", filepath.Join(folder, id),
					"--sub-mchid", fmt.Sprint(1900000000+i), "--vehicle")
				if out, err := cmd.CombinedOutput(); err != nil {
					failed.Add(1)
					t.Errorf("%s: %v: %s", id, err, out)
				} else if strings.Contains(string(out), "whsec_") {
					t.Errorf("%s: the output shows a secret", id)
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d processes, %d at a time: %.1f s, %d failed", vendors, atOnce, time.Since(started).Seconds(), failed.Load())

	stored := w.vendors()
	if len(stored) != vendors+1 {
		t.Errorf("got %d vendors, want %d", len(stored), vendors+1)
	}
	for i := 1; i <= vendors; i++ {
		id := fmt.Sprintf("vendor-%d", i)
		file := readHandOver(t, filepath.Join(folder, id))
		v := stored[id]
		if file.VendorID != id || len(v.RequestSecrets) != 1 || v.RequestSecrets[0] != file.RequestSecret ||
			len(v.WebhookSecrets) != 1 || v.WebhookSecrets[0] != file.WebhookSecret {
			t.Errorf("%s: what was handed over is not what is stored", id)
		}
		if len(v.Merchants) != 1 || v.Merchants[0].SubMchID != fmt.Sprint(1900000000+i) || v.Merchants[0].Vehicle == nil {
			t.Errorf("%s: got merchants %v", id, v.Merchants)
		}
	}
}

// TestVendorLife takes a vendor through everything that an operator does with it.
func TestVendorLife(t *testing.T) {
	w := newWorld(t, map[string]string{"vendors": vendorbook.Empty})
	t.Chdir(t.TempDir())
	const id = "acme-parking"

	out := w.ok("vendor", "add", id, "--webhook-url", "https://parking.example.com/hooks?token=t", "--events",
		"vehicle.plate_state_changed,businesscircle.refund_succeeded", "--sub-mchid", "1900000109", "--vehicle-appid", "wxcbda96de0b165489")
	if strings.Contains(out, "whsec_") {
		t.Errorf("the output shows a secret: %s", out)
	}
	added := readHandOver(t, id+".gateway.env")
	if added.BaseURL != "https://gateway.example.com" || added.VendorID != id {
		t.Errorf("got %#v", added)
	}
	if v := w.vendors()[id]; v.RequestSecrets[0] != added.RequestSecret || v.WebhookSecrets[0] != added.WebhookSecret || len(v.Events) != 2 {
		t.Error("what was handed over is not what is stored")
	}
	if got := w.parkctl("vendor", "add", id, "--out", "other"); got.status != failedStatus || !strings.Contains(got.log, "already") {
		t.Errorf("got %+v, want a second vendor of one id refused", got)
	}
	if _, err := os.Stat("other"); err == nil {
		t.Error("a hand-over file was left for a vendor that was refused")
	}

	// A file that is there is never overwritten, and nothing is stored then.
	if got := w.parkctl("vendor", "rotate", id); got.status != failedStatus || !strings.Contains(got.log, "exists already") {
		t.Errorf("got %+v, want the hand-over file kept", got)
	}
	if v := w.vendors()[id]; len(v.RequestSecrets) != 1 {
		t.Error("secrets were stored that are in no file")
	}
	w.ok("vendor", "rotate", id, "--out", "rotated")
	rotated := readHandOver(t, "rotated")
	if v := w.vendors()[id]; len(v.RequestSecrets) != 2 || v.RequestSecrets[0] != rotated.RequestSecret || v.RequestSecrets[1] != added.RequestSecret ||
		len(v.WebhookSecrets) != 2 || v.WebhookSecrets[0] != rotated.WebhookSecret || v.WebhookSecrets[1] != added.WebhookSecret {
		t.Error("want the new secrets in front of the old ones")
	}
	if got := w.parkctl("vendor", "rotate", id, "--out", "third"); got.status != failedStatus || !strings.Contains(got.log, "--finish") {
		t.Errorf("got %+v, want a second rotation refused before the first is finished", got)
	}
	if got := w.parkctl("vendor", "rotate", id, "--finish"); got.status != failedStatus || !strings.Contains(got.log, "--yes") {
		t.Errorf("got %+v, want a script to need --yes for what cannot be undone", got)
	}
	w.ok("vendor", "rotate", id, "--finish", "--yes")
	if v := w.vendors()[id]; len(v.RequestSecrets) != 1 || v.RequestSecrets[0] != rotated.RequestSecret || len(v.WebhookSecrets) != 1 {
		t.Error("want the new secrets alone")
	}
	w.ok("vendor", "rotate", id, "--only", "webhook", "--out", "webhook")
	if file, v := readHandOver(t, "webhook"), w.vendors()[id]; len(v.RequestSecrets) != 1 || len(v.WebhookSecrets) != 2 ||
		file.RequestSecret != rotated.RequestSecret || file.WebhookSecret != v.WebhookSecrets[0] {
		t.Error("want one list rotated, and the other secret as it is in the file")
	}

	w.ok("vendor", "merchant", "add", id, "--sub-mchid", "1900000109", "--brandid", "1000", "--circle-appid", "wx931386123456789e")
	w.ok("vendor", "merchant", "add", id, "--sub-mchid", "1900000110", "--vehicle")
	if v := w.vendors()[id]; len(v.Merchants) != 2 || v.Merchants[0].Vehicle == nil || v.Merchants[0].BusinessCircle == nil {
		t.Errorf("got %d merchants, want two, the first with both products", len(v.Merchants))
	}
	if out := w.ok("vendor", "merchant", "add", id, "--sub-mchid", "1900000110", "--vehicle"); !strings.Contains(out, "so already") {
		t.Errorf("got %q, want a repeat to change nothing", out)
	}
	w.ok("vendor", "merchant", "remove", id, "--sub-mchid", "1900000110", "--yes")

	w.ok("vendor", "update", id, "--events", "vehicle.plate_state_changed", "--webhook-url", "https://parking.example.com/new?token=u")
	w.ok("vendor", "disable", id)
	list := w.ok("vendor", "list", "--json")
	if !strings.Contains(list, `"vendor":"acme-parking"`) || !strings.Contains(list, `"state":"disabled"`) || strings.Contains(list, "whsec_") || strings.Contains(list, "token=u") {
		t.Errorf("got %s", list)
	}
	if got := w.parkctl("vendor", "ping", id); got.status != failedStatus || !strings.Contains(got.log, "vendor enable") {
		t.Errorf("got %+v, want a disabled vendor not to be pinged", got)
	}
	w.ok("vendor", "enable", id)
	show := w.ok("vendor", "show", id)
	if !strings.Contains(show, "enabled") || !strings.Contains(show, "https://parking.example.com/new") || strings.Contains(show, "whsec_") || strings.Contains(show, "token=u") {
		t.Errorf("got %s", show)
	}
	w.ok("vendor", "ping", id, "--wait", "0")
	w.sent("gateway.ping", id)

	if got := w.parkctl("vendor", "remove", id); got.status != failedStatus || len(w.vendors()) != 1 {
		t.Errorf("got %+v, want a script to need --yes for what cannot be undone", got)
	}
	w.ok("vendor", "remove", id, "--yes")
	if len(w.vendors()) != 0 {
		t.Error("the vendor is still there")
	}
}

// sent takes one message from the events queue.
func (w *world) sent(eventType, vendorID string) {
	w.t.Helper()
	out, err := sqs.NewFromConfig(emulated(w.t).Config()).ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &w.state.EventsQueueURL, WaitTimeSeconds: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(out.Messages) != 1 || !strings.Contains(*out.Messages[0].Body, eventType) || !strings.Contains(*out.Messages[0].Body, vendorID) {
		w.t.Errorf("got %d messages, want one %s for %s", len(out.Messages), eventType, vendorID)
	}
}

// TestVendorRefusals: what is wrong is named, nothing is written, and no hand-over file is left.
func TestVendorRefusals(t *testing.T) {
	for _, row := range []struct {
		name, args, want string
		status           int
	}{
		{"an id with a capital", "vendor add Acme", "lower-case letters", usageStatus},
		{"an unknown event", "vendor add acme --events plate", "/vendors/acme/events/0", usageStatus},
		{"a URL that is not https", "vendor add acme --webhook-url ftp://parking.example.com/", "want an https URL", usageStatus},
		{"a merchant without a product", "vendor add acme --sub-mchid 1900000109", "--vehicle", usageStatus},
		{"a merchant that is no number", "vendor add acme --sub-mchid abc --vehicle", "/vendors/acme/merchants/0/sub_mchid", usageStatus},
		{"a brand without its appid", "vendor add acme --brandid 1", "circle-appid", usageStatus},
		{"an unknown vendor", "vendor show nobody", "no vendor of that id", failedStatus},
		{"nothing to finish", "vendor rotate known --finish --yes", "nothing to finish", failedStatus},
		{"a merchant that it has not", "vendor merchant remove known --sub-mchid 1 --yes", "no such merchant", failedStatus},
		{"a secret that is not there", "vendor list --vendors-secret nowhere", "no such secret", failedStatus},
	} {
		t.Run(row.name, func(t *testing.T) {
			const document = `{"vendors": {"known": {"request_secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}}}`
			w := newWorld(t, map[string]string{"vendors": document})
			t.Chdir(t.TempDir())
			got := w.parkctl(strings.Fields(row.args)...)
			if got.status != row.status || got.out != "" || !strings.Contains(got.log, row.want) || strings.Contains(got.log, "whsec_MfKQ") {
				t.Errorf("got %+v, want status %d and %q", got, row.status, row.want)
			}
			if now := w.get(w.state.VendorsSecrets[0]); now != document {
				t.Errorf("the secret was changed")
			}
			if left, err := filepath.Glob("*"); err != nil || len(left) > 0 {
				t.Errorf("files were left: %v, %v", left, err)
			}
		})
	}
}

// TestTwoSecrets: vendors and their merchants are spread over two secrets, and are one set to every command.
func TestTwoSecrets(t *testing.T) {
	w := newWorld(t, map[string]string{"vendors": vendorbook.Empty, "more": vendorbook.Empty})
	t.Chdir(t.TempDir())
	more := strings.TrimSuffix(w.state.VendorsSecrets[0], "vendors") + "more"
	w.state.VendorsSecrets = append(w.state.VendorsSecrets, more)
	w.note()
	in := func(secret string) map[string]vendorbook.Vendor {
		vendors, err := vendorbook.Read([]byte(w.get(secret)))
		if err != nil {
			t.Fatal(err)
		}
		return vendors
	}
	w.ok("vendor", "add", "acme", "--sub-mchid", "1", "--vehicle")
	w.ok("vendor", "add", "other", "--vendors-secret", more)
	if got := w.parkctl("vendor", "add", "acme", "--vendors-secret", more, "--out", "again"); got.status != failedStatus || !strings.Contains(got.log, "already") {
		t.Errorf("got %+v, want a vendor of the one secret refused in the other: the functions would take neither", got)
	}
	w.ok("vendor", "merchant", "add", "acme", "--sub-mchid", "2", "--vehicle", "--vendors-secret", more)
	if first, second := in(w.state.VendorsSecrets[0]), in(more); len(first["acme"].Merchants) != 1 || len(second["acme"].Merchants) != 1 || len(second["acme"].RequestSecrets) != 0 || len(second) != 2 {
		t.Error("want acme's second merchant in the second secret, and nothing else of it")
	}
	if out := w.ok("vendor", "show", "acme"); !strings.Contains(out, "merchant         1;") || !strings.Contains(out, "merchant         2;") {
		t.Errorf("got %s, want both merchants", out)
	}
	w.ok("vendor", "rotate", "acme", "--out", "rotated")
	if len(in(w.state.VendorsSecrets[0])["acme"].RequestSecrets) != 2 {
		t.Error("want the secrets rotated where they stand")
	}
	w.ok("vendor", "merchant", "remove", "acme", "--sub-mchid", "2", "--yes")
	w.ok("vendor", "remove", "acme", "--yes")
	if first, second := in(w.state.VendorsSecrets[0]), in(more); len(first) != 0 || len(second) != 1 {
		t.Error("want acme gone from both")
	}
}

// TestKilled: whenever a process that adds a vendor is killed, no vendor is stored whose secrets are not in its hand-over
// file. The moments are spread over the time that one takes; the last is not killed.
func TestKilled(t *testing.T) {
	const processes = 40
	w := newWorld(t, map[string]string{"vendors": vendorbook.Empty})
	parkctl, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	add := func(id string, patience time.Duration) (killed bool) {
		cmd := exec.Command(parkctl, "vendor", "add", id, "--root", w.root, "--out", filepath.Join(folder, id))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // it may have ended
		defer timer.Stop()
		return cmd.Wait() != nil
	}
	started := time.Now()
	if add("whole", time.Minute) {
		t.Fatal("a process that was not killed failed")
	}
	whole := time.Since(started)
	killed := 0
	for i := range processes {
		if add(fmt.Sprintf("vendor-%d", i), whole*time.Duration(i)/processes) {
			killed++
		}
	}
	stored := w.vendors()
	for id, v := range stored {
		file := readHandOver(t, filepath.Join(folder, id))
		if v.RequestSecrets[0] != file.RequestSecret || v.WebhookSecrets[0] != file.WebhookSecret {
			t.Errorf("%s has a secret that is in no file", id)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d killed within %s; %d vendors stored, %d hand-over files", killed, whole, len(stored), len(files))
	if killed == 0 {
		t.Error("nothing was killed: the moments are wrong")
	}
}
