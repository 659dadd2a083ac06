//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/local/stack"
)

// aws is the emulated AWS that the tests of this package share.
var aws struct {
	once   sync.Once
	server *moto.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if aws.server != nil {
		if err := aws.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "moto:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func emulated(t *testing.T) *moto.Server {
	t.Helper()
	aws.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		log := filepath.Join(os.TempDir(), fmt.Sprintf("parkctl-moto-%d", os.Getpid()), "moto.log")
		aws.server, aws.err = moto.Start(ctx, filepath.Join("..", "..", ".venv", "bin", "moto_server"), log)
	})
	if aws.err != nil {
		t.Fatal(aws.err)
	}
	return aws.server
}

// world is a gateway in the emulated AWS, with its own secrets and queues, that the commands find by a state file.
type world struct {
	t        *testing.T
	root     string
	state    stack.State
	endpoint string
	secrets  *secretsmanager.Client
}

// newWorld makes one with these secrets: their content by "merchant", "merchant-key" and "vendors".
func newWorld(t *testing.T, documents map[string]string) *world {
	t.Helper()
	server := emulated(t)
	prefix := strings.NewReplacer("/", "-", "'", "", "#", "-", " ", "-", ",", "-").Replace(t.Name()) + fmt.Sprint("-", time.Now().UnixNano())
	prefix = prefix[max(0, len(prefix)-60):] // a queue's name has at most 80 characters
	w := &world{t: t, root: t.TempDir(), endpoint: server.URL(), secrets: secretsmanager.NewFromConfig(server.Config())}
	w.state = stack.State{
		BaseURL: "https://gateway.example.com", AWSEndpoint: server.URL(),
		MerchantSecret: prefix + "/merchant", MerchantKeySecret: prefix + "/merchant-key", VendorsSecrets: []string{prefix + "/vendors"},
	}
	for name, document := range documents {
		w.put(prefix+"/"+name, document)
	}
	client := sqs.NewFromConfig(server.Config())
	for name, url := range map[string]*string{"events": &w.state.EventsQueueURL, "dead": &w.state.DeadLetterQueueURL} {
		name = prefix + "-" + name
		queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		*url = *queue.QueueUrl
	}
	w.note()
	return w
}

// note writes the state file.
func (w *world) note() {
	w.t.Helper()
	b, err := json.Marshal(w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	folder := filepath.Join(w.root, "build", "local")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "state.json"), b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(name, document string) {
	w.t.Helper()
	if _, err := w.secrets.CreateSecret(w.t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &document}); err != nil {
		w.t.Fatal(err)
	}
}

// get returns a secret's content.
func (w *world) get(name string) string {
	w.t.Helper()
	current := "AWSCURRENT"
	out, err := w.secrets.GetSecretValue(w.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name, VersionStage: &current})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.SecretString
}

// parkctl runs a command line for this gateway, with nobody at the keyboard.
func (w *world) parkctl(args ...string) result {
	w.t.Helper()
	return parkctl(w.t, append(args, "--root", w.root)...)
}

// ok runs a command line that must succeed, and returns its output.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	got := w.parkctl(args...)
	if got.status != 0 {
		w.t.Fatalf("parkctl %q: got %+v, want status 0", args, got)
	}
	return got.out
}

// binary builds parkctl once.
var binary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "parkctl-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "parkctl")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})
