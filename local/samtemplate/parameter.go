package samtemplate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// parameter is one parameter of the template, with the constraints that CloudFormation checks before it starts.
type parameter struct {
	number     bool
	def        string
	hasDefault bool
	min, max   *float64 // of a number
	length     *float64 // most characters of a text
	pattern    *regexp.Regexp
	allowed    []string
}

func newParameter(m map[string]any) (parameter, error) {
	var p parameter
	for _, key := range sortedKeys(m) {
		var err error
		switch key {
		case "Type":
			p.number = m[key] == "Number"
			if !p.number {
				err = mustBe(m[key], "String")
			}
		case "Default":
			p.hasDefault = true
			p.def, err = text(m[key])
		case "MinValue":
			p.min, err = float(m[key])
		case "MaxValue":
			p.max, err = float(m[key])
		case "MaxLength":
			p.length, err = float(m[key])
		case "AllowedPattern":
			p.pattern, err = wholeMatch(m[key])
		case "AllowedValues":
			p.allowed, err = texts(m[key])
		case "Description", "ConstraintDescription", "NoEcho":
		default:
			err = ErrUnsupported
		}
		if err != nil {
			return parameter{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	if !p.number && (p.min != nil || p.max != nil) {
		return parameter{}, fmt.Errorf("%w: MinValue and MaxValue are for numbers", ErrInvalid)
	}
	if p.hasDefault {
		if err := p.check(p.def); err != nil {
			return parameter{}, fmt.Errorf("Default: %w", err)
		}
	}
	return p, nil
}

func (p parameter) check(value string) error {
	n, err := strconv.ParseFloat(value, 64)
	if p.number && err != nil {
		return fmt.Errorf("%w: must be a number", ErrInvalid)
	}
	if p.min != nil && n < *p.min || p.max != nil && n > *p.max {
		return fmt.Errorf("%w: not between MinValue and MaxValue", ErrInvalid)
	}
	if p.length != nil && utf8.RuneCountInString(value) > int(*p.length) {
		return fmt.Errorf("%w: longer than MaxLength", ErrInvalid)
	}
	if p.pattern != nil && !p.pattern.MatchString(value) {
		return fmt.Errorf("%w: does not match AllowedPattern", ErrInvalid)
	}
	if p.allowed != nil && !slices.Contains(p.allowed, value) {
		return fmt.Errorf("%w: not one of AllowedValues", ErrInvalid)
	}
	return nil
}

func float(v any) (*float64, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: must be a number", ErrInvalid)
	}
	return &n, nil
}

// wholeMatch compiles an AllowedPattern, which CloudFormation matches against the whole value.
func wholeMatch(v any) (*regexp.Regexp, error) {
	s, err := asString(v)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`^(?:` + s + `)$`)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return re, nil
}

func texts(v any) ([]string, error) {
	list, err := asList(v)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], err = text(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// values puts over on top of the defaults.
func (t *Template) values(over map[string]string) (map[string]string, error) {
	for _, name := range sortedKeys(over) {
		p, ok := t.parameters[name]
		if !ok {
			return nil, fmt.Errorf("parameter %s: %w: the template has none of that name", name, ErrInvalid)
		}
		if err := p.check(over[name]); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	all := make(map[string]string, len(t.parameters))
	for _, name := range sortedKeys(t.parameters) {
		p := t.parameters[name]
		value, given := over[name]
		if !given && !p.hasDefault {
			return nil, fmt.Errorf("parameter %s: %w: it has no default", name, ErrUnresolved)
		}
		if !given {
			value = p.def
		}
		all[name] = value
	}
	return all, nil
}
