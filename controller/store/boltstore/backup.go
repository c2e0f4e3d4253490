package boltstore

import (
	"context"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// Backup writes a copy of the file as it is at this moment, while others go on reading
// and writing, and returns its length. It is restored by copying it to the file's place,
// while no controller runs. A copy that is older than what the controller did since is
// told by its epoch: see store.Epoch.
func (s *Store) Backup(ctx context.Context, w io.Writer) (int64, error) {
	out := &backupWriter{ctx: ctx, w: w}
	err := s.use(ctx, func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			if _, err := tx.WriteTo(out); out.err == nil {
				return err
			}
			return nil
		})
	})
	if err == nil && out.err != nil {
		err = fmt.Errorf("cannot write the backup: %w", out.err)
	}
	return out.n, err
}

// backupWriter tells the errors of the copy from those of the store.
type backupWriter struct {
	ctx context.Context
	w   io.Writer
	n   int64
	err error
}

func (b *backupWriter) Write(p []byte) (int, error) {
	n := 0
	if b.err = b.ctx.Err(); b.err == nil {
		n, b.err = b.w.Write(p)
	}
	b.n += int64(n)
	return n, b.err
}
