package hostdriver

import (
	"context"
	"net"

	"github.com/evenkeel/evenkeel/inventory"
)

// Observer reads hosts.
type Observer interface {
	// Observe answers q with what the host said at one moment, in one round trip.
	// An error (see Error) means that nothing is known; an Observation is whole:
	// a reading whose end did not arrive is an error of kind Unknown, never an
	// Observation with less in it.
	Observe(ctx context.Context, host inventory.Host, q Query) (Observation, error)
}

// Applier writes to hosts.
type Applier interface {
	// Apply does op under the host's lock, after the host itself has checked f
	// against the highest epoch it has seen. The error's kind tells what is known:
	// Refused and Conflict mean that nothing was done; Failed that the host tried
	// and says so; Unknown that the reply was lost and the host must be observed
	// before anything else is done to it.
	Apply(ctx context.Context, host inventory.Host, f Fence, op Op) (Result, error)
}

// Dialer reaches a socket as if from the host itself ("tcp" with host:port, or
// "unix" with a path), through the driver's connection to it.
type Dialer interface {
	DialHost(ctx context.Context, host inventory.Host, network, address string) (net.Conn, error)
}

// Connector is a Driver that can begin to connect to a host before it is asked.
type Connector interface {
	// Connect returns at once. Whatever comes of it is told to who asks the host
	// next, as if they had begun.
	Connect(host inventory.Host)
}

// Driver is all of them but the Connector, which need not be there.
type Driver interface {
	Observer
	Applier
	Dialer
}

// Fence is what a mutation carries so that the host can refuse an older
// controller. The host keeps the highest epoch it has seen and refuses lower ones.
type Fence struct {
	Epoch  uint64
	Holder string // who mutates, such as "apply deploy@build-1 pid 4711"
	// Claimed tells that Holder is a controller that claims its hosts: hosts
	// remember it and refuse other holders until TakeOver.
	Claimed  bool
	TakeOver bool
}
