package apifront

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrRoute says that a route key is malformed, or that two of them are the same
// but for the names of their variables.
var ErrRoute = errors.New("apifront: bad route key")

// defaultKey is the route of whatever no other route takes.
const defaultKey = "$default"

// anyMethod is the method of a route that takes every method.
const anyMethod = "ANY"

// route is a parsed Route. The default route has no method.
type route struct {
	key, function string
	method        string
	segments      []segment
}

// segment is one part of a route's path: fixed text, or a variable.
type segment struct {
	text     string // the fixed text, or the variable's name
	variable bool
	greedy   bool // takes the rest of the path, at least one segment
}

// matched is a route with the values of its variables.
type matched struct {
	route      route
	parameters map[string]string
}

func parseRoutes(routes []Route) ([]route, error) {
	table := make([]route, 0, len(routes))
	shapes := make(map[string]string, len(routes))
	for _, r := range routes {
		parsed, err := parseRoute(r)
		if err != nil {
			return nil, err
		}
		if other, dup := shapes[parsed.shape()]; dup {
			return nil, fmt.Errorf("%w: %q conflicts with %q", ErrRoute, r.Key, other)
		}
		shapes[parsed.shape()] = r.Key
		table = append(table, parsed)
	}
	slices.SortStableFunc(table, compareRoutes)
	return table, nil
}

func parseRoute(r Route) (route, error) {
	if r.Function == "" {
		return route{}, fmt.Errorf("%w: %q has no function", ErrRoute, r.Key)
	}
	if r.Key == defaultKey {
		return route{key: r.Key, function: r.Function}, nil
	}
	method, path, found := strings.Cut(r.Key, " ")
	if !found || !knownMethod(method) || !strings.HasPrefix(path, "/") {
		return route{}, fmt.Errorf("%w: %q is not a method and a path", ErrRoute, r.Key)
	}
	parsed := route{key: r.Key, function: r.Function, method: method}
	names := make(map[string]bool)
	parts := strings.Split(path[1:], "/")
	for i, part := range parts {
		s, ok := parseSegment(part)
		if !ok || names[s.text] && s.variable || s.greedy && i < len(parts)-1 {
			return route{}, fmt.Errorf("%w: %q has a bad variable in its path", ErrRoute, r.Key)
		}
		names[s.text] = s.variable || names[s.text]
		parsed.segments = append(parsed.segments, s)
	}
	return parsed, nil
}

func knownMethod(method string) bool {
	switch method {
	case anyMethod, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

func parseSegment(part string) (segment, bool) {
	if !strings.ContainsAny(part, "{}") {
		return segment{text: part}, true
	}
	inner, ok := strings.CutPrefix(part, "{")
	if !ok {
		return segment{}, false
	}
	if inner, ok = strings.CutSuffix(inner, "}"); !ok {
		return segment{}, false
	}
	name, greedy := strings.CutSuffix(inner, "+")
	if name == "" || strings.ContainsAny(name, "{}+") {
		return segment{}, false
	}
	return segment{text: name, variable: true, greedy: greedy}, true
}

// shape is the key without the names of its variables.
func (r route) shape() string {
	var b strings.Builder
	b.WriteString(r.method)
	for _, s := range r.segments {
		switch {
		case s.greedy:
			b.WriteString("/{+}")
		case s.variable:
			b.WriteString("/{}")
		default:
			b.WriteString("/" + s.text)
		}
	}
	return b.String()
}

// compareRoutes sorts the most specific route first: without a greedy variable
// before with one, which is all that the developer guide promises; then fixed
// text before a variable, from the left; then a method before ANY; the default
// route last.
func compareRoutes(a, b route) int {
	if c := rank(a) - rank(b); c != 0 {
		return c
	}
	for i := range min(len(a.segments), len(b.segments)) {
		if c := a.segments[i].rank() - b.segments[i].rank(); c != 0 {
			return c
		}
	}
	// Of two greedy routes the longer one leaves less to its variable.
	if c := len(b.segments) - len(a.segments); c != 0 {
		return c
	}
	switch {
	case a.method == b.method:
		return 0
	case b.method == anyMethod:
		return -1
	case a.method == anyMethod:
		return 1
	}
	return 0
}

func rank(r route) int {
	switch {
	case r.method == "":
		return 2
	case r.segments[len(r.segments)-1].greedy:
		return 1
	}
	return 0
}

func (s segment) rank() int {
	switch {
	case s.greedy:
		return 2
	case s.variable:
		return 1
	}
	return 0
}

// match finds the route of a request by its decoded path: an encoded slash
// separates segments like any other, as it does in the service.
func match(table []route, method, path string) (matched, bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, r := range table {
		if parameters, ok := r.match(method, parts); ok {
			return matched{route: r, parameters: parameters}, true
		}
	}
	return matched{}, false
}

func (r route) match(method string, parts []string) (map[string]string, bool) {
	if r.method == "" {
		return nil, true
	}
	if r.method != anyMethod && r.method != method {
		return nil, false
	}
	var parameters map[string]string
	for i, s := range r.segments {
		if i >= len(parts) {
			return nil, false
		}
		value := parts[i]
		if s.greedy {
			value = strings.Join(parts[i:], "/")
		}
		if !s.variable && value != s.text || s.variable && value == "" {
			return nil, false
		}
		if s.variable {
			if parameters == nil {
				parameters = make(map[string]string)
			}
			parameters[s.text] = value
		}
		if s.greedy {
			return parameters, true
		}
	}
	return parameters, len(parts) == len(r.segments)
}
