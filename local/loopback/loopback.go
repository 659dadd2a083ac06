// Package loopback keeps what the local stack serves to this machine. Its keys are as good as public and its buttons need no
// password, so nobody else may reach it: neither over the network, nor by a web page that the reader has open elsewhere.
package loopback

import (
	"fmt"
	"net"
	"net/http"
)

// Listen opens a loopback address.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return nil, fmt.Errorf("%q is not a loopback address with a port, such as 127.0.0.1:8080", address)
	}
	return net.Listen("tcp", address)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Guard refuses what a browser sends on behalf of another site: requests under a name that only leads here (DNS rebinding),
// and requests other than GET that another origin makes. Programs that are no browser send neither and get through.
func Guard(handler http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "another site may not do this", http.StatusForbidden)
	}))
	guarded := sameOrigin.Handler(handler)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(r.Host); err == nil {
			host = name
		}
		if !isLoopback(trimBrackets(host)) {
			http.Error(w, "this server answers to loopback names alone, such as 127.0.0.1", http.StatusMisdirectedRequest)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// trimBrackets takes the brackets from an IPv6 address without a port.
func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
