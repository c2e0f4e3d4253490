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
