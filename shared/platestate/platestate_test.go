package platestate

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"
)

var (
	start  = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	theKey = Key{VendorID: "acme", MchID: "1900000001", SubMchID: "1900000109", PlateNumber: "粤B12345"}
)

// world is a store over a fake table with a clock that stands still.
type world struct {
	*Store
	db  *fakeDynamoDB
	now time.Time
}

func newWorld() *world {
	w := &world{db: newFake(), now: start}
	w.Store = New(w.db, "ids", func() time.Time { return w.now })
	return w
}

func (w *world) advance(t *testing.T, key Key, occurredAt time.Time) {
	t.Helper()
	if err := w.Advance(t.Context(), key, occurredAt); err != nil {
		t.Fatal(err)
	}
}

// newest returns the zero time for none.
func (w *world) newest(t *testing.T, key Key) time.Time {
	t.Helper()
	got, ok, err := w.Newest(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if ok == got.IsZero() {
		t.Fatalf("Newest = %v, %v", got, ok)
	}
	return got
}

func TestNewest(t *testing.T) {
	earlier, later := start.Add(-time.Hour), start.Add(-time.Minute)
	tests := []struct {
		name  string
		steps func(t *testing.T, w *world)
		want  time.Time
	}{
		{"none", func(*testing.T, *world) {}, time.Time{}},
		{"one", func(t *testing.T, w *world) { w.advance(t, theKey, later) }, later},
		{"to the millisecond", func(t *testing.T, w *world) { w.advance(t, theKey, later.Add(1234567)) }, later.Add(time.Millisecond)},
		{"forward", func(t *testing.T, w *world) {
			w.advance(t, theKey, earlier)
			w.advance(t, theKey, later)
		}, later},
		{"never back", func(t *testing.T, w *world) {
			w.advance(t, theKey, later)
			w.advance(t, theKey, earlier)
		}, later},
		{"twice the same", func(t *testing.T, w *world) {
			w.advance(t, theKey, later)
			w.advance(t, theKey, later)
		}, later},
		{"in its last second", func(t *testing.T, w *world) {
			w.advance(t, theKey, later)
			w.now = w.now.Add(Kept - time.Nanosecond)
		}, later},
		{"expired and not deleted", func(t *testing.T, w *world) {
			w.advance(t, theKey, later)
			w.now = w.now.Add(Kept)
		}, time.Time{}},
		{"back over an expired one", func(t *testing.T, w *world) {
			w.advance(t, theKey, later)
			w.now = w.now.Add(Kept)
			w.advance(t, theKey, earlier)
		}, earlier},
		{"the same again does not keep it longer", func(t *testing.T, w *world) {
			w.advance(t, theKey, later)
			w.now = w.now.Add(Kept / 2)
			w.advance(t, theKey, later)
			w.now = w.now.Add(Kept / 2)
		}, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			tt.steps(t, w)
			if got := w.newest(t, theKey); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestKeysAreApart(t *testing.T) {
	keys := []Key{
		theKey,
		{VendorID: "acme2", MchID: theKey.MchID, SubMchID: theKey.SubMchID, PlateNumber: theKey.PlateNumber},
		{VendorID: theKey.VendorID, MchID: "1900000002", SubMchID: theKey.SubMchID, PlateNumber: theKey.PlateNumber},
		{VendorID: theKey.VendorID, MchID: theKey.MchID, PlateNumber: theKey.PlateNumber},
		{VendorID: theKey.VendorID, MchID: theKey.MchID, SubMchID: theKey.SubMchID, PlateNumber: "粤B12346"},
		{VendorID: theKey.VendorID, MchID: theKey.MchID + theKey.SubMchID, PlateNumber: theKey.PlateNumber},
	}
	w := newWorld()
	for i, key := range keys {
		w.advance(t, key, start.Add(time.Duration(i)*time.Second))
	}
	for i, key := range keys {
		if got, want := w.newest(t, key), start.Add(time.Duration(i)*time.Second); !got.Equal(want) {
			t.Errorf("key %d: got %v, want %v", i, got, want)
		}
	}
}

func TestItemHoldsNoPlate(t *testing.T) {
	w := newWorld()
	w.advance(t, theKey, start)
	for pk, i := range w.db.items {
		if !strings.HasPrefix(pk, "plate#") || len(pk) != len("plate#")+64 || strings.Contains(pk, theKey.PlateNumber) {
			t.Errorf("got key %q, want plate# and 64 hexadecimal digits", pk)
		}
		if len(i) != 3 {
			t.Errorf("got %d attributes, want pk, occurred_at and expires_at", len(i))
		}
	}
}

func TestUnavailable(t *testing.T) {
	w := newWorld()
	w.db.down = true
	if _, _, err := w.Newest(t.Context(), theKey); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errNetwork) {
		t.Errorf("Newest: got %v, want ErrUnavailable and its cause", err)
	}
	if err := w.Advance(t.Context(), theKey, start); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errNetwork) {
		t.Errorf("Advance: got %v, want ErrUnavailable and its cause", err)
	}
}

func TestMalformedRecord(t *testing.T) {
	tests := []struct {
		name string
		edit func(item)
	}{
		{"no occurred_at", func(i item) { delete(i, "occurred_at") }},
		{"no expires_at", func(i item) { delete(i, "expires_at") }},
		{"occurred_at a text", func(i item) { i["occurred_at"] = &types.AttributeValueMemberS{Value: "1"} }},
		{"occurred_at a fraction", func(i item) { i["occurred_at"] = &types.AttributeValueMemberN{Value: "1.5"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.advance(t, theKey, start)
			for _, i := range w.db.items {
				tt.edit(i)
			}
			if _, _, err := w.Newest(t.Context(), theKey); !errors.Is(err, ErrMalformedRecord) {
				t.Errorf("got %v, want ErrMalformedRecord", err)
			}
		})
	}
}

// TestAnyOrder: whatever the order and the repetitions, also side by side, the newest remains.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seconds := rapid.SliceOfN(rapid.IntRange(0, 20), 1, 20).Draw(rt, "seconds")
		seed := rapid.Uint64().Draw(rt, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(seconds), func(i, j int) { seconds[i], seconds[j] = seconds[j], seconds[i] })
		w := newWorld()
		want := 0
		var wg sync.WaitGroup
		for _, s := range seconds {
			want = max(want, s)
			wg.Go(func() {
				if err := w.Advance(t.Context(), theKey, start.Add(time.Duration(s)*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := w.newest(t, theKey); !got.Equal(start.Add(time.Duration(want) * time.Second)) {
			rt.Fatalf("got %v, want %d s", got.Sub(start), want)
		}
	})
}
