package samtemplate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Values is what the template's functions are worked out with.
type Values struct {
	// Parameters override the template's defaults, under its own constraints.
	Parameters map[string]string
	// These are AWS::Partition, AWS::URLSuffix, AWS::Region, AWS::AccountId and AWS::StackName.
	Partition, URLSuffix, Region, AccountID, StackName string
	// Physical is what has been made, by logical id.
	Physical map[string]Physical
	// Symbolic calls what has not been made by its logical id: <Queue> where Ref is asked for, <Queue.Arn> for GetAtt.
	Symbolic bool
}

// Physical is a resource that was made: what Ref gives for it (a queue's URL, a table's name) and what GetAtt gives
// (Arn, QueueName).
type Physical struct {
	Ref        string
	Attributes map[string]string
}

// scope works out the functions of one template with one set of values.
type scope struct {
	t          *Template
	v          Values
	parameters map[string]string
	open       []string // conditions being worked out, against cycles
}

// noValue is what a property holds that !Ref AWS::NoValue takes away.
type noValue struct{}

func (t *Template) scope(v Values) (*scope, error) {
	parameters, err := t.values(v.Parameters)
	if err != nil {
		return nil, err
	}
	s := &scope{t: t, v: v, parameters: parameters}
	return s, s.checkRules()
}

// eval works out every call inside v, which is left as it is.
func (s *scope) eval(v any) (any, error) {
	switch v := v.(type) {
	case call:
		out, err := function(v.name)(s, v.arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		return out, nil
	case []any:
		return s.evalList(v)
	case map[string]any:
		return s.evalMap(v)
	}
	return v, nil
}

func (s *scope) evalList(list []any) ([]any, error) {
	out := make([]any, 0, len(list))
	for _, item := range list {
		v, err := s.eval(item)
		if err != nil {
			return nil, err
		}
		if v != (noValue{}) {
			out = append(out, v)
		}
	}
	return out, nil
}

func (s *scope) evalMap(m map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(m))
	for _, key := range sortedKeys(m) {
		v, err := s.eval(m[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if v != (noValue{}) {
			out[key] = v
		}
	}
	return out, nil
}

func (s *scope) evalText(v any) (string, error) {
	out, err := s.eval(v)
	if err != nil {
		return "", err
	}
	return text(out)
}

// evalArgs works out the list that a function takes, of least to most items.
func (s *scope) evalArgs(arg any, least, most int) ([]any, error) {
	list, err := asList(arg)
	if err != nil {
		return nil, err
	}
	if len(list) < least || len(list) > most {
		return nil, fmt.Errorf("%w: %d arguments", ErrInvalid, len(list))
	}
	return s.evalList(list)
}

func (s *scope) ref(arg any) (any, error) {
	name, err := asString(arg)
	if err != nil {
		return nil, err
	}
	if name == "AWS::NoValue" {
		return noValue{}, nil
	}
	return s.lookup(name)
}

func (s *scope) lookup(name string) (string, error) {
	if v, ok := s.parameters[name]; ok {
		return v, nil
	}
	pseudo, isPseudo := map[string]string{
		"AWS::Partition": s.v.Partition, "AWS::URLSuffix": s.v.URLSuffix, "AWS::Region": s.v.Region,
		"AWS::AccountId": s.v.AccountID, "AWS::StackName": s.v.StackName,
	}[name]
	if pseudo != "" {
		return pseudo, nil
	}
	if _, ok := s.t.resources[name]; !ok && !isPseudo {
		return "", fmt.Errorf("%s: %w: neither a parameter nor a resource", name, ErrInvalid)
	}
	if p := s.v.Physical[name]; p.Ref != "" {
		return p.Ref, nil
	}
	if s.v.Symbolic && !isPseudo {
		return "<" + name + ">", nil
	}
	return "", fmt.Errorf("%s: %w", name, ErrUnresolved)
}

func (s *scope) getAtt(arg any) (any, error) {
	id, attribute, err := getAttTarget(arg)
	if err != nil {
		return nil, err
	}
	return s.attribute(id, attribute)
}

// getAttTarget reads the two forms of GetAtt's argument: "Queue.Arn" and [Queue, Arn].
func getAttTarget(arg any) (id, attribute string, err error) {
	if list, ok := arg.([]any); ok && len(list) == 2 {
		if id, err = asString(list[0]); err != nil {
			return "", "", err
		}
		attribute, err = asString(list[1])
		return id, attribute, err
	}
	s, err := asString(arg)
	if err != nil {
		return "", "", err
	}
	id, attribute, ok := strings.Cut(s, ".")
	if !ok {
		return "", "", fmt.Errorf("%w: %q has no attribute", ErrInvalid, s)
	}
	return id, attribute, nil
}

func (s *scope) attribute(id, attribute string) (string, error) {
	if _, ok := s.t.resources[id]; !ok {
		return "", fmt.Errorf("%s: %w: no such resource", id, ErrInvalid)
	}
	if v := s.v.Physical[id].Attributes[attribute]; v != "" {
		return v, nil
	}
	if s.v.Symbolic {
		return "<" + id + "." + attribute + ">", nil
	}
	return "", fmt.Errorf("%s.%s: %w", id, attribute, ErrUnresolved)
}

var substitution = regexp.MustCompile(`\$\{([^}]*)\}`)

func (s *scope) sub(arg any) (any, error) {
	names := map[string]any{}
	if list, ok := arg.([]any); ok {
		if len(list) != 2 {
			return nil, fmt.Errorf("%w: %d arguments", ErrInvalid, len(list))
		}
		var err error
		if names, err = asMap(list[1]); err != nil {
			return nil, err
		}
		arg = list[0]
	}
	pattern, err := asString(arg)
	if err != nil {
		return nil, err
	}
	out := substitution.ReplaceAllStringFunc(pattern, func(m string) string {
		name := m[2 : len(m)-1]
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		v, e := s.substitute(name, names)
		if err == nil {
			err = e
		}
		return v
	})
	return out, err
}

func (s *scope) substitute(name string, names map[string]any) (string, error) {
	if v, ok := names[name]; ok {
		return s.evalText(v)
	}
	if id, attribute, ok := strings.Cut(name, "."); ok {
		return s.attribute(id, attribute)
	}
	return s.lookup(name)
}

func (s *scope) join(arg any) (any, error) {
	args, err := s.evalArgs(arg, 2, 2)
	if err != nil {
		return nil, err
	}
	sep, err := asString(args[0])
	if err != nil {
		return nil, err
	}
	parts, err := texts(args[1])
	return strings.Join(parts, sep), err
}

func (s *scope) split(arg any) (any, error) {
	args, err := s.evalArgs(arg, 2, 2)
	if err != nil {
		return nil, err
	}
	sep, err := asString(args[0])
	if err != nil {
		return nil, err
	}
	whole, err := text(args[1])
	if err != nil {
		return nil, err
	}
	var parts []any
	for part := range strings.SplitSeq(whole, sep) {
		parts = append(parts, part)
	}
	return parts, nil
}

func (s *scope) selectOne(arg any) (any, error) {
	args, err := s.evalArgs(arg, 2, 2)
	if err != nil {
		return nil, err
	}
	at, err := text(args[0])
	if err != nil {
		return nil, err
	}
	list, err := asList(args[1])
	if err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(at)
	if err != nil || i < 0 || i >= len(list) {
		return nil, fmt.Errorf("%w: no item %s", ErrInvalid, at)
	}
	return list[i], nil
}

// choose is If: only the branch that is taken is worked out.
func (s *scope) choose(arg any) (any, error) {
	list, err := asList(arg)
	if err != nil {
		return nil, err
	}
	if len(list) != 3 {
		return nil, fmt.Errorf("%w: %d arguments", ErrInvalid, len(list))
	}
	holds, err := s.holds(list[0])
	if err != nil {
		return nil, err
	}
	if holds {
		return s.eval(list[1])
	}
	return s.eval(list[2])
}

func (s *scope) equals(arg any) (any, error) {
	args, err := s.evalArgs(arg, 2, 2)
	if err != nil {
		return nil, err
	}
	sides, err := texts(args)
	if err != nil {
		return nil, err
	}
	return sides[0] == sides[1], nil
}

func (s *scope) not(arg any) (any, error) {
	args, err := s.bools(arg, 1, 1)
	if err != nil {
		return nil, err
	}
	return !args[0], nil
}

func (s *scope) and(arg any) (any, error) {
	args, err := s.bools(arg, 2, 10)
	return !slices.Contains(args, false), err
}

func (s *scope) or(arg any) (any, error) {
	args, err := s.bools(arg, 2, 10)
	return slices.Contains(args, true), err
}

func (s *scope) bools(arg any, least, most int) ([]bool, error) {
	args, err := s.evalArgs(arg, least, most)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(args))
	for i, v := range args {
		if m, ok := v.(map[string]any); ok && len(m) == 1 && m["Condition"] != nil { // the long form of !Condition
			if v, err = s.named(m["Condition"]); err != nil {
				return nil, err
			}
		}
		b, ok := v.(bool)
		if !ok {
			return nil, fmt.Errorf("%w: must be a condition", ErrInvalid)
		}
		out[i] = b
	}
	return out, nil
}

// named is Condition: the value of a condition by its name.
func (s *scope) named(arg any) (any, error) { return s.holds(arg) }

func (s *scope) holds(arg any) (bool, error) {
	name, err := asString(arg)
	if err != nil {
		return false, err
	}
	condition, ok := s.t.conditions[name]
	if !ok {
		return false, fmt.Errorf("%s: %w: no such condition", name, ErrInvalid)
	}
	if slices.Contains(s.open, name) {
		return false, fmt.Errorf("%s: %w: the condition depends on itself", name, ErrInvalid)
	}
	s.open = append(s.open, name)
	defer func() { s.open = s.open[:len(s.open)-1] }()
	v, err := s.eval(condition)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s: %w: must be a condition", name, ErrInvalid)
	}
	return b, nil
}
