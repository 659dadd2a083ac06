//go:build validate

package stackcheck

import (
	"maps"
	"os"
	"regexp"
	"testing"
)

var entry = regexp.MustCompile(`(?m)^### (\w+Alarm) \((wake|morning)\)$`)

// readRunbook returns the entries of docs/runbook.md: how urgent each alarm is there.
func readRunbook(t testing.TB) map[string]string {
	t.Helper()
	b, err := os.ReadFile(root + "docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]string{}
	for _, m := range entry.FindAllStringSubmatch(string(b), -1) {
		if entries[m[1]] != "" {
			t.Errorf("docs/runbook.md has two entries %s", m[1])
		}
		entries[m[1]] = m[2]
	}
	return entries
}

// checkRunbook: whoever is woken by an alarm finds its page.
func checkRunbook(s *stack, f *facts) []string {
	var b breaches
	alarms := map[string]string{}
	for _, id := range s.ofType("AWS::CloudWatch::Alarm") {
		alarms[id] = urgency(s, id)
	}
	runbook := maps.Clone(f.runbook)
	if s.parameters["CertificateRefresh"] != "on" {
		delete(runbook, "CertificateRefreshAlarm")
		delete(runbook, "CertificateExpiryAlarm")
	}
	b.equal("entries of docs/runbook.md and alarms of the stack", runbook, alarms)
	return b
}
