package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// maxWords caps what of another program's words gets into a reason.
const maxWords = 200

// clean makes one printable line of at most maxWords bytes out of text that another
// program wrote.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(text))
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}

// firstLine is the first line of text that is not blank.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = clean(line); line != "" {
			return line
		}
	}
	return ""
}

// notReached puts into words why a connection to address did not come about. Through
// SSH a refused port comes back as a channel that sshd could not open, with the words
// of its connect(2) (RFC 4254, section 5.1), and a connection that sshd does not allow
// likewise: that one is the configuration's fault, not the instance's. A driver may
// have put either into an error of its own, of kind Failed or Unauthorized.
func notReached(ctx context.Context, address string, limit time.Duration, err error) Result {
	var rejected *ssh.OpenChannelError
	switch {
	case errors.As(err, &rejected) && rejected.Reason == ssh.Prohibited:
		return Result{
			Unknown: true,
			Reason:  "the host's sshd forbids forwarding, so that nothing can connect to " + address,
			Mend:    "allow it in the host's sshd_config (AllowTcpForwarding local, PermitOpen) and in its authorized_keys (no-port-forwarding, restrict, permitopen), or use a command check",
		}
	case errors.As(err, &rejected):
		return notConnected(address, rejected.Message, rejected.Reason == ssh.ConnectionFailed)
	case errors.Is(err, syscall.ECONNREFUSED):
		return notConnected(address, "", true)
	case late(ctx):
		return noAnswer(address, limit)
	case hostdriver.KindOf(err) == hostdriver.Failed:
		return notConnected(address, detail(err), true)
	case hostdriver.KindOf(err) != "":
		return Result{Unknown: true, Reason: clean(err.Error()), Mend: hostdriver.MendOf(err)}
	}
	return notConnected(address, err.Error(), false)
}

// detail is what a driver's error says beyond which host and what was tried.
func detail(err error) string {
	var e *hostdriver.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}

// notConnected says it in the words that came back. Where the host tried to connect,
// most of them, or none at all, mean that nobody listens.
func notConnected(address, words string, tried bool) Result {
	lower := strings.ToLower(words)
	switch strings.Trim(strings.TrimPrefix(lower, "connect failed"), " ()") {
	case "", "open failed", "connect failed":
		if tried {
			return Result{Reason: "connection refused on " + address}
		}
	}
	if strings.Contains(lower, "connection refused") {
		return Result{Reason: "connection refused on " + address}
	}
	return Result{Reason: "cannot connect to " + address + ": " + clean(words)}
}

// noAnswer is what there is to say when the check's own time is over.
func noAnswer(address string, limit time.Duration) Result {
	return Result{Reason: fmt.Sprintf("no answer from %s within %s", address, limit)}
}
