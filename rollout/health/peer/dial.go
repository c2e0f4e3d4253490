package peer

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// DialFault is why a connection did not come about.
type DialFault int

// The faults.
const (
	// Other: see the words.
	Other DialFault = iota
	// Refused: nobody listens there. Of a unix socket OpenSSH says the same where it
	// is missing, closed to the user, or forbidden by its configuration.
	Refused
	// Forbidden: the host's sshd does not forward to it. The configuration is at
	// fault, not the peer.
	Forbidden
	// NoWay: the host from which to connect was not reached, or did not let us in, so
	// that nothing is known of the peer.
	NoWay
)

// WhyNot reads the error of a dial, straight or from a host, and gives the words for it.
//
// Through SSH a refused port comes back as a channel that sshd could not open, with the
// words of its connect(2) (RFC 4254, section 5.1), and one that it does not allow
// likewise. A driver's error of kind Failed may stand for either. One of any other kind
// is about the way to the host, and so is whatever it wraps, such as a refused SSH port.
func WhyNot(err error) (DialFault, string) {
	var rejected *ssh.OpenChannelError
	kind := hostdriver.KindOf(err)
	switch {
	case kind != "" && kind != hostdriver.Failed:
		return NoWay, Line(err.Error())
	case errors.As(err, &rejected) && rejected.Reason == ssh.Prohibited:
		return Forbidden, Line(rejected.Message)
	case errors.As(err, &rejected):
		return whyRejected(rejected.Message, rejected.Reason == ssh.ConnectionFailed)
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused, "connection refused"
	case kind == hostdriver.Failed:
		return whyRejected(detail(err), true)
	}
	return Other, Line(err.Error())
}

// detail is what a driver's error says beyond which host and what was tried.
func detail(err error) string {
	var e *hostdriver.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}

// whyRejected reads the words that came back. Where the host tried to connect, no words
// mean that nobody listens: servers other than OpenSSH give none.
func whyRejected(words string, tried bool) (DialFault, string) {
	lower := strings.ToLower(words)
	if strings.Contains(lower, "connection refused") {
		return Refused, Line(words)
	}
	switch strings.Trim(strings.TrimPrefix(lower, "connect failed"), " ()") {
	case "", "open failed", "connect failed":
		if tried {
			return Refused, Line(words)
		}
	}
	return Other, Line(words)
}
