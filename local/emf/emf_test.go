package emf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/emf"
)

// good is a document that CloudWatch makes two metrics of. Each bad one is one change to it.
const good = `{"_aws":{"Timestamp":1767323045678,"CloudWatchMetrics":[` +
	`{"Namespace":"WeChatParkingGateway","Dimensions":[["FunctionName"]],"Metrics":[{"Name":"Panics","Unit":"Count"}]},` +
	`{"Namespace":"WeChatParkingGateway","Dimensions":[["FunctionName"],["FunctionName","Reason"]],"Metrics":[{"Name":"DeliveriesFailed","Unit":"Count"}]}` +
	`]},"FunctionName":"f","Reason":"panic","Panics":1,"DeliveriesFailed":2}` + "\n"

func TestRead(t *testing.T) {
	got, err := emf.Read(good)
	if err != nil {
		t.Fatal(err)
	}
	want := []emf.Value{{Metric: "Panics", Function: "f", Value: 1}, {Metric: "DeliveriesFailed", Function: "f", Reason: "panic", Value: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"no end of the line":         {"}\n", "}"},
		"two lines":                  {"}\n", "}\n{}\n"},
		"something behind":           {"}\n", "} {}\n"},
		"no _aws":                    {"_aws", "aws"},
		"seconds":                    {"1767323045678", "1767323045"},
		"a time as text":             {"1767323045678", `"yesterday"`},
		"another namespace":          {"WeChatParkingGateway", "AWS/Lambda"},
		"an unknown member of _aws":  {`"Timestamp"`, `"LogGroupName":"x","Timestamp"`},
		"no directive":               {`"CloudWatchMetrics":[`, `"CloudWatchMetrics":[],"Others":[`},
		"no dimension":               {`[["FunctionName"]]`, `[[]]`},
		"no set of dimensions":       {`[["FunctionName"]]`, `[]`},
		"a dimension without target": {`"FunctionName":"f"`, `"Function":"f"`},
		"an empty dimension":         {`"FunctionName":"f"`, `"FunctionName":""`},
		"a number as dimension":      {`"Reason":"panic"`, `"Reason":5`},
		"no metric":                  {`[{"Name":"Panics","Unit":"Count"}]`, `[]`},
		"a metric on no list":        {"Panics", "Plates"},
		"another unit":               {`"Panics","Unit":"Count"`, `"Panics","Unit":"Milliseconds"`},
		"a unit that there is not":   {`"Panics","Unit":"Count"`, `"Panics","Unit":"Pieces"`},
		"a metric without target":    {`"Panics":1`, `"Others":1`},
		"a text as value":            {`"Panics":1`, `"Panics":"1"`},
		"a reason for none":          {`[["FunctionName"]]`, `[["FunctionName"],["FunctionName","Reason"]]`},
		"twice":                      {`{"Name":"Panics","Unit":"Count"}`, `{"Name":"Panics","Unit":"Count"},{"Name":"Panics","Unit":"Count"}`},
		"a member of a request":      {`"Panics":1`, `"Panics":1,"plate_number":"x"`},
	} {
		if strings.Count(good, change[0]) == 0 {
			t.Fatalf("%s: the good document has no %s", name, change[0])
		}
		if got, err := emf.Read(strings.Replace(good, change[0], change[1], 1)); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

func Example() {
	values, err := emf.Read(good)
	fmt.Println(emf.Is(good), values[1].Metric, values[1].Reason, err)
	// Output: true DeliveriesFailed panic <nil>
}
