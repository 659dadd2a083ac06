package samtemplate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Schedule invokes a function again and again (an event of type Schedule).
type Schedule struct {
	Function string // logical id
	Every    time.Duration
}

// Schedules returns what invokes functions by the clock, in the order of the functions' logical ids.
func (t *Template) Schedules(v Values) ([]Schedule, error) {
	perFunction, err := collect(t, v, kindFunction, func(s *scope, id string, r resource) ([]Schedule, error) {
		return s.schedules(id, r)
	})
	return slices.Concat(perFunction...), err
}

func (s *scope) schedules(id string, r resource) ([]Schedule, error) {
	if r.properties["Events"] == nil {
		return nil, nil
	}
	var schedules []Schedule
	err := eachMap(r.properties["Events"], func(_ string, event map[string]any) error {
		if event["Type"] != eventSchedule {
			return nil
		}
		properties, err := asMap(event["Properties"])
		if err != nil {
			return err
		}
		schedule := Schedule{Function: id}
		err = each(properties, func(key string, v any) (err error) {
			switch key {
			case "Schedule":
				schedule.Every, err = s.rate(v)
			case "Description":
			default:
				err = ErrUnsupported
			}
			return err
		})
		if err == nil && schedule.Every == 0 {
			err = fmt.Errorf("%w: a Schedule event without Schedule", ErrInvalid)
		}
		schedules = append(schedules, schedule)
		return err
	})
	return schedules, err
}

var rate = regexp.MustCompile(`^rate\(([1-9][0-9]{0,3}) (minute|hour|day)(s?)\)$`)

// rate reads rate(12 hours). The unit is singular for 1 and plural for all else, as AWS has it.
func (s *scope) rate(v any) (time.Duration, error) {
	text, err := s.evalText(v)
	if err != nil {
		return 0, err
	}
	m := rate.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q: other than rate(n minutes, hours or days): %w", text, ErrUnsupported)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || (n == 1) != (m[3] == "") {
		return 0, fmt.Errorf("%q: %w", text, ErrInvalid)
	}
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[m[2]]
	return time.Duration(n) * unit, nil
}
