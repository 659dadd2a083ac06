package secretstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"wechat-parking-gateway/shared/secretstore"
)

func add(word string) func([]byte) ([]byte, error) {
	return func(doc []byte) ([]byte, error) { return []byte(string(doc) + " " + word), nil }
}

func TestEdit(t *testing.T) {
	f := newFake("a")
	s := secretstore.New(f)
	got, err := s.Edit(t.Context(), "x", add("b"))
	if err != nil || !got.Written || got.Tries != 1 || string(got.Version.Document) != "a b" || f.text() != "a b" {
		t.Fatalf("got %+v, %v and %q", got, err, f.text())
	}
	read, err := s.Read(t.Context(), "x")
	if err != nil || read.ID != got.Version.ID || string(read.Document) != "a b" {
		t.Errorf("then read %+v, %v", read, err)
	}
}

func TestNothingToChange(t *testing.T) {
	f := newFake("a")
	got, err := secretstore.New(f).Edit(t.Context(), "x", func(doc []byte) ([]byte, error) { return []byte("a"), nil })
	if err != nil || got.Written || f.puts != 0 || got.Version.ID != "first" {
		t.Errorf("got %+v, %v after %d writes, want none", got, err, f.puts)
	}
}

func TestRefusedByChange(t *testing.T) {
	f, no := newFake("a"), errors.New("no")
	if _, err := secretstore.New(f).Edit(t.Context(), "x", func([]byte) ([]byte, error) { return nil, no }); err != no || f.puts != 0 {
		t.Errorf("got %v after %d writes, want the error of change", err, f.puts)
	}
}

func TestTooLarge(t *testing.T) {
	f := newFake("a")
	s := secretstore.New(f)
	full := strings.Repeat("x", secretstore.MaxSize)
	if _, err := s.Edit(t.Context(), "x", func([]byte) ([]byte, error) { return []byte(full), nil }); err != nil {
		t.Errorf("a full secret: got %v", err)
	}
	if _, err := s.Edit(t.Context(), "x", add("")); !errors.Is(err, secretstore.ErrTooLarge) || f.text() != full {
		t.Errorf("one byte more: got %v", err)
	}
}

func TestBinaryStaysBinary(t *testing.T) {
	f := newFake("")
	f.versions["first"] = version{binary: []byte("a")}
	if _, err := secretstore.New(f).Edit(t.Context(), "x", add("b")); err != nil {
		t.Fatal(err)
	}
	if v := f.versions[f.current]; v.text != nil || string(v.binary) != "a b" {
		t.Errorf("got %+v", v)
	}
}

// TestOvertaken: whoever is overtaken between reading and writing changes what is there then.
func TestOvertaken(t *testing.T) {
	for name, overtake := range map[string]func(*fake, *secretstore.Store) error{
		"by another editor": func(_ *fake, s *secretstore.Store) error {
			_, err := s.Edit(context.Background(), "x", add("other"))
			return err
		},
		"by two": func(_ *fake, s *secretstore.Store) error {
			_, err := s.Edit(context.Background(), "x", add("other"))
			if err == nil {
				_, err = s.Edit(context.Background(), "x", add("third"))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("a")
				other := secretstore.New(f)
				once := false
				got, err := secretstore.New(f).Edit(t.Context(), "x", func(doc []byte) ([]byte, error) {
					if !once {
						once = true
						if err := overtake(f, other); err != nil {
							t.Error(err)
						}
					}
					return add("mine")(doc)
				})
				if err != nil || got.Tries != 2 || !strings.HasPrefix(f.text(), "a other") || !strings.HasSuffix(f.text(), " mine") {
					t.Errorf("got %+v, %v and %q", got, err, f.text())
				}
			})
		})
	}
}

// TestOvertakenInTheLastMoment: another editor is first between the look at the token and the write.
func TestOvertakenInTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		other, once := secretstore.New(f), sync.Once{}
		f.onPut = func() error {
			var err error
			once.Do(func() {
				f.onPut = nil
				_, err = other.Edit(context.Background(), "x", add("other"))
			})
			return err
		}
		got, err := secretstore.New(f).Edit(t.Context(), "x", add("mine"))
		if err != nil || got.Tries != 2 || f.text() != "a other mine" {
			t.Errorf("got %+v, %v and %q", got, err, f.text())
		}
	})
}

// TestLabelMovedBack: a version that was followed and made current again can be followed anew, by the same change too.
func TestLabelMovedBack(t *testing.T) {
	f := newFake("a")
	s := secretstore.New(f)
	for i := range 3 {
		got, err := s.Edit(t.Context(), "x", add("b"))
		if err != nil || !got.Written || f.text() != "a b" || f.current != got.Version.ID {
			t.Fatalf("round %d: got %+v, %v and %q", i, got, err, f.text())
		}
		f.label("first")
	}
}

// TestStaleRead: Secrets Manager may still show the version before; that must not undo what came after it.
func TestStaleRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		s := secretstore.New(f)
		if _, err := s.Edit(t.Context(), "x", add("b")); err != nil {
			t.Fatal(err)
		}
		fresh := f.current
		stale := 3
		f.onGet = func(versionID string) error {
			switch {
			case versionID != "": // by its id every version is found at once
				f.current = fresh
			case stale > 0:
				stale--
				f.current = "first"
			default:
				f.current = fresh
			}
			return nil
		}
		got, err := s.Edit(t.Context(), "x", add("c"))
		if err != nil || got.Tries != 4 || f.text() != "a b c" {
			t.Errorf("got %+v, %v and %q", got, err, f.text())
		}
	})
}

func TestEverybodyWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				if _, err := secretstore.New(f).Edit(t.Context(), "x", add(fmt.Sprintf("w%d.", i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range 200 {
			if word := fmt.Sprintf(" w%d.", i); strings.Count(f.text(), word) != 1 {
				t.Errorf("%q is there %d times, want once", word, strings.Count(f.text(), word))
			}
		}
		if f.puts != 200 {
			t.Errorf("got %d writes, want 200", f.puts)
		}
	})
}

func TestContended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		other := secretstore.New(f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := secretstore.New(f).Edit(ctx, "x", func(doc []byte) ([]byte, error) {
			if _, err := other.Edit(context.Background(), "x", add("other")); err != nil {
				t.Error(err)
			}
			return add("mine")(doc)
		})
		if !errors.Is(err, secretstore.ErrContended) || !errors.Is(err, context.DeadlineExceeded) || strings.Contains(f.text(), "mine") {
			t.Errorf("got %v and %q", err, f.text())
		}
	})
}

const private = "the secret text"

func TestErrors(t *testing.T) {
	refused := func(code string) error {
		return &smithy.GenericAPIError{Code: code, Message: "value " + private + " is not valid"}
	}
	denied := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "role/x may not do secretsmanager:PutSecretValue"}
	for name, row := range map[string]struct {
		breaks func(*fake)
		want   error
		text   string
	}{
		"no such secret": {
			func(f *fake) { f.onGet = func(string) error { return &types.ResourceNotFoundException{} } }, secretstore.ErrNotFound, "there is no such secret",
		},
		"reading denied": {
			func(f *fake) { f.onGet = func(string) error { return denied } }, nil, "role/x may not do",
		},
		"reading broken": {
			func(f *fake) {
				f.onGet = func(string) error {
					return &smithy.DeserializationError{Err: errors.New(private), Snapshot: []byte(private)}
				}
			}, nil, "cannot be reached or does not answer",
		},
		"writing denied":    {func(f *fake) { f.onPut = func() error { return denied } }, nil, "role/x may not do"},
		"writing refused":   {func(f *fake) { f.onPut = func() error { return refused("InvalidParameterException") } }, nil, "InvalidParameterException"},
		"too many versions": {func(f *fake) { f.onPut = func() error { return refused("LimitExceededException") } }, nil, "hundred versions"},
		"answer lost":       {func(f *fake) { f.lose = errors.New(private) }, secretstore.ErrUnknownOutcome, "look at it"},
		"writing refused, and nobody knows whether an attempt before wrote": {
			func(f *fake) {
				f.onPut = func() error {
					f.onGet = func(string) error { return denied }
					return &types.InternalServiceError{}
				}
			}, secretstore.ErrUnknownOutcome, "InternalServiceError",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake("a")
			row.breaks(f)
			got, err := secretstore.New(f).Edit(t.Context(), "park/merchant", add(private))
			if err == nil || row.want != nil && !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.text) {
				t.Fatalf("got %v, want %v and %q", err, row.want, row.text)
			}
			if got.Written || strings.Contains(err.Error(), private) || !strings.Contains(err.Error(), "park/merchant") {
				t.Errorf("got written %v, %v", got.Written, err)
			}
		})
	}
}

// TestRefusedAfterItWasWritten: an attempt wrote, its answer was lost, and the next one was refused.
func TestRefusedAfterItWasWritten(t *testing.T) {
	for _, refused := range []error{
		&types.InternalServiceError{}, &smithy.GenericAPIError{Code: "ThrottlingException"}, &smithy.GenericAPIError{Code: "ExpiredTokenException"},
	} {
		f := newFake("a")
		f.lose = refused
		got, err := secretstore.New(f).Edit(t.Context(), "x", add("b"))
		if err != nil || !got.Written || got.Version.ID != f.current || f.text() != "a b" {
			t.Errorf("%v: got %+v, %v and %q, want it written", refused, got, err, f.text())
		}
	}
}

// TestConsole: what a person wrote meanwhile is what is changed.
func TestConsole(t *testing.T) {
	f := newFake("a")
	s := secretstore.New(f)
	if _, err := s.Edit(t.Context(), "x", add("b")); err != nil {
		t.Fatal(err)
	}
	f.console("by hand")
	if _, err := s.Edit(t.Context(), "x", add("c")); err != nil || f.text() != "by hand c" {
		t.Errorf("got %v and %q", err, f.text())
	}
}

func Example() {
	store := secretstore.New(newFake(`{"api_v2_keys":["old"]}`)) // a *secretsmanager.Client
	result, err := store.Edit(context.Background(), "wechat-parking/merchant", func(doc []byte) ([]byte, error) {
		return []byte(strings.Replace(string(doc), "[", `["new",`, 1)), nil // package jsonedit does it well
	})
	fmt.Println(result.Written, string(result.Version.Document), err)
	// Output: true {"api_v2_keys":["new","old"]} <nil>
}
