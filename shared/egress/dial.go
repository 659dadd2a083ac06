package egress

import (
	"context"
	"crypto/tls"
	"net/netip"
	"syscall"
)

// permit says whether a connection to an address may be made. Every way to a
// socket leads through it: an address in a URL is checked early, and every
// address at the moment when its socket is about to connect.
func permit(address netip.Addr, port uint16, secure, allowLoopback bool) error {
	if allowLoopback && address.IsLoopback() {
		return nil
	}
	if name := forbidden(address); name != "" {
		return failure(ErrForbiddenAddress, "the host's address is not public: "+name)
	}
	if !secure || port != httpsPort {
		return failure(ErrForbiddenAddress, "the host's address is not loopback, so only https on port 443 goes there")
	}
	return nil
}

// secureKey carries to control whether the connection will be TLS.
type secureKey struct{}

// control sees what a socket is about to connect to, as net.Dialer's
// ControlContext, for each address of a name.
func (c *Client) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return failure(ErrForbiddenAddress, "the host's address cannot be read")
	}
	secure, _ := ctx.Value(secureKey{}).(bool)
	return permit(to.Addr(), to.Port(), secure, c.allowLoopback)
}

// connect opens a connection to t that is ready for a request.
func (c *Client) connect(ctx context.Context, t *target) (*connection, error) {
	raw, err := c.dial(context.WithValue(ctx, secureKey{}, t.secure), "tcp", t.address())
	if err != nil {
		return nil, err
	}
	if !t.secure {
		return newConnection(raw, t.key()), nil
	}
	config := c.tls.Clone()
	config.ServerName = t.host
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, handshakeFailure(err)
	}
	return newConnection(secured, t.key()), nil
}
