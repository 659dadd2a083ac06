package egress

import (
	"math/bits"
	"net/netip"
	"strings"
	"testing"
)

// edge returns the last address of p.
func edge(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// TestBlocks: the first and the last address of every range are refused under
// its name, or that of a narrower one, and its source is given.
func TestBlocks(t *testing.T) {
	for i, b := range blocks {
		if b.prefix != b.prefix.Masked() {
			t.Errorf("%v: want %v", b.prefix, b.prefix.Masked())
		}
		if !strings.HasPrefix(b.source, "RFC ") || b.name == "" {
			t.Errorf("%v: got name %q and source %q", b.prefix, b.name, b.source)
		}
		for _, address := range []netip.Addr{b.prefix.Addr(), edge(b.prefix)} {
			want := b.name
			for _, narrower := range blocks[:i] {
				if narrower.prefix.Contains(address) {
					want = narrower.name
					break
				}
			}
			if got := forbidden(address); got != want {
				t.Errorf("%v: got %q, want %q", address, got, want)
			}
		}
		for _, later := range blocks[i+1:] {
			if b.prefix.Overlaps(later.prefix) && later.prefix.Bits() >= b.prefix.Bits() {
				t.Errorf("%v is never reached after %v", later.prefix, b.prefix)
			}
		}
	}
}

// TestNeighbours: the table refuses its ranges and no address beside them.
func TestNeighbours(t *testing.T) {
	for _, public := range []string{
		"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.255", "192.0.3.0",
		"192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
		"192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0",
		"198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"8.8.8.8", "93.184.215.14", "101.226.90.1",
		"2000::", "2001:200::", "2001:db7:ffff::1", "2001:db9::", "2003::", "2400:3200::1", "2606:4700::1111",
		"2620:4f:7fff::1", "2620:4f:8001::", "2a00:1450:4001::2003", "3ffd:ffff::1", "3fff:1000::",
		"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		if got := forbidden(netip.MustParseAddr(public)); got != "" {
			t.Errorf("%s: got %q, want it allowed", public, got)
		}
	}
}

// TestForbidden: addresses that attacks are made of.
func TestForbidden(t *testing.T) {
	tests := []struct{ address, want string }{
		{"0.0.0.0", "this network"},
		{"127.0.0.1", "loopback"},
		{"127.255.255.255", "loopback"},
		{"169.254.169.254", "link-local, with cloud metadata"},
		{"169.254.170.2", "link-local, with cloud metadata"},
		{"100.100.100.200", "shared address space"},
		{"192.0.0.192", "IETF protocol assignments"},
		{"255.255.255.255", "limited broadcast"},
		{"::", "unspecified"},
		{"::1", "loopback"},
		{"::127.0.0.1", "IPv4-compatible"},
		{"::ffff:127.0.0.1", "IPv4-mapped"},
		{"::ffff:8.8.8.8", "IPv4-mapped"},
		{"::ffff:0:127.0.0.1", "IPv4-translated"},
		{"64:ff9b::7f00:1", "NAT64"},
		{"64:ff9b::808:808", "NAT64"},
		{"64:ff9b:1:fffe::a9fe:a9fe", "local-use NAT64"},
		{"2001::7f00:1", "Teredo"},
		{"2002:7f00:1::", "6to4"},
		{"fd00:ec2::254", "unique local, with cloud metadata"},
		{"fe80::1%eth0", "of one link only"},
		{"2606:4700::1111%eth0", "of one link only"},
		{"200::", "reserved"},
		{"4000::", "reserved"},
		{"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"},
		{"fe00::1", "reserved"},
	}
	for _, test := range tests {
		if got := forbidden(netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.address, got, test.want)
		}
	}
	if got := forbidden(netip.Addr{}); got != "not an address" {
		t.Errorf("the zero address: got %q", got)
	}
}

// TestPermit: what a socket may connect to, and with what.
func TestPermit(t *testing.T) {
	tests := []struct {
		address       string
		port          uint16
		secure, local bool
		want          bool
	}{
		{"8.8.8.8", 443, true, false, true},
		{"8.8.8.8", 443, false, false, false},
		{"8.8.8.8", 80, false, true, false},
		{"8.8.8.8", 8443, true, true, false},
		{"8.8.8.8", 443, false, true, false},
		{"8.8.8.8", 443, true, true, true},
		{"127.0.0.1", 443, true, false, false},
		{"127.0.0.1", 8080, false, true, true},
		{"::1", 8443, true, true, true},
		{"10.0.0.1", 443, true, true, false},
		{"0.0.0.0", 8080, false, true, false},
		{"::", 8080, false, true, false},
	}
	for _, test := range tests {
		err := permit(netip.MustParseAddr(test.address), test.port, test.secure, test.local)
		if test.want && err != nil {
			t.Errorf("%v: got %v, want none", test, err)
		}
		if !test.want {
			wantReason(t, err, ErrForbiddenAddress, test.address)
		}
	}
}

// reachable says once more, by bytes and without a table of prefixes, what the
// IANA registries call globally reachable unicast, but for the single protocol
// servers within 192.0.0.0/24 and 2001::/23.
func reachable(a netip.Addr) bool {
	if a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	if a.Is4() {
		return reachable4(a.As4())
	}
	b := a.As16()
	word := func(i int) uint16 { return uint16(b[2*i])<<8 | uint16(b[2*i+1]) }
	if bits.LeadingZeros8(b[0]) != 2 {
		return false // not 001…, that is 2000::/3
	}
	switch word(0) {
	case 0x2001:
		return word(1) >= 0x200 && word(1) != 0xdb8
	case 0x2002, 0x3ffe:
		return false
	case 0x3fff:
		return word(1) >= 0x1000
	}
	return true
}

func reachable4(b [4]byte) bool {
	switch b[0] {
	case 0, 10, 127:
		return false
	case 100:
		return b[1] < 64 || b[1] > 127
	case 169:
		return b[1] != 254
	case 172:
		return b[1] < 16 || b[1] > 31
	case 192:
		return b[1] != 168 && !(b[1] == 0 && (b[2] == 0 || b[2] == 2)) && !(b[1] == 88 && b[2] == 99)
	case 198:
		return b[1] != 18 && b[1] != 19 && !(b[1] == 51 && b[2] == 100)
	case 203:
		return !(b[1] == 0 && b[2] == 113)
	}
	return b[0] < 224
}

// protocolServers are the other ranges that the registries call globally
// reachable and that are refused nevertheless.
func protocolServers(a netip.Addr) bool {
	for _, prefix := range []string{"192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48"} {
		if netip.MustParsePrefix(prefix).Contains(a) {
			return true
		}
	}
	return false
}

// FuzzForbidden: an address is accepted when and only when it is globally
// reachable by the other formulation, and no protocol's own.
func FuzzForbidden(f *testing.F) {
	for _, b := range blocks {
		f.Add(b.prefix.Addr().AsSlice(), "")
		f.Add(edge(b.prefix).AsSlice(), "")
		f.Add(b.prefix.Addr().Prev().AsSlice(), "")
		f.Add(edge(b.prefix).Next().AsSlice(), "")
	}
	f.Add([]byte{8, 8, 8, 8}, "")
	f.Add(netip.MustParseAddr("2606:4700::1111").AsSlice(), "eth0")
	f.Fuzz(func(t *testing.T, bytes []byte, zone string) {
		a, ok := netip.AddrFromSlice(bytes)
		if !ok {
			if forbidden(a) == "" {
				t.Fatal("no address is accepted")
			}
			return
		}
		a = a.WithZone(zone)
		if got, want := forbidden(a) == "", reachable(a) && !protocolServers(a); got != want {
			t.Fatalf("%v: got accepted %v, want %v", a, got, want)
		}
	})
}
