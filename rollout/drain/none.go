package drain

import "context"

// none is for instances that nothing needs to be told about: no balancer stands
// before them, or theirs finds out by itself. There is nothing to wait for.
type none struct{}

func (none) Status(context.Context) (Status, error) {
	return Status{Up: true, State: "not balanced"}, nil
}

// Drain takes nothing out, so nothing is ours.
func (none) Drain(context.Context) (bool, error) { return false, nil }

func (none) Undrain(context.Context) error { return nil }
