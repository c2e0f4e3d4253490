package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Runner runs an executable inventory with --list and returns what it printed.
// The path is slash separated and relative to the root of the fleet repo.
type Runner func(ctx context.Context, path string) ([]byte, error)

const (
	runTimeout   = 60 * time.Second
	maxRunOutput = 16 << 20
)

// ExecRunner runs executables of the checkout at root, each in its own folder,
// for a minute at most and 16 MiB of output at most. Whoever can push to the repo
// decides what runs: use it where that is as it should be.
func ExecRunner(root string) Runner {
	return func(ctx context.Context, path string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, runTimeout)
		defer cancel()
		file := filepath.Join(root, filepath.FromSlash(path))
		abs, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("cannot run %s: %w", path, err)
		}
		cmd := exec.CommandContext(ctx, abs, "--list")
		cmd.Dir = filepath.Dir(abs)
		cmd.WaitDelay = 2 * time.Second
		out, complaints := &cappedBuffer{max: maxRunOutput}, &cappedBuffer{max: 4096}
		cmd.Stdout, cmd.Stderr = out, complaints
		err = cmd.Run()
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("cannot run %s --list: %w", path, ctx.Err())
		case out.over:
			return nil, fmt.Errorf("cannot run %s --list: it printed more than %d bytes", path, maxRunOutput)
		case err != nil:
			return nil, fmt.Errorf("cannot run %s --list: %w%s", path, err, lastLine(complaints.buf.String()))
		}
		return out.buf.Bytes(), nil
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + strings.ToValidUTF8(last, "?")
	}
	return ""
}

var errOutputCapped = errors.New("too much output")

// cappedBuffer refuses to grow beyond max. It embeds no bytes.Buffer, whose
// ReadFrom io.Copy would use past the cap.
type cappedBuffer struct {
	buf  bytes.Buffer
	max  int
	over bool
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.max {
		b.over = true
		return 0, errOutputCapped
	}
	return b.buf.Write(p)
}
