// Package emf reads documents of CloudWatch's Embedded Metric Format as CloudWatch Logs would, and refuses what it would
// drop without a word. Only tests may import it.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package emf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"wechat-parking-gateway/shared/telemetry"
)

// units are those of the specification's MetricDefinition that are in use here.
var units = []string{"Count", "Milliseconds", "None"}

// Value is one value of a metric.
type Value struct {
	Metric telemetry.Metric
	// Function is the dimension FunctionName. Reason is the dimension of that name, where the metric has it.
	Function, Reason string
	Value            float64
}

// Is tells whether a line of a log is a document, right or wrong.
func Is(line string) bool { return strings.HasPrefix(line, `{"_aws":`) }

// Read returns the values that CloudWatch makes of one line of output. It holds the line to the published rules of a
// document, and to our own: the one namespace, the dimensions and the unit that a metric's definition has, and members that
// are dimensions and metrics and nothing else.
func Read(line string) ([]Value, error) {
	if !strings.HasSuffix(line, "}\n") || len(line) > 64<<10 {
		return nil, errors.New("it is not one short line that ends with the object")
	}
	var root map[string]json.RawMessage
	if err := strictly(line, &root); err != nil {
		return nil, err
	}
	var meta struct {
		Timestamp         json.Number
		CloudWatchMetrics []directive
	}
	if err := strictly(string(root["_aws"]), &meta); err != nil {
		return nil, fmt.Errorf("_aws: %w", err)
	}
	if at, err := meta.Timestamp.Int64(); err != nil || at < 1e11 || at > 1e14 {
		return nil, fmt.Errorf("the Timestamp %s is not in milliseconds", meta.Timestamp)
	}
	if len(meta.CloudWatchMetrics) == 0 {
		return nil, errors.New("there is no MetricDirective")
	}
	members := map[string]bool{"_aws": true}
	var values []Value
	for _, d := range meta.CloudWatchMetrics {
		more, err := d.read(root, members)
		if err != nil {
			return nil, err
		}
		values = append(values, more...)
	}
	for name := range root {
		if !members[name] {
			return nil, fmt.Errorf("the member %s is neither a dimension nor a metric", name)
		}
	}
	return values, nil
}

// directive is a MetricDirective.
type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []struct{ Name, Unit string }
}

// read returns the directive's values and notes which members of the root it refers to.
func (d directive) read(root map[string]json.RawMessage, members map[string]bool) ([]Value, error) {
	if d.Namespace != telemetry.Namespace {
		return nil, fmt.Errorf("the namespace is %q", d.Namespace)
	}
	if len(d.Metrics) == 0 || len(d.Metrics) > 100 || len(d.Dimensions) == 0 {
		return nil, fmt.Errorf("a directive has %d metrics and %d sets of dimensions", len(d.Metrics), len(d.Dimensions))
	}
	dimensions := map[string]string{}
	for _, set := range d.Dimensions {
		if len(set) == 0 || len(set) > 30 {
			return nil, fmt.Errorf("a set has %d dimensions", len(set))
		}
		for _, dimension := range set {
			var value string
			if err := json.Unmarshal(root[dimension], &value); err != nil || value == "" || len(value) > 1024 {
				return nil, fmt.Errorf("the dimension %s has no text as its target", dimension)
			}
			members[dimension], dimensions[dimension] = true, value
		}
	}
	var values []Value
	for _, metric := range d.Metrics {
		if metric.Name == "" || len(metric.Name) > 1024 || !slices.Contains(units, metric.Unit) {
			return nil, fmt.Errorf("the metric %q has the unit %q", metric.Name, metric.Unit)
		}
		defined, ok := definitionOf(metric.Name)
		if !ok || defined.Unit != metric.Unit || fmt.Sprint(defined.Dimensions) != fmt.Sprint(d.Dimensions) {
			return nil, fmt.Errorf("the metric %s is not defined like this", metric.Name)
		}
		var value float64
		if err := json.Unmarshal(root[metric.Name], &value); err != nil {
			return nil, fmt.Errorf("the metric %s has no number as its target", metric.Name)
		}
		if members[metric.Name] {
			return nil, fmt.Errorf("the metric %s stands in it twice", metric.Name)
		}
		members[metric.Name] = true
		values = append(values, Value{defined.Metric, dimensions[telemetry.FunctionNameDimension], dimensions[telemetry.ReasonDimension], value})
	}
	return values, nil
}

// strictly reads one JSON value of known members alone.
func strictly(text string, v any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

func definitionOf(name string) (telemetry.Definition, bool) {
	for d := range telemetry.Metrics() {
		if string(d.Metric) == name {
			return d, true
		}
	}
	return telemetry.Definition{}, false
}
