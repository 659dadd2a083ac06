package egress

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// vendorName is the name that test servers have certificates for.
const vendorName = "hooks.vendor.example"

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &authority{certificate, key, pool}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate for vendorName and 127.0.0.1, after change.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "vendor"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{vendorName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(template)
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// server is a listener on loopback that does with each connection what a test
// says.
type server struct {
	listener net.Listener
	accepted atomic.Int64
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

// listen starts a server, with TLS when config is not nil. serve owns the
// connection until it returns; n counts from 1.
func listen(t testing.TB, config *tls.Config, serve func(n int64, conn net.Conn)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{listener: listener}
	s.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n := s.accepted.Add(1)
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			if config != nil {
				conn = tls.Server(conn, config)
			}
			s.wg.Go(func() {
				defer conn.Close()
				serve(n, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for _, conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

// url returns the URL of a path on the server, under host or its address.
func (s *server) url(scheme, host, path string) string {
	address := s.listener.Addr().String()
	if host != "" {
		_, port, _ := net.SplitHostPort(address)
		address = net.JoinHostPort(host, port)
	}
	return scheme + "://" + address + path
}

// received is a request as it came.
type received struct {
	*http.Request
	body string
}

// readRequest reads one request with its body.
func readRequest(in *bufio.Reader) (received, error) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return received{}, err
	}
	body, err := io.ReadAll(req.Body)
	return received{req, string(body)}, err
}

// answering serves every request of a connection with text, as it stands on the
// wire, until text tells to close.
func answering(text string) func(int64, net.Conn) {
	return func(_ int64, conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			if _, err := readRequest(in); err != nil {
				return
			}
			if _, err := io.WriteString(conn, text); err != nil || strings.Contains(text, "Connection: close") {
				return
			}
		}
	}
}

const answer204 = "HTTP/1.1 204 No Content\r\n\r\n"

// names answers DNS questions: the n-th lookup of a name, from 0, gets
// answers[name][n], the last one from then on. A name without any does not exist.
type names struct {
	mu      sync.Mutex
	answers map[string][]string
	asked   map[string]int
}

// resolver returns a resolver that asks a DNS server on loopback, which answers
// from n.
func (n *names) resolver(t testing.TB) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.asked = map[string]int{}
	var wg sync.WaitGroup
	wg.Go(func() {
		buffer := make([]byte, 1500)
		for {
			size, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := n.reply(buffer[:size]); reply != nil {
				socket.WriteTo(reply, from)
			}
		}
	})
	t.Cleanup(func() {
		socket.Close()
		wg.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

// reply answers one question (RFC 1035 4): the header, the question as it came,
// and an answer record for each address of the kind that was asked for.
func (n *names) reply(query []byte) []byte {
	const headerSize, typeA, typeAAAA = 12, 1, 28
	if len(query) < headerSize {
		return nil
	}
	var labels []string
	at := headerSize
	for query[at] != 0 {
		size := int(query[at])
		labels = append(labels, string(query[at+1:at+1+size]))
		at += 1 + size
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	question := query[headerSize : at+5]
	addresses, exists := n.answer(strings.ToLower(strings.Join(labels, ".")), kind == typeA)

	var records []byte
	count := uint16(0)
	for _, address := range addresses {
		a := netip.MustParseAddr(address)
		if a.Is4() != (kind == typeA) || kind != typeA && kind != typeAAAA {
			continue
		}
		count++
		records = append(records, 0xc0, headerSize)                            // the question's name
		records = binary.BigEndian.AppendUint16(records, kind)                 // type
		records = append(records, 0, 1, 0, 0, 0, 0)                            // class IN, TTL 0
		records = binary.BigEndian.AppendUint16(records, uint16(a.BitLen()/8)) // length
		records = append(records, a.AsSlice()...)
	}
	flags := uint16(0x8180) // a response, recursion available
	if !exists {
		flags |= 3 // NXDOMAIN
	}
	reply := append([]byte{}, query[:2]...)
	for _, field := range []uint16{flags, 1, count, 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, field)
	}
	return append(append(reply, question...), records...)
}

// answer counts a lookup by its question for IPv4 addresses: every lookup has
// one of each kind.
func (n *names) answer(name string, counts bool) ([]string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers := n.answers[name]
	if len(answers) == 0 {
		return nil, false
	}
	lookup := n.asked[name]
	if counts {
		n.asked[name]++
	}
	return strings.Fields(answers[min(lookup, len(answers)-1)]), true
}

// vendorAt returns a resolver that knows vendorName under address alone.
func vendorAt(t testing.TB, address string) *net.Resolver {
	return (&names{answers: map[string][]string{vendorName: {address}}}).resolver(t)
}

// newClient returns a client that ends with the test.
func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c := New(o)
	t.Cleanup(c.CloseIdle)
	return c
}

// wantReason fails unless err is an *Error of the reason, whose text gives away
// nothing of the hidden texts.
func wantReason(t testing.TB, err error, want Reason, hidden ...string) {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) || !errors.Is(err, want) || failure.Reason != want {
		t.Fatalf("got %v, want reason %q", err, want)
	}
	for _, text := range hidden {
		if strings.Contains(err.Error(), text) {
			t.Errorf("got %q, want it without %q", err, text)
		}
	}
}
