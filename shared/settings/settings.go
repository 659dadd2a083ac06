// Package settings reads a function's settings from its environment. A function names the settings that it needs, and
// one that is missing or malformed ends the process at start with a sentence that says which: this is the only failure
// of configuration that does. What is inside the secrets is checked when they are fetched.
package settings

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Reader collects what is wrong while settings are read, so that one start names every mistake.
type Reader struct {
	getenv func(string) string
	errs   []error
}

// From returns a Reader over getenv, which is os.Getenv outside tests.
func From(getenv func(string) string) *Reader { return &Reader{getenv: getenv} }

// Required returns the setting called name, and notes when it is missing or blank.
func (r *Reader) Required(name string) string {
	v := strings.TrimSpace(r.getenv(name))
	if v == "" {
		r.errs = append(r.errs, fmt.Errorf("setting %s is missing: set it in the function's environment", name))
	}
	return v
}

// List returns the comma-separated items of the required setting called name, without blanks around them.
func (r *Reader) List(name string) []string {
	var items []string
	for item := range strings.SplitSeq(r.Required(name), ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// Switch returns whether the optional setting called name is true. It is true, false or absent; anything else is noted.
func (r *Reader) Switch(name string) bool {
	switch strings.TrimSpace(r.getenv(name)) {
	case "true":
		return true
	case "", "false":
		return false
	}
	r.errs = append(r.errs, fmt.Errorf("setting %s must be true or false", name))
	return false
}

// Duration returns the optional setting called name, or 0 where it is absent. It is written as Go writes durations, such as
// 2s, and lies between 1 s and most; anything else is noted.
func (r *Reader) Duration(name string, most time.Duration) time.Duration {
	v := strings.TrimSpace(r.getenv(name))
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Second || d > most {
		r.errs = append(r.errs, fmt.Errorf("setting %s must be a duration of 1s to %v", name, most))
		return 0
	}
	return d
}

// BaseURL returns the optional setting called name, or def, as a base URL without a slash at its end. It must be https;
// plain http is taken for a loopback host alone, where a local stand-in listens.
func (r *Reader) BaseURL(name, def string) string {
	if strings.TrimSpace(r.getenv(name)) == "" {
		return def
	}
	v, host := r.url(name)
	if strings.HasPrefix(v, "http:") && !loopback(host) {
		r.errs = append(r.errs, fmt.Errorf("setting %s must be https (http is taken for a loopback address alone)", name))
		return ""
	}
	return v
}

// PublicURL returns the optional setting called name, or "", as the base URL of an address of our own that WeChat Pay is
// given: https, or http over a private line.
func (r *Reader) PublicURL(name string) string {
	v, _ := r.url(name)
	return v
}

// url returns a setting as an http or https URL without a slash at its end, and its host; "" where it is absent or
// malformed.
func (r *Reader) url(name string) (base, host string) {
	v := strings.TrimSpace(r.getenv(name))
	if v == "" {
		return "", ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		r.errs = append(r.errs, fmt.Errorf("setting %s must be a base URL such as https://host or https://host/path", name))
		return "", ""
	}
	return strings.TrimRight(v, "/"), u.Hostname()
}

// Err returns what was wrong with the settings read so far, or nil.
func (r *Reader) Err() error { return errors.Join(r.errs...) }

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
