package rotation

import (
	"errors"
	"strings"
	"testing"
)

// TestReport: one failed call, refused callback, rejected webhook, lost event or proof is enough for an error.
func TestReport(t *testing.T) {
	good := func() *Report {
		return &Report{Rows: []Row{{Name: "APIv2 key", Steps: []string{"a", "b"}, Calls: Counts{10, 0}, Callbacks: Counts{20, 0}, Webhooks: Counts{20, 0}, Proof: "it is gone"}}}
	}
	if err := good().Err(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Report){
		"a call":     func(r *Report) { r.Rows[0].Calls.Failed++ },
		"a callback": func(r *Report) { r.Rows[0].Callbacks.Failed++ },
		"a webhook":  func(r *Report) { r.Rows[0].Webhooks.Failed++ },
		"an event":   func(r *Report) { r.Undelivered++ },
		"a proof":    func(r *Report) { r.Rows[0].Err = errors.New("it still works") },
	} {
		r := good()
		spoil(r)
		if err := r.Err(); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: got %v, want ErrBroken", name, err)
		}
	}
	var out strings.Builder
	r := good()
	if err := r.Write(&out); err != nil || !strings.Contains(out.String(), "it is gone") || !strings.Contains(out.String(), "APIv2 key") {
		t.Errorf("got %s, %v", out.String(), err)
	}
	r.Rows[0].Err = errors.New("it still works")
	out.Reset()
	if err := r.Write(&out); err != nil || !strings.Contains(out.String(), "NOT DONE: it still works") {
		t.Errorf("got %s, %v", out.String(), err)
	}
}

func TestKeyOf(t *testing.T) {
	for data, want := range map[string]string{
		`{"plate_number":"粤A00001"}`: "粤A00001", `{"transaction_id":"rotation-2"}`: "rotation-2", `{}`: "", `x`: "",
	} {
		if got := keyOf([]byte(data)); got != want {
			t.Errorf("%s: got %q, want %q", data, got, want)
		}
	}
}
