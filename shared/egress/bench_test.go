package egress

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"testing"
)

// Each benchmark of a request has a Floor beside it: net/http's own client, with
// the same server and none of the checks.

// vendorServer answers 204 over TLS on loopback.
func vendorServer(b *testing.B) (*server, *authority) {
	ca := newAuthority(b)
	return listen(b, &tls.Config{Certificates: []tls.Certificate{ca.issue(b, nil)}}, answering(answer204)), ca
}

func BenchmarkPost(b *testing.B) {
	s, ca := vendorServer(b)
	c := newClient(b, Options{AllowLoopback: true, RootCAs: ca.pool})
	target, header := s.url("https", "", "/hooks"), http.Header{"Content-Type": {"application/json"}}
	b.ReportAllocs()
	for b.Loop() {
		if response, err := c.Post(b.Context(), target, header, []byte(event)); err != nil || response.Status != 204 {
			b.Fatal(response, err)
		}
	}
	if got := s.accepted.Load(); got > 2 {
		b.Errorf("got %d connections, want 1", got)
	}
}

func BenchmarkPostFloor(b *testing.B) {
	s, ca := vendorServer(b)
	benchmarkBare(b, s.url("https", "", "/hooks"), &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool}})
}

// The same with a new connection and handshake each time.
func BenchmarkPostNewConnection(b *testing.B) {
	s, ca := vendorServer(b)
	c := newClient(b, Options{AllowLoopback: true, RootCAs: ca.pool})
	target, header := s.url("https", "", "/hooks"), http.Header{"Content-Type": {"application/json"}}
	b.ReportAllocs()
	for b.Loop() {
		if response, err := c.Post(b.Context(), target, header, []byte(event)); err != nil || response.Status != 204 {
			b.Fatal(response, err)
		}
		c.CloseIdle()
	}
}

func BenchmarkPostNewConnectionFloor(b *testing.B) {
	s, ca := vendorServer(b)
	benchmarkBare(b, s.url("https", "", "/hooks"), &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool}, DisableKeepAlives: true})
}

func benchmarkBare(b *testing.B, target string, transport *http.Transport) {
	client := &http.Client{Transport: transport}
	b.Cleanup(transport.CloseIdleConnections)
	b.ReportAllocs()
	for b.Loop() {
		response, err := client.Post(target, "application/json", bytes.NewReader([]byte(event)))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// BenchmarkForbidden is the whole table, for an address that passes.
func BenchmarkForbidden(b *testing.B) {
	a := netip.MustParseAddr("2606:4700::1111")
	b.ReportAllocs()
	for b.Loop() {
		if forbidden(a) != "" {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCheckURL(b *testing.B) {
	c := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := c.CheckURL("https://hooks.vendor.example/wechat?shop=1"); err != nil {
			b.Fatal(err)
		}
	}
}
