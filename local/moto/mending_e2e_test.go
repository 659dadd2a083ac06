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
	python(t, `
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
`)
}

// TestSecretsOneAtATime: of two writers with one token a single one wins, and nobody reads between the moves of a label.
// With moto as it comes a reader finds no current version while another writes. See sitecustomize.py.
func TestSecretsOneAtATime(t *testing.T) {
	python(t, `
import threading
from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend

backend = SecretsManagerBackend("cn-north-1", "123456789012")
backend._add_secret("park", secret_string="old", version_id="a" * 32)

moving, moved = threading.Event(), threading.Event()
move = FakeSecret.reset_default_version

def slow(self, *args):
    for version in self.versions.values():
        version["version_stages"] = []
    moving.set()
    moved.wait()
    move(self, *args)

FakeSecret.reset_default_version = slow
put = lambda: backend.put_secret_value("park", "new", None, "b" * 32, ["AWSCURRENT"])
threading.Thread(target=put).start()
moving.wait()
read = []
reading = threading.Thread(target=lambda: read.append(backend.get_secret_value("park", None, "AWSCURRENT")))
reading.start()
reading.join(0.5)
waits = reading.is_alive()
moved.set()
reading.join(10)
assert waits and read[0]["SecretString"] == "new", (waits, read)
`)
}

// python runs a program as moto_server runs.
func python(t *testing.T, program string) {
	t.Helper()
	folder, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../../.venv/bin/python", "-c", program)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("got %v\n%s", err, out)
	}
}
