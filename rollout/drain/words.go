package drain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// maxWords caps what of another program's words gets into a message.
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

// dialWords puts into words why a connection did not come about, with a mend where
// one is known. A connection through SSH fails with the words of the host's sshd
// (RFC 4254, section 5.1).
func dialWords(err error) error {
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		return mend("allow it in that host's sshd_config (AllowTcpForwarding local for tcp, AllowStreamLocalForwarding local for unix sockets) and in its authorized_keys (no-port-forwarding, restrict, permitopen)",
			"the host's sshd forbids forwarding: %w", err)
	case errors.As(err, &refused) && refused.Reason == ssh.ConnectionFailed:
		return mend(notThere, "connection refused: %w", err)
	case hostdriver.KindOf(err) == hostdriver.Failed && hostdriver.MendOf(err) == "":
		return mend(notThere, "%w", err) // the host tried
	case errors.Is(err, syscall.ECONNREFUSED):
		return mend("is it running, and listening there?", "connection refused: %w", err)
	case errors.Is(err, syscall.ENOENT):
		return mend("is it running, and is the socket's path right?", "no such socket: %w", err)
	case errors.Is(err, syscall.EACCES):
		return mend("let the user that runs evenkeel open the socket (stats socket … user, group, mode)", "may not open the socket: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return mend("is it running, and does a firewall stand between?", "no connection in time: %w", err)
	}
	return err
}

// notThere is the mend of a socket that a host could not connect to.
const notThere = "is it running there, and may the SSH user open its socket?"

// inTime tells a deadline of ours that passed from one that the caller set.
func inTime(ctx context.Context, err error, limit fmt.Stringer) error {
	if err != nil && errors.Is(context.Cause(ctx), errOwnLimit) {
		return fmt.Errorf("no answer within %s", limit)
	}
	return err
}

var errOwnLimit = errors.New("took too long")
