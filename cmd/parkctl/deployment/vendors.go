package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/shared/secretstore"
)

// ErrNoSecret says that there is no secret of a name.
var ErrNoSecret = secretstore.ErrNotFound

// Secret returns a secret's content. Its error names the secret and nothing in it.
func (d *Deployment) Secret(ctx context.Context, name string) ([]byte, error) {
	v, err := secretstore.New(secretsmanager.NewFromConfig(d.AWS)).Read(ctx, name)
	return v.Document, err
}

// vendors is what a command needs of a vendors document without judging the rest of it.
type vendors struct {
	Vendors map[string]struct {
		RequestSecrets []string `json:"request_secrets"`
	} `json:"vendors"`
}

// VendorIDs returns the ids of all vendors, sorted.
func (d *Deployment) VendorIDs(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	for _, name := range d.VendorsSecrets {
		document, err := d.vendors(ctx, name)
		if err != nil {
			return nil, err
		}
		for id := range document.Vendors {
			found[id] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// RequestSecret returns the newest secret that a vendor signs its calls with.
func (d *Deployment) RequestSecret(ctx context.Context, vendorID string) (string, error) {
	for _, name := range d.VendorsSecrets {
		document, err := d.vendors(ctx, name)
		if err != nil {
			return "", err
		}
		if secrets := document.Vendors[vendorID].RequestSecrets; len(secrets) > 0 {
			return secrets[0], nil
		}
	}
	return "", fmt.Errorf("the stack %s has no request secret for vendor %s", d.Stack, vendorID)
}

func (d *Deployment) vendors(ctx context.Context, name string) (vendors, error) {
	var document vendors
	b, err := d.Secret(ctx, name)
	if err != nil {
		return document, err
	}
	if json.Unmarshal(b, &document) != nil {
		// The decoder's own error may quote what it read.
		return document, fmt.Errorf("the secret %s holds no vendors document; `parkctl secret check` says where it is wrong", name)
	}
	return document, nil
}
