package drain

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// notReached puts into words why a connection did not come about, with a mend where
// one is known.
func notReached(err error) error {
	why, _ := peer.WhyNot(err)
	switch {
	case why == peer.NoWay: // the driver's error speaks for itself
		return err
	case why == peer.Forbidden:
		return mend("allow it in that host's sshd_config (AllowTcpForwarding local for tcp, AllowStreamLocalForwarding local for unix sockets) and in its authorized_keys (no-port-forwarding, restrict, permitopen)",
			"the host's sshd forbids forwarding: %w", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return mend("is it running, and listening there?", "connection refused: %w", err)
	case why == peer.Refused:
		return mend("is it running there, may the SSH user open its socket, and does that sshd allow it (AllowStreamLocalForwarding)?", "connection refused: %w", err)
	case errors.Is(err, syscall.ENOENT):
		return mend("is it running, and is the socket's path right?", "no such socket: %w", err)
	case errors.Is(err, syscall.EACCES):
		return mend("let the user that runs evenkeel open the socket (stats socket … user, group, mode)", "may not open the socket: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return mend("is it running, and does a firewall stand between?", "no connection in time: %w", err)
	}
	return err
}

// inTime tells a limit of ours that passed from one that the caller set.
func inTime(ctx context.Context, err error, limit time.Duration) error {
	if err != nil && errors.Is(context.Cause(ctx), errOwnLimit) {
		return fmt.Errorf("no answer within %s", limit)
	}
	return err
}

var errOwnLimit = errors.New("took too long")
