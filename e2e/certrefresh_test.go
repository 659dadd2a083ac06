//go:build e2e

package e2e

import (
	"slices"
	"sync"
	"testing"
)

// refreshingStack is for the certificate refresh alone: elsewhere tests count what WeChat Pay hears.
var refreshingStack = sync.OnceValues(func() (*gateway, error) { return startStack(nil, nil) })

// TestCertificateRefresh: a platform certificate that WeChat Pay offers anew stands in the merchant's secret after a run, and
// a second run has nothing to do.
func TestCertificateRefresh(t *testing.T) {
	t.Parallel()
	g := get(t, refreshingStack)
	issued, err := g.IssueCertificate()
	if err != nil {
		t.Fatal(err)
	}
	first, err := g.RefreshCertificates(t.Context())
	if err != nil || first.Error != "" {
		t.Fatalf("got %+v, %v", first, err)
	}
	if !slices.Contains(first.WeChatPayKeys, issued.SerialNo) {
		t.Errorf("got keys %q, want %s among them", first.WeChatPayKeys, issued.SerialNo)
	}
	again, err := g.RefreshCertificates(t.Context())
	if err != nil || again.Error != "" || !slices.Equal(again.WeChatPayKeys, first.WeChatPayKeys) {
		t.Errorf("got %+v, %v, want the keys of the run before", again, err)
	}
}
