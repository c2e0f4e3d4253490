package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// EpochKey is the record of the highest epoch that was taken from this store.
const EpochKey = "controller/epoch"

// Epoch returns the highest epoch that was taken from this store; 0 for a new one.
//
// The hosts keep the highest epoch they have obeyed. A controller whose store says less
// than its own hosts do has an old copy of it (a backup that was restored), or a new one
// in place of one that was lost: what the store says of work in progress is not to be
// believed, and nothing is done to a host until a person has decided.
func Epoch(ctx context.Context, s Store) (uint64, error) {
	n, _, err := readEpoch(ctx, s)
	return n, err
}

// RaiseEpoch takes the next epoch: one above both the store's and what is given (0, or
// the hosts' highest where a person has said so). It is durable when it is returned,
// and nobody else gets it.
func RaiseEpoch(ctx context.Context, s Store, above uint64) (uint64, error) {
	for {
		stored, version, err := readEpoch(ctx, s)
		if err != nil {
			return 0, err
		}
		next := max(stored, above) + 1
		if next == 0 {
			return 0, fmt.Errorf("cannot raise the epoch above %d", above)
		}
		_, err = s.Put(ctx, EpochKey, strconv.AppendUint(nil, next, 10), version)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("cannot raise the epoch: %w", err)
		}
		return next, nil
	}
}

func readEpoch(ctx context.Context, s Store) (epoch, version uint64, err error) {
	r, err := s.Get(ctx, EpochKey)
	if errors.Is(err, ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("cannot read the epoch: %w", err)
	}
	n, err := ParseEpoch(r.Value)
	return n, r.Version, err
}

// ParseEpoch reads the value of the record of that name.
func ParseEpoch(value []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the record %s holds no epoch: %.40q", EpochKey, value)
	}
	return n, nil
}
