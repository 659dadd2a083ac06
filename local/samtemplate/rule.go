package samtemplate

import "fmt"

// rule is one of the template's Rules: what CloudFormation requires of the parameters together before it makes anything.
type rule struct {
	id         string
	when       any // nil for always
	assertions []assertion
}

type assertion struct {
	holds any
	says  string
}

func newRule(id string, m map[string]any) (rule, error) {
	r := rule{id: id, when: m["RuleCondition"]}
	list, err := asList(m["Assertions"])
	if err != nil {
		return rule{}, fmt.Errorf("Assertions: %w", err)
	}
	for _, item := range list {
		a, err := newAssertion(item)
		if err != nil {
			return rule{}, fmt.Errorf("Assertions: %w", err)
		}
		r.assertions = append(r.assertions, a)
	}
	delete(m, "RuleCondition")
	delete(m, "Assertions")
	for _, key := range sortedKeys(m) {
		return rule{}, fmt.Errorf("%s: %w", key, ErrUnsupported)
	}
	return r, nil
}

func newAssertion(v any) (assertion, error) {
	m, err := asMap(v)
	if err != nil {
		return assertion{}, err
	}
	var a assertion
	err = each(m, func(key string, v any) (err error) {
		switch key {
		case "Assert":
			a.holds = v
		case "AssertDescription":
			a.says, err = asString(v)
		default:
			err = ErrUnsupported
		}
		return err
	})
	return a, err
}

// checkRules refuses parameters that a rule does not allow together.
func (s *scope) checkRules() error {
	for _, r := range s.t.rules {
		if err := s.checkRule(r); err != nil {
			return fmt.Errorf("rule %s: %w", r.id, err)
		}
	}
	return nil
}

func (s *scope) checkRule(r rule) error {
	if r.when != nil {
		if applies, err := s.truth(r.when); err != nil || !applies {
			return err
		}
	}
	for _, a := range r.assertions {
		holds, err := s.truth(a.holds)
		if err == nil && !holds {
			err = fmt.Errorf("%w: %s", ErrInvalid, a.says)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scope) truth(v any) (bool, error) {
	args, err := s.bools([]any{v}, 1, 1)
	if err != nil {
		return false, err
	}
	return args[0], nil
}
