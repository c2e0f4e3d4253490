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
// likewise: that one is the configuration's fault, not the instance's.
func notReached(ctx context.Context, address string, limit time.Duration, err error) Result {
	var rejected *ssh.OpenChannelError
	switch {
	case errors.As(err, &rejected) && rejected.Reason == ssh.Prohibited:
		return Result{
			Unknown: true,
			Reason:  "the host's sshd forbids forwarding, so that nothing can connect to " + address,
			Mend:    "allow it in the host's sshd_config (AllowTcpForwarding local, PermitOpen) and in its authorized_keys (no-port-forwarding, restrict, permitopen), or use a command check",
		}
	case errors.As(err, &rejected) && rejected.Reason == ssh.ConnectionFailed && !otherThanRefused(rejected.Message),
		errors.Is(err, syscall.ECONNREFUSED):
		return Result{Reason: "connection refused on " + address}
	case errors.As(err, &rejected):
		return Result{Reason: "cannot connect to " + address + ": " + clean(rejected.Message)}
	case late(ctx):
		return noAnswer(address, limit)
	case hostdriver.KindOf(err) == hostdriver.Failed:
		return Result{Reason: "cannot connect to " + address + ": " + clean(err.Error()), Mend: hostdriver.MendOf(err)}
	case hostdriver.KindOf(err) != "":
		return Result{Unknown: true, Reason: clean(err.Error()), Mend: hostdriver.MendOf(err)}
	}
	return Result{Reason: "cannot connect to " + address + ": " + clean(err.Error())}
}

// noAnswer is what there is to say when the check's own time is over.
func noAnswer(address string, limit time.Duration) Result {
	return Result{Reason: fmt.Sprintf("no answer from %s within %s", address, limit)}
}

// otherThanRefused tells from the words of a failed channel that the port was not
// refused. Servers other than OpenSSH say nothing.
func otherThanRefused(words string) bool {
	words = strings.ToLower(words)
	for _, other := range []string{"timed out", "no route", "unreachable", "resolve", "not known", "unknown host"} {
		if strings.Contains(words, other) {
			return true
		}
	}
	return false
}
