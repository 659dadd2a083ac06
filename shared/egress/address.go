package egress

import "net/netip"

// block is a range of addresses that no vendor's host has.
type block struct {
	prefix netip.Prefix
	// name is the range's in the IANA registry, or its RFC's.
	name string
	// source is the document that takes the range from the public.
	source string
}

// globalUnicast holds every IPv6 address that IANA has given out for hosts.
// Nothing outside is reachable, whatever it may be used for later.
//
// https://www.iana.org/assignments/ipv6-address-space, RFC 4291 2.4
var globalUnicast = netip.MustParsePrefix("2000::/3")

// blocks are the ranges that are refused: all of the two special-purpose
// registries, also those entries which the registries call globally reachable,
// since they are for anycast protocol servers and no web server can live there;
// and the ranges that embed an IPv4 address, which would hide it from this table.
// Where two overlap, the narrower comes first.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry, both of 2025-10-09
var blocks = []block{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network", "RFC 791 3.2"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private use", "RFC 1918"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared address space", "RFC 6598"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback", "RFC 1122 3.2.1.3"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, with cloud metadata", "RFC 3927"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private use", "RFC 1918"},
	{netip.MustParsePrefix("192.0.0.0/24"), "IETF protocol assignments", "RFC 6890 2.1"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation", "RFC 5737"},
	{netip.MustParsePrefix("192.31.196.0/24"), "AS112", "RFC 7535"},
	{netip.MustParsePrefix("192.52.193.0/24"), "automatic multicast tunnelling", "RFC 7450"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay anycast", "RFC 7526"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private use", "RFC 1918"},
	{netip.MustParsePrefix("192.175.48.0/24"), "AS112", "RFC 7534"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking", "RFC 2544"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation", "RFC 5737"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation", "RFC 5737"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast", "RFC 5771"},
	{netip.MustParsePrefix("255.255.255.255/32"), "limited broadcast", "RFC 919 7"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved", "RFC 1112 4"},

	{netip.MustParsePrefix("::/128"), "unspecified", "RFC 4291 2.5.2"},
	{netip.MustParsePrefix("::1/128"), "loopback", "RFC 4291 2.5.3"},
	{netip.MustParsePrefix("::/96"), "IPv4-compatible", "RFC 4291 2.5.5.1"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4-mapped", "RFC 4291 2.5.5.2"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated", "RFC 2765 2.1"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64", "RFC 6052 2.1"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local-use NAT64", "RFC 8215"},
	{netip.MustParsePrefix("100::/64"), "discard only", "RFC 6666"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "dummy prefix", "RFC 9780"},
	{netip.MustParsePrefix("2001::/32"), "Teredo", "RFC 4380"},
	{netip.MustParsePrefix("2001:1::1/128"), "port control protocol anycast", "RFC 7723"},
	{netip.MustParsePrefix("2001:1::2/128"), "TURN anycast", "RFC 8155"},
	{netip.MustParsePrefix("2001:1::3/128"), "DNS-SD service registration anycast", "RFC 9665"},
	{netip.MustParsePrefix("2001:2::/48"), "benchmarking", "RFC 5180"},
	{netip.MustParsePrefix("2001:3::/32"), "automatic multicast tunnelling", "RFC 7450"},
	{netip.MustParsePrefix("2001:4:112::/48"), "AS112", "RFC 7535"},
	{netip.MustParsePrefix("2001:10::/28"), "ORCHID", "RFC 4843"},
	{netip.MustParsePrefix("2001:20::/28"), "ORCHIDv2", "RFC 7343"},
	{netip.MustParsePrefix("2001:30::/28"), "drone remote id", "RFC 9374"},
	{netip.MustParsePrefix("2001::/23"), "IETF protocol assignments", "RFC 2928"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation", "RFC 3849"},
	{netip.MustParsePrefix("2002::/16"), "6to4", "RFC 3056"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "AS112", "RFC 7534"},
	{netip.MustParsePrefix("3ffe::/16"), "6bone", "RFC 3701"},
	{netip.MustParsePrefix("3fff::/20"), "documentation", "RFC 9637"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing", "RFC 9602"},
	{netip.MustParsePrefix("fc00::/7"), "unique local, with cloud metadata", "RFC 4193"},
	{netip.MustParsePrefix("fe80::/10"), "link-local", "RFC 4291 2.5.6"},
	{netip.MustParsePrefix("fec0::/10"), "site-local", "RFC 3879"},
	{netip.MustParsePrefix("ff00::/8"), "multicast", "RFC 4291 2.7"},
}

// forbidden returns the name of the range for which a is refused, or "" when a
// is a globally reachable unicast address.
func forbidden(a netip.Addr) string {
	if !a.IsValid() {
		return "not an address"
	}
	if a.Zone() != "" {
		return "of one link only"
	}
	for _, b := range blocks {
		if b.prefix.Contains(a) {
			return b.name
		}
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return "reserved"
	}
	return ""
}
