//go:build e2e

package secretstore_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/local/moto"
	"wechat-parking-gateway/shared/jsonedit"
	"wechat-parking-gateway/shared/secretstore"
)

// TestSecretsManager edits a secret of the real API: forty writers at a time, and after the label was moved back.
func TestSecretsManager(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := moto.Start(ctx, "../../.venv/bin/moto_server", filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, name := secretsmanager.NewFromConfig(server.Config()), "park/vendors"
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(`{"vendors": {}}`)})
	if err != nil {
		t.Fatal(err)
	}
	store := secretstore.New(client)

	const writers = 40
	var wg sync.WaitGroup
	var mu sync.Mutex
	tries, began := 0, time.Now()
	for i := range writers {
		wg.Go(func() {
			got, err := store.Edit(ctx, name, func(doc []byte) ([]byte, error) {
				return jsonedit.Add(doc, jsontext.Pointer(fmt.Sprintf("/vendors/v%d", i)), map[string]bool{"disabled": true})
			})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			tries += got.Tries
			mu.Unlock()
		})
	}
	wg.Wait()
	t.Logf("%d writers took %d tries and %v", writers, tries, time.Since(began).Round(time.Millisecond))
	all, err := store.Read(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		if _, ok := jsonedit.Get(all.Document, jsontext.Pointer(fmt.Sprintf("/vendors/v%d", i))); !ok {
			t.Errorf("what writer %d added is lost", i)
		}
	}

	// Going back is moving the label. The first version was followed already, and must be followed again.
	if _, err := client.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &name, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: made.VersionId, RemoveFromVersionId: &all.ID,
	}); err != nil {
		t.Fatal(err)
	}
	got, err := store.Edit(ctx, name, func(doc []byte) ([]byte, error) { return jsonedit.Add(doc, "/vendors/back", 1) })
	if err != nil || !got.Written {
		t.Fatalf("after the label was moved back: got %+v, %v", got, err)
	}
	if now, err := store.Read(ctx, name); err != nil || string(now.Document) != `{"vendors": {"back":1}}` || now.ID != got.Version.ID {
		t.Errorf("then read %s, %v", now.Document, err)
	}

	if _, err := store.Edit(ctx, "park/none", func(doc []byte) ([]byte, error) { return doc, nil }); err == nil || !strings.Contains(err.Error(), "park/none") {
		t.Errorf("no such secret: got %v", err)
	}
}
