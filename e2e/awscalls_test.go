//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"wechat-parking-gateway/local/awscalls"
)

// callsFile is the table of what each function calls of AWS, with the template's own names for the resources. It is
// written from a whole run, and the roles of the template are held to it where no function runs.
var callsFile = filepath.Join("..", "testdata", "aws_calls.json")

var update = flag.Bool("update", false, "write testdata/aws_calls.json anew")

// checkCalls holds the calls of the whole run to the table, both ways: what is called and not in it has no permission, and
// what is in it and was never called needs none.
func checkCalls() (differences []error) {
	got := suite.calls.Calls()
	written, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		return []error{err}
	}
	written = append(written, '\n')
	if *update {
		if err := os.WriteFile(callsFile, written, 0o644); err != nil {
			return []error{err}
		}
		return nil
	}
	read, err := os.ReadFile(callsFile)
	if err != nil {
		return []error{err}
	}
	var want map[string][]awscalls.Call
	if err := json.Unmarshal(read, &want); err != nil {
		return []error{fmt.Errorf("%s: %w", callsFile, err)}
	}
	const again = "; if that is meant, run the suite with -update and change the role in template.yaml"
	for _, function := range slices.Sorted(maps.Keys(got)) {
		for _, c := range got[function] {
			if !slices.Contains(want[function], c) {
				differences = append(differences, fmt.Errorf("%s calls %s, which is not in %s%s", function, said(c), callsFile, again))
			}
		}
	}
	for _, function := range slices.Sorted(maps.Keys(want)) {
		for _, c := range want[function] {
			if !slices.Contains(got[function], c) {
				differences = append(differences, fmt.Errorf("%s never called %s, which is in %s%s", function, said(c), callsFile, again))
			}
		}
	}
	if len(differences) == 0 && !bytes.Equal(read, written) {
		differences = append(differences, fmt.Errorf("%s is not as -update writes it", callsFile))
	}
	return differences
}

// said names a call.
func said(c awscalls.Call) string {
	if c.Key == "" {
		return c.Action + " on " + c.Resource
	}
	return c.Action + " on " + c.Resource + " with keys like " + c.Key
}
