package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// standIn plays AWS and WeChat Pay in this process, over TLS on loopback. Its AWS answers at once and remembers nothing, so
// that what is measured is the gateway and not an emulator; its WeChat Pay is the simulator, which verifies and signs.
type standIn struct {
	aws, weChatPay string // https URLs
	// roots is the file that holds this machine's certificates and the stand-ins' own.
	roots string
	sim   *wechatpaysim.Simulator

	firstByte atomic.Pointer[func()]
	servers   []*http.Server
}

// systemRoots are where systems keep their certificates; a start that did not read them would be too good.
var systemRoots = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

func newStandIn(w *fixture.World, folder string) (*standIn, error) {
	certificate, pemCertificate, err := selfSigned()
	if err != nil {
		return nil, err
	}
	s := &standIn{roots: filepath.Join(folder, "roots.pem")}
	var bundle []byte
	for _, path := range systemRoots {
		if bundle, err = os.ReadFile(path); err == nil {
			break
		}
	}
	if err := os.WriteFile(s.roots, append(bundle, pemCertificate...), 0o600); err != nil {
		return nil, err
	}
	if s.sim, err = wechatpaysim.New(w.WeChatPay); err != nil {
		return nil, err
	}
	secrets, err := w.Secrets()
	if err != nil {
		return nil, err
	}
	if s.aws, err = s.serve(certificate, &cloud{secrets: secrets}); err != nil {
		return nil, err
	}
	s.weChatPay, err = s.serve(certificate, s.sim)
	return s, err
}

func (s *standIn) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	s.sim.Close()
}

// env returns a function's settings.
func (s *standIn) env(w *fixture.World) map[string]string {
	return map[string]string{
		"MERCHANT_SECRET_ID": w.MerchantSecret, "MERCHANT_KEY_SECRET_ID": w.MerchantKeySecret, "VENDORS_SECRET_IDS": w.VendorsSecret,
		"EVENTS_QUEUE_URL": s.aws + "/123456789012/events", "EVENTS_DLQ_URL": s.aws + "/123456789012/dead", "IDEMPOTENCY_TABLE": "ids",
		"WECHATPAY_BASE_URL": s.weChatPay, "WECHATPAY_BACKUP_URL": s.weChatPay, "CALLBACK_BASE_URL": "https://gateway.example.com",
		"AWS_ENDPOINT_URL": s.aws, "SSL_CERT_FILE": s.roots,
	}
}

// serve serves a handler over TLS at an address of its own.
func (s *standIn) serve(certificate tls.Certificate, handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}, ReadHeaderTimeout: 10 * time.Second}
	server.ErrorLog = quiet
	s.servers = append(s.servers, server)
	go func() { _ = server.ServeTLS(watched{listener, s.tellFirstByte}, "", "") }()
	return "https://" + listener.Addr().String(), nil
}

// tellFirstByte tells whoever waits for it that a byte has come.
func (s *standIn) tellFirstByte() {
	if tell := s.firstByte.Load(); tell != nil {
		(*tell)()
	}
}

// watched tells of the first byte on each of a listener's connections.
type watched struct {
	net.Listener
	tell func()
}

// Accept waits for the next connection.
func (l watched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: c, tell: l.tell}, nil
}

type watchedConn struct {
	net.Conn
	once sync.Once
	tell func()
}

// Read reads, and tells of the first byte.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.once.Do(c.tell)
	}
	return n, err
}

func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// cloud answers the calls that the functions make, in the AWS JSON protocol.
type cloud struct{ secrets map[string]string }

// ServeHTTP answers one call.
func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	var in struct {
		SecretID    string `json:"SecretId"`
		MessageBody string
		Entries     []struct{ ID, MessageBody string }
	}
	answer := any(struct{}{})
	if err = json.Unmarshal(body, &in); err == nil {
		switch action {
		case "GetSecretValue":
			document, found := c.secrets[in.SecretID]
			if !found {
				err = fmt.Errorf("no secret %q", in.SecretID)
			}
			answer = map[string]any{"Name": in.SecretID, "SecretString": document, "VersionId": "00000000-0000-0000-0000-000000000001", "VersionStages": []string{"AWSCURRENT"}}
		case "SendMessage":
			answer = sent("", in.MessageBody)
		case "SendMessageBatch":
			var all []map[string]string
			for _, e := range in.Entries {
				all = append(all, sent(e.ID, e.MessageBody))
			}
			answer = map[string]any{"Successful": all, "Failed": []any{}}
		case "PutItem", "UpdateItem", "DeleteItem", "GetItem":
		default:
			err = fmt.Errorf("no action %q", action)
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]string{"__type": "ValidationException", "message": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func sent(id, body string) map[string]string {
	sum := md5.Sum([]byte(body))
	m := map[string]string{"MessageId": "00000000-0000-0000-0000-000000000002", "MD5OfMessageBody": hex.EncodeToString(sum[:])}
	if id != "" {
		m["Id"] = id
	}
	return m
}
