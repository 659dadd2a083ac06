package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"wechat-parking-gateway/cmd/parkctl/deployment"
	"wechat-parking-gateway/cmd/parkctl/handover"
	"wechat-parking-gateway/cmd/parkctl/vendorbook"
	"wechat-parking-gateway/shared/secretstore"
)

// oneSecret is a vendors secret whose write comes to what the test says.
type oneSecret struct {
	document string
	put      func(document string) (stored string, err error)
	written  bool
}

func (o *oneSecret) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if in.VersionId != nil && (!o.written || o.document == vendorbook.Empty) {
		return nil, &types.ResourceNotFoundException{}
	}
	id := "1"
	return &secretsmanager.GetSecretValueOutput{VersionId: &id, SecretString: &o.document, VersionStages: []string{"AWSCURRENT"}}, nil
}

func (o *oneSecret) PutSecretValue(_ context.Context, in *secretsmanager.PutSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	stored, err := o.put(*in.SecretString)
	o.document, o.written = stored, true
	return &secretsmanager.PutSecretValueOutput{}, err
}

// TestHandOver: the file is on the disk before anything is stored, and whatever becomes of the write, no secret is stored
// that is in no file.
func TestHandOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acme.gateway.env")
	for _, row := range []struct {
		name     string
		put      func(string) (string, error)
		wantFile bool
		wantErr  string
	}{
		{"stored", func(document string) (string, error) { return document, nil }, true, ""},
		{"refused", func(string) (string, error) {
			message := "not allowed"
			return vendorbook.Empty, &types.InvalidRequestException{Message: &message}
		}, false, "refused PutSecretValue"},
		{"stored, and the answer was lost", func(document string) (string, error) { return document, io.ErrUnexpectedEOF }, true, ""},
		{"stored, and a second attempt was refused", func(document string) (string, error) { return document, &types.InternalServiceError{} }, true, ""},
		{"lost on its way", func(string) (string, error) { return vendorbook.Empty, io.ErrUnexpectedEOF }, true, "is kept"},
	} {
		t.Run(row.name, func(t *testing.T) {
			defer os.Remove(path)
			api := &oneSecret{document: vendorbook.Empty}
			api.put = func(document string) (string, error) {
				// A crash from here on leaves the file.
				if file, err := handover.Read(path); err != nil || !strings.Contains(document, file.RequestSecret) {
					t.Errorf("at the time of the write the hand-over file is not complete: %v", err)
				}
				return row.put(document)
			}
			b := &book{&deployment.Deployment{VendorsSecrets: []string{"vendors"}}, secretstore.New(api), ""}
			request, webhook, err := newSecrets()
			if err != nil {
				t.Fatal(err)
			}
			v := vendorbook.Vendor{RequestSecrets: request, WebhookSecrets: webhook}
			file := handover.File{BaseURL: "https://gateway.example.com", VendorID: "acme", RequestSecret: request[0], WebhookSecret: webhook[0]}
			err = b.handOver(t.Context(), path, file, "vendors", func(document []byte) ([]byte, error) { return vendorbook.Add(document, "acme", v) })
			if !api.written {
				t.Error("nothing was written")
			}
			if row.wantErr == "" && err != nil || row.wantErr != "" && (err == nil || !strings.Contains(err.Error(), row.wantErr)) {
				t.Errorf("got %v, want %q", err, row.wantErr)
			}
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) == row.wantFile {
				t.Errorf("got the file there: %v, want %v", err == nil, row.wantFile)
			}
		})
	}
}
