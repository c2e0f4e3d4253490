package controller

import (
	"strconv"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// Claims are the hosts asked for that a controller other than holder claims, by
// host. An apply without TakeOver is refused there.
func (v *View) Claims(holder string) map[string]string {
	claims := map[string]string{}
	for _, h := range v.Input.Hosts {
		if h.Skip == "" && h.Observation != nil && h.Observation.Claim != "" && h.Observation.Claim != holder {
			claims[h.Desired.Host.Name] = h.Observation.Claim
		}
	}
	return claims
}

// Skipped are the hosts that were looked at for the budgets only.
func (v *View) Skipped() map[string]bool {
	skipped := map[string]bool{}
	for _, h := range v.Input.Hosts {
		if h.Skip != "" {
			skipped[h.Desired.Host.Name] = true
		}
	}
	return skipped
}

// Mends say, by host that was not observed, what a person can do about it.
func (v *View) Mends() map[string]string {
	mends := map[string]string{}
	for _, in := range v.Input.Hosts {
		if err := v.Errors[in.Desired.Host.Name]; err != nil {
			mends[in.Desired.Host.Name] = mendFor(err, in.Desired.Host)
		}
	}
	return mends
}

// mendFor is what a person can do about a host that was not observed: what the
// driver says or, where it knows nothing better, how to try the way by hand.
func mendFor(err error, h inventory.Host) string {
	if m := hostdriver.MendOf(err); m != "" {
		return m
	}
	to := "ssh -v "
	if h.Port != 0 {
		to += "-p " + strconv.Itoa(h.Port) + " "
	}
	switch hostdriver.KindOf(err) {
	case hostdriver.Unreachable, "":
		return "is it on, is its address right, and does sshd answer there? " + to + h.Address
	}
	return "see what is there: " + to + h.Address
}

// Cut are the hosts on which a switch was cut in the middle, for Repair.
func (v *View) Cut() []string {
	var cut []string
	for _, h := range v.Input.Hosts {
		if h.Skip == "" && h.Observation != nil && h.Observation.Switching != nil {
			cut = append(cut, h.Desired.Host.Name)
		}
	}
	return cut
}
