package health

import (
	"context"
	"fmt"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// notReached puts into words why a connection to address did not come about. Where the
// way to the host is at fault, or sshd's configuration, nothing is known of the instance.
func notReached(ctx context.Context, address string, limit time.Duration, err error) Result {
	if late(ctx) {
		return noAnswer(address, limit)
	}
	why, words := peer.WhyNot(err)
	switch why {
	case peer.Refused:
		return Result{Reason: "connection refused on " + address}
	case peer.Forbidden:
		return Result{
			Unknown: true,
			Reason:  "the host's sshd forbids forwarding, so that nothing can connect to " + address,
			Mend:    "allow it in the host's sshd_config (AllowTcpForwarding local, PermitOpen) and in its authorized_keys (no-port-forwarding, restrict, permitopen), or use a command check",
		}
	case peer.NoWay:
		return Result{Unknown: true, Reason: words, Mend: hostdriver.MendOf(err)}
	}
	return Result{Reason: "cannot connect to " + address + ": " + words}
}

// noAnswer is what there is to say when the check's own time is over.
func noAnswer(address string, limit time.Duration) Result {
	return Result{Reason: fmt.Sprintf("no answer from %s within %s", address, limit)}
}
