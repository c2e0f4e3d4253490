package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// localOutput caps what is kept of a command's output.
const localOutput = 64 << 10

// Output is what came of one command line: its exit status, and the beginning of
// what it printed.
type Output struct {
	Exit int
	Text []byte
}

// The exit statuses with which a shell says that it did not run a command (POSIX,
// Shell Command Language, 2.8.2), and timeout(1) that it ended it.
const (
	ExitTimeout  = 124
	ExitNotExec  = 126
	ExitNotFound = 127
)

// RunLocal runs a command line with sh on this machine, in a process group of its
// own, which is killed as a whole when ctx ends or limit has passed (ExitTimeout). The
// line reaches the shell through a pipe, so that it never shows among the arguments of
// a process, and the settings that may hold keys of evenkeel's (EVENKEEL_*, SOPS_*) are
// taken out of the environment. Its input is empty. The error tells that it was not
// run or did not end; an exit status is not an error.
func RunLocal(ctx context.Context, line string, limit time.Duration) (Output, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	script, feed, err := os.Pipe()
	if err != nil {
		return Output{}, fmt.Errorf("cannot run a command: %w", err)
	}
	defer script.Close()
	out := &head{limit: localOutput}
	cmd := exec.CommandContext(limited, "/bin/sh", "/dev/fd/3")
	cmd.ExtraFiles = []*os.File{script}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = plainEnviron(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		_ = feed.Close()
		return Output{}, fmt.Errorf("cannot run a command: %w", err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		// The shell opens the pipe anew; its copy 3 would be every child's too.
		_, _ = feed.WriteString("exec 3<&-\n" + line + "\n")
		_ = feed.Close()
	}()
	err = cmd.Wait()
	_ = feed.Close() // a shell that ended early leaves a long line half read
	<-fed
	return localOutcome(ctx, limited, err, out.text)
}

func localOutcome(ctx, limited context.Context, err error, text []byte) (Output, error) {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return Output{Text: text}, fmt.Errorf("the command was ended before it was done: %w", context.Cause(ctx))
	case limited.Err() != nil:
		return Output{Exit: ExitTimeout, Text: text}, nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return Output{Exit: exit.ExitCode(), Text: text}, nil
	case errors.As(err, &exit):
		return Output{Text: text}, fmt.Errorf("the command died: %s", exit)
	case errors.Is(err, exec.ErrWaitDelay):
		return Output{Text: text}, nil // it ended; something it left behind still holds its output
	case err != nil:
		return Output{Text: text}, fmt.Errorf("cannot run a command: %w", err)
	}
	return Output{Text: text}, nil
}

// Quote makes one word of a shell's command line out of text, whatever it holds but
// zero bytes, of which no shell knows.
func Quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func plainEnviron(environ []string) []string {
	plain := make([]string, 0, len(environ))
	for _, v := range environ {
		if !strings.HasPrefix(v, "EVENKEEL_") && !strings.HasPrefix(v, "SOPS_") {
			plain = append(plain, v)
		}
	}
	return plain
}

// head keeps the beginning of what is written to it and takes in the rest.
type head struct {
	limit int
	text  []byte
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - len(h.text); room > 0 {
		h.text = append(h.text, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
