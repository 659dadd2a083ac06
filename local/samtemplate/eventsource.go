package samtemplate

import (
	"fmt"
	"slices"
)

// EventSource is a queue that invokes a function (an event of type SQS).
type EventSource struct {
	Function                string // logical id
	QueueARN                string
	BatchSize               int // 10 where the template says nothing, as on AWS
	MaximumConcurrency      int // 0 for no limit
	ReportBatchItemFailures bool
}

// The types of events that functions have.
const (
	eventHTTP     = "HttpApi"
	eventSQS      = "SQS"
	eventSchedule = "Schedule"
)

// EventSources returns the queues that invoke functions, in the order of the functions' logical ids. The queues must be in
// v.Physical.
func (t *Template) EventSources(v Values) ([]EventSource, error) {
	perFunction, err := collect(t, v, kindFunction, func(s *scope, id string, r resource) ([]EventSource, error) {
		return s.eventSources(id, r)
	})
	return slices.Concat(perFunction...), err
}

func (s *scope) eventSources(id string, r resource) ([]EventSource, error) {
	if r.properties["Events"] == nil {
		return nil, nil
	}
	var sources []EventSource
	err := eachMap(r.properties["Events"], func(_ string, event map[string]any) error {
		if event["Type"] != eventSQS {
			return nil
		}
		properties, err := asMap(event["Properties"])
		if err != nil {
			return err
		}
		source, err := s.eventSource(properties)
		source.Function = id
		sources = append(sources, source)
		return err
	})
	return sources, err
}

func (s *scope) eventSource(properties map[string]any) (EventSource, error) {
	source := EventSource{BatchSize: 10}
	err := each(properties, func(key string, v any) (err error) {
		switch key {
		case "Queue":
			source.QueueARN, err = s.evalText(v)
		case "BatchSize":
			source.BatchSize, err = s.number(v)
		case "FunctionResponseTypes":
			var kind string
			if kind, err = s.only(v); err == nil {
				err = mustBe(kind, "ReportBatchItemFailures")
			}
			source.ReportBatchItemFailures = true
		case "ScalingConfig":
			source.MaximumConcurrency, err = s.maximumConcurrency(v)
		default:
			err = ErrUnsupported
		}
		return err
	})
	switch {
	case err != nil:
	case source.QueueARN == "":
		err = fmt.Errorf("%w: an SQS event without Queue", ErrInvalid)
	case source.BatchSize < 1 || source.BatchSize > 10: // more needs a batching window
		err = fmt.Errorf("BatchSize: %w: must be 1 to 10", ErrInvalid)
	case source.MaximumConcurrency != 0 && (source.MaximumConcurrency < 2 || source.MaximumConcurrency > 1000):
		err = fmt.Errorf("MaximumConcurrency: %w: must be 2 to 1000", ErrInvalid)
	}
	return source, err
}

func (s *scope) maximumConcurrency(v any) (int, error) {
	out, err := s.eval(v)
	if err != nil {
		return 0, err
	}
	if out == (noValue{}) {
		return 0, nil
	}
	m, err := asMap(out)
	if err != nil {
		return 0, err
	}
	if len(m) != 1 || m["MaximumConcurrency"] == nil {
		return 0, fmt.Errorf("%w: must hold MaximumConcurrency alone", ErrUnsupported)
	}
	return s.number(m["MaximumConcurrency"])
}
