package desired

import "time"

// WaitAtMost is the drain's own timeout, or 0 where the rollout's drainTimeout holds.
func (d DrainSpec) WaitAtMost() time.Duration {
	switch {
	case d.HAProxy != nil:
		return d.HAProxy.Timeout.D()
	case d.Nginx != nil:
		return d.Nginx.Timeout.D()
	case d.HTTP != nil:
		return d.HTTP.Timeout.D()
	case d.Command != nil:
		return d.Command.Timeout.D()
	}
	return 0
}

// Where the commands of a drain are run, apart from a host that is named.
const (
	OnHost       = "host"
	OnController = "controller"
)

// By is the host of the inventory, other than the instance's own, that the command is run
// on; "" where there is none.
func (c CommandDrain) By() string {
	if c.On == OnHost || c.On == OnController {
		return ""
	}
	return c.On
}

// By is the host of the inventory that the drain writes to or runs commands on, other
// than the instance's own; "" where there is none.
func (d DrainSpec) By() string {
	switch {
	case d.Nginx != nil:
		return d.Nginx.Host
	case d.Command != nil:
		return d.Command.By()
	}
	return ""
}

// DrainAtMost is how long the longest of its drains may take.
func (in *Instance) DrainAtMost() time.Duration {
	var most time.Duration
	for _, d := range in.Drain {
		if d.None != nil {
			continue
		}
		wait := d.WaitAtMost()
		if wait == 0 {
			wait = in.Strategy.DrainTimeout
		}
		most = max(most, wait)
	}
	return most
}
