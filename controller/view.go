package controller

import "github.com/evenkeel/evenkeel/hostdriver"

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
	for host, err := range v.Errors {
		if m := hostdriver.MendOf(err); m != "" {
			mends[host] = m
		}
	}
	return mends
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
