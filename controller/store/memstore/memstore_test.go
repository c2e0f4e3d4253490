package memstore

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return &Store{} })
}

// It fails in both ways a real store does: nothing was done, or nobody knows.
func TestFailures(t *testing.T) {
	for _, done := range []bool{false, true} {
		var s Store
		lost := errors.New("no answer")
		s.Fail(func(op, key string) (bool, error) {
			if op != "put" || key != "k" {
				return false, nil
			}
			return done, lost
		})
		if _, err := s.Put(t.Context(), "other", nil, 0); err != nil {
			t.Error(err)
		}
		if _, err := s.Put(t.Context(), "k", []byte("x"), 0); !errors.Is(err, lost) {
			t.Errorf("put: %v", err)
		}
		_, err := s.Get(t.Context(), "k")
		if found := err == nil; found != done {
			t.Errorf("done %v, found %v", done, found)
		}
		s.Fail(nil)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
