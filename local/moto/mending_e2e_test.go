//go:build e2e

package moto_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDeletingWaitsForSending: a message is not deleted while another is being added, by which moto as it comes would lose
// the latter. See sitecustomize.py.
func TestDeletingWaitsForSending(t *testing.T) {
	const check = `
import threading
from moto.sqs.models import Queue

class Fake:
    _messages_lock = threading.Condition()
    _messages = []
    deleted_messages = {"receipt"}

adding, added = threading.Event(), threading.Event()

def add():
    with Fake._messages_lock:
        adding.set()
        added.wait()

threading.Thread(target=add).start()
adding.wait()
deleting = threading.Thread(target=Queue.delete_message, args=(Fake(), "receipt"))
deleting.start()
deleting.join(0.5)
waits = deleting.is_alive()
added.set()
deleting.join(10)
assert waits and not deleting.is_alive(), (waits, deleting.is_alive())
`
	folder, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../../.venv/bin/python", "-c", check)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("got %v, want that deleting waits\n%s", err, out)
	}
}
