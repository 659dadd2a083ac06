// Package samtemplate reads the gateway's SAM template, so that the local stack has the routes, settings, table and
// queues that AWS would make, from the one file that says so. It knows what template.yaml uses and refuses everything
// else with ErrUnsupported: a property that it passed over would be a stack that behaves otherwise here than on AWS.
//
// What only exists once it was made (a queue's URL, a table's name) is supplied by the caller in Values.Physical. So
// Queues and Tables come first, the caller makes them, and Functions follows with what they are called.
//
// Only packages under local/ and cmd/, and tests, may import it. The rules are those of the AWS SAM specification
// (version 2016-10-31) and of CloudFormation's template reference.
package samtemplate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	// ErrInvalid is a template, or a parameter's value, that AWS would refuse.
	ErrInvalid = errors.New("invalid template")
	// ErrUnsupported is something that AWS may accept and this package does not know.
	ErrUnsupported = errors.New("not supported here")
	// ErrUnresolved is a reference to something that Values has no value for.
	ErrUnresolved = errors.New("no value supplied")
)

// Template is a parsed template. It is never changed after Parse, and safe for concurrent use.
type Template struct {
	parameters map[string]parameter
	rules      []rule
	conditions map[string]any
	globals    map[string]any
	resources  map[string]resource
	outputs    map[string]any
	expanded   bool
}

type resource struct {
	kind           string
	condition      string
	deletionPolicy string
	replacePolicy  string
	metadata       map[string]any
	properties     map[string]any
}

// The types of resources, as CloudFormation names them.
const (
	kindFunction = "AWS::Serverless::Function"
	kindHTTPAPI  = "AWS::Serverless::HttpApi"
	kindTable    = "AWS::DynamoDB::Table"
	kindQueue    = "AWS::SQS::Queue"
)

// Load reads the template in the file called path.
func Load(path string) (*Template, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	t, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Parse reads a template. Every section, type of resource, tag and function in it must be one that this package knows,
// whether or not anything asks for it later.
func Parse(b []byte) (*Template, error) {
	root, err := decode(b)
	if err != nil {
		return nil, err
	}
	return parse(root, false)
}

func parse(root map[string]any, expanded bool) (*Template, error) {
	t := &Template{
		parameters: map[string]parameter{}, conditions: map[string]any{}, resources: map[string]resource{}, expanded: expanded,
	}
	for _, name := range sortedKeys(root) {
		if err := t.section(name, root[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(t.resources) == 0 {
		return nil, fmt.Errorf("%w: no Resources", ErrInvalid)
	}
	return t, nil
}

func (t *Template) section(name string, v any) error {
	switch name {
	case "AWSTemplateFormatVersion":
		return mustBe(v, "2010-09-09")
	case "Transform":
		return mustBe(v, "AWS::Serverless-2016-10-31")
	case "Description", "Metadata":
		return nil
	case "Outputs":
		m, err := asMap(v)
		t.outputs = m
		return err
	case "Parameters":
		return eachMap(v, func(id string, m map[string]any) (err error) {
			t.parameters[id], err = newParameter(m)
			return err
		})
	case "Rules":
		return eachMap(v, func(id string, m map[string]any) error {
			r, err := newRule(id, m)
			t.rules = append(t.rules, r)
			return err
		})
	case "Conditions":
		m, err := asMap(v)
		t.conditions = m
		return err
	case "Globals":
		return eachMap(v, func(kind string, m map[string]any) error {
			if kind != "Function" {
				return ErrUnsupported
			}
			t.globals = m
			return nil
		})
	case "Resources":
		return eachMap(v, func(id string, m map[string]any) (err error) {
			t.resources[id], err = t.newResource(m)
			return err
		})
	}
	return ErrUnsupported
}

func (t *Template) newResource(m map[string]any) (resource, error) {
	var r resource
	for _, key := range sortedKeys(m) {
		var err error
		switch key {
		case "Type":
			r.kind, err = asString(m[key])
		case "Condition":
			r.condition, err = asString(m[key])
		case "DeletionPolicy":
			r.deletionPolicy, err = asString(m[key])
		case "Metadata":
			r.metadata, err = asMap(m[key])
		case "Properties":
			r.properties, err = asMap(m[key])
		case "UpdateReplacePolicy":
			r.replacePolicy, err = asString(m[key])
		case "DependsOn":
		default:
			if key != "UpdatePolicy" || !t.expanded {
				err = ErrUnsupported
			}
		}
		if err != nil {
			return resource{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	if t.expanded {
		return r, nil
	}
	switch r.kind {
	case kindFunction, kindHTTPAPI, kindTable, kindQueue:
		return r, nil
	case "AWS::IAM::ManagedPolicy", "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::CloudWatch::Alarm",
		"AWS::CloudWatch::Dashboard", "AWS::ApiGatewayV2::DomainName", "AWS::ApiGatewayV2::ApiMapping": // nothing to play locally
		return r, nil
	}
	return resource{}, fmt.Errorf("Type %q: %w", r.kind, ErrUnsupported)
}

// call is one of CloudFormation's functions, in the short (!Ref) or the long (Ref:, Fn::Sub:) form.
type call struct {
	name string
	arg  any
}

// function returns what works out the function of that (short) name, or nil.
func function(name string) func(*scope, any) (any, error) {
	switch name {
	case "Ref":
		return (*scope).ref
	case "GetAtt":
		return (*scope).getAtt
	case "Sub":
		return (*scope).sub
	case "Join":
		return (*scope).join
	case "Split":
		return (*scope).split
	case "Select":
		return (*scope).selectOne
	case "If":
		return (*scope).choose
	case "Equals":
		return (*scope).equals
	case "Not":
		return (*scope).not
	case "And":
		return (*scope).and
	case "Or":
		return (*scope).or
	case "Condition":
		return (*scope).named
	}
	return nil
}

// decode turns YAML into maps, lists, strings, ints, floats, bools, nil and calls.
func decode(b []byte) (map[string]any, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the first document", ErrInvalid)
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("%w: empty", ErrInvalid)
	}
	v, err := fromNode(doc.Content[0])
	if err != nil {
		return nil, err
	}
	return asMap(v)
}

func fromNode(n *yaml.Node) (any, error) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return nil, fmt.Errorf("line %d: anchors and aliases: %w", n.Line, ErrUnsupported)
	}
	tag := n.ShortTag()
	if name, custom := strings.CutPrefix(tag, "!"); custom && !strings.HasPrefix(name, "!") {
		return fromTagged(n, name)
	}
	switch tag {
	case "!!map":
		return fromMapping(n)
	case "!!seq":
		return fromSequence(n)
	case "!!null":
		return nil, nil
	case "!!str", "!!timestamp": // CloudFormation has no times: 2012-10-17 is text
		return n.Value, nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), nil
	case "!!int":
		i, err := strconv.Atoi(n.Value)
		if err != nil || strconv.Itoa(i) != n.Value {
			return nil, fmt.Errorf("line %d: number %q: %w", n.Line, n.Value, ErrUnsupported)
		}
		return i, nil
	}
	return nil, fmt.Errorf("line %d: tag %q: %w", n.Line, tag, ErrUnsupported)
}

func fromTagged(n *yaml.Node, name string) (any, error) {
	if function(name) == nil {
		return nil, fmt.Errorf("line %d: tag !%s: %w", n.Line, name, ErrUnsupported)
	}
	plain := *n
	plain.Tag = map[yaml.Kind]string{yaml.ScalarNode: "!!str", yaml.SequenceNode: "!!seq", yaml.MappingNode: "!!map"}[n.Kind]
	arg, err := fromNode(&plain)
	return call{name, arg}, err
}

func fromSequence(n *yaml.Node) (any, error) {
	list := make([]any, 0, len(n.Content))
	for _, item := range n.Content {
		v, err := fromNode(item)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func fromMapping(n *yaml.Node) (any, error) {
	m := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!merge" {
			return nil, fmt.Errorf("line %d: key: %w", k.Line, ErrUnsupported)
		}
		if _, twice := m[k.Value]; twice {
			return nil, fmt.Errorf("line %d: %w: %q is there twice", k.Line, ErrInvalid, k.Value)
		}
		v, err := fromNode(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		m[k.Value] = v
	}
	v, err := fromLongForm(m)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", n.Line, err)
	}
	return v, nil
}

func fromLongForm(m map[string]any) (any, error) {
	for key, arg := range m {
		name, long := strings.CutPrefix(key, "Fn::")
		if !long && key != "Ref" {
			continue
		}
		if function(name) == nil {
			return nil, fmt.Errorf("function %s: %w", key, ErrUnsupported)
		}
		if len(m) != 1 {
			return nil, fmt.Errorf("%w: %s beside other keys", ErrInvalid, key)
		}
		return call{name, arg}, nil
	}
	return m, nil
}

func asMap(v any) (map[string]any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: must be a map", ErrInvalid)
	}
	return m, nil
}

func asList(v any) ([]any, error) {
	l, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: must be a list", ErrInvalid)
	}
	return l, nil
}

func asString(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%w: must be a string", ErrInvalid)
	}
	return s, nil
}

// text is asString for values, where CloudFormation takes numbers and booleans too.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", fmt.Errorf("%w: must be a string", ErrInvalid)
}

func mustBe(v any, want string) error {
	if v != want {
		return fmt.Errorf("%v instead of %s: %w", v, want, ErrUnsupported)
	}
	return nil
}

func eachMap(v any, do func(key string, m map[string]any) error) error {
	outer, err := asMap(v)
	if err != nil {
		return err
	}
	for _, key := range sortedKeys(outer) {
		m, err := asMap(outer[key])
		if err == nil {
			err = do(key, m)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
