package samtemplate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Resource is a resource whose condition holds, with its properties worked out: maps, lists, strings, ints and bools.
type Resource struct {
	Type                                string
	DeletionPolicy, UpdateReplacePolicy string
	Properties                          map[string]any
}

// ParseExpanded reads what AWS's transform made of a template, in JSON. It may hold resources of every type, which
// Resources returns.
func ParseExpanded(b []byte) (*Template, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	v, err := fromJSON(v)
	if err != nil {
		return nil, err
	}
	root, err := asMap(v)
	if err != nil {
		return nil, err
	}
	return parse(root, true)
}

func fromJSON(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		i, err := strconv.Atoi(v.String())
		if err != nil {
			return nil, fmt.Errorf("number %s: %w", v, ErrUnsupported)
		}
		return i, nil
	case []any:
		for i := range v {
			item, err := fromJSON(v[i])
			if err != nil {
				return nil, err
			}
			v[i] = item
		}
	case map[string]any:
		for key := range v {
			item, err := fromJSON(v[key])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			v[key] = item
		}
		return fromLongForm(v)
	}
	return v, nil
}

// Resources returns every resource whose condition holds, by logical id.
func (t *Template) Resources(v Values) (map[string]Resource, error) {
	s, err := t.scope(v)
	if err != nil {
		return nil, err
	}
	all := make(map[string]Resource, len(t.resources))
	for _, id := range sortedKeys(t.resources) {
		r := t.resources[id]
		if exists, err := s.exists(r.condition); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		} else if !exists {
			continue
		}
		p, err := s.evalMap(r.properties)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		all[id] = Resource{Type: r.kind, DeletionPolicy: r.deletionPolicy, UpdateReplacePolicy: r.replacePolicy, Properties: p}
	}
	return all, nil
}

// Outputs returns the values of the outputs whose conditions hold, by name.
func (t *Template) Outputs(v Values) (map[string]string, error) {
	s, err := t.scope(v)
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(t.outputs))
	return all, eachMap(t.outputs, func(name string, m map[string]any) error {
		condition, _ := m["Condition"].(string)
		exists, err := s.exists(condition)
		if err == nil && exists {
			all[name], err = s.evalText(m["Value"])
		}
		return err
	})
}

// exists tells whether something with that condition, or with none, is made.
func (s *scope) exists(condition string) (bool, error) {
	if condition == "" {
		return true, nil
	}
	return s.holds(condition)
}

// ToJSON returns a template in JSON, where CloudFormation's functions have their long forms alone.
func ToJSON(b []byte) ([]byte, error) {
	root, err := decode(b)
	if err != nil {
		return nil, err
	}
	return json.Marshal(root)
}

// MarshalJSON writes the long form.
func (c call) MarshalJSON() ([]byte, error) {
	name, arg := "Fn::"+c.name, c.arg
	switch c.name {
	case "Ref", "Condition":
		name = c.name
	case "GetAtt":
		if s, ok := arg.(string); ok {
			id, attribute, _ := strings.Cut(s, ".")
			arg = []string{id, attribute}
		}
	}
	return json.Marshal(map[string]any{name: arg})
}
