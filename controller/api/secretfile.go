package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// maxSecretFile is the largest file of tokens or secrets that is read.
const maxSecretFile = 1 << 20

// minSecret is the shortest secret that is taken: guessing it is then hopeless.
const minSecret = 16

// cachedFile is a file whose meaning is kept until the file changes. It is looked at
// anew for each request, so that what is taken out of it ends at once.
type cachedFile[T any] struct {
	path   string
	parse  func(file string, text []byte) (T, error)
	secret bool // nobody but its owner and group may read it

	mu    sync.Mutex
	known fileKey
	value T
	err   error
}

// fileKey tells whether a file may have changed.
type fileKey struct {
	dev, inode       uint64
	size             int64
	modified, status int64
	read             bool
}

func newCachedFile[T any](path string, parse func(string, []byte) (T, error), secret bool) *cachedFile[T] {
	return &cachedFile[T]{path: path, parse: parse, secret: secret}
}

// get is what the file means now. The zero value stands for a file that is not set or
// not there; any other fault is an error, and nothing of an older reading is used.
func (c *cachedFile[T]) get(now time.Time) (T, error) {
	var none T
	if c.path == "" {
		return none, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		c.known = fileKey{}
		return none, nil
	}
	if err != nil {
		c.known = fileKey{}
		return none, err
	}
	key := keyOf(info)
	// A file that was written just now may be written again within the same tick of
	// its clock: it is read anew until its time is past.
	if c.known != key || now.Sub(info.ModTime()) < time.Second {
		c.known = key
		c.value, c.err = c.read()
	}
	return c.value, c.err
}

func (c *cachedFile[T]) read() (T, error) {
	var none T
	text, err := readGuarded(c.path, c.secret)
	if err != nil {
		return none, err
	}
	v, err := c.parse(c.path, text)
	if err != nil {
		return none, err
	}
	return v, nil
}

// readGuarded reads a file that only its owner may have written and, where it is
// secret, only its owner and group may read.
func readGuarded(path string, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	mode := info.Mode()
	switch {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case mode.Perm()&0o022 != 0:
		return nil, fmt.Errorf("%s may be written by others than its owner (mode %04o): chmod go-w %s", path, mode.Perm(), path)
	case secret && mode.Perm()&0o004 != 0:
		return nil, fmt.Errorf("%s may be read by everybody (mode %04o): chmod o-r %s", path, mode.Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err == nil && len(text) > maxSecretFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxSecretFile)
	}
	return text, err
}

// parseSecrets reads secrets, one a line.
func parseSecrets(file string, text []byte) ([][]byte, error) {
	var secrets [][]byte
	for i, line := range bytes.Split(text, []byte("\n")) {
		switch line = bytes.TrimSpace(line); {
		case len(line) == 0:
		case len(line) < minSecret:
			return nil, fmt.Errorf("%s:%d: a secret of %d characters can be guessed: use %d or more, such as from openssl rand -hex 32", file, i+1, len(line), minSecret)
		default:
			secrets = append(secrets, line)
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s holds no secret", file)
	}
	return secrets, nil
}
