package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// program is a program to run and to time.
type program struct {
	argv  []string
	dir   string
	env   []string // beside this process's own
	stdin string
	want  int // the exit code of a run that did its work
}

// output is what a program wrote.
type output struct{ stdout, stderr string }

// programTimeout bounds one run of either side.
const programTimeout = 10 * time.Minute

// run runs it to its end and times it. A run with another exit code is an error, with the
// end of what it said.
func (p program) run(ctx context.Context) (sample, output, error) {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	var stdout, stderr bytes.Buffer
	if p.stdin != "" {
		cmd.Stdin = strings.NewReader(p.stdin)
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	began := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(began)}
	out := output{stdout.String(), stderr.String()}
	if cmd.ProcessState == nil {
		return s, out, fmt.Errorf("cannot run %s: %w", p.argv[0], err)
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if code := cmd.ProcessState.ExitCode(); code != p.want || ctx.Err() != nil {
		return s, out, fmt.Errorf("%s: exit code %d, not %d (%v): %s", strings.Join(p.argv, " "), code, p.want, err, tail(out))
	}
	return s, out, nil
}

// tail is the end of what a program said.
func tail(o output) string {
	text := strings.TrimSpace(o.stdout + "\n" + o.stderr)
	if len(text) > 3000 {
		text = "…" + strings.ToValidUTF8(text[len(text)-3000:], "")
	}
	return "\n" + text
}
