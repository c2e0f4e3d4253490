package controller

import (
	"context"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// deadManGrace is how long after its step should have ended a dead man's timer
// takes the step back.
const deadManGrace = 30 * time.Second

// lifelines are the paths through which a host is reached: whoever changes one of
// them may cut the way on which it could be changed back.
var lifelines = []string{
	"/etc/ssh/", "/etc/sudoers", "/etc/pam.d/", "/etc/security/", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/shadow",
	"/etc/network/", "/etc/netplan/", "/etc/systemd/network/", "/etc/NetworkManager/", "/etc/nftables", "/etc/iptables", "/etc/ufw/",
	"/etc/hosts.allow", "/etc/hosts.deny", "/etc/resolv.conf", "/etc/sysctl", "/etc/modprobe.d/", "/etc/fstab",
}

// lifelineUnits begin the names of units of the same kind.
var lifelineUnits = []string{"ssh", "sshd", "systemd-networkd", "networking", "NetworkManager", "nftables", "netfilter", "iptables", "ufw", "firewalld", "wg-quick", "sysctl"}

// mayCutOff tells whether the visit changes something by which the host is reached.
// Then the host takes the change back by itself unless it can still be logged in to.
func (fx *effects) mayCutOff(v rollout.Visit, h *handled) bool {
	for _, name := range v.Services {
		inst := h.instance(name)
		if inst == nil {
			continue
		}
		for _, f := range inst.Files {
			if begins(f.Path, lifelines) || begins(strings.TrimPrefix(f.Path, "/etc/systemd/system/"), lifelineUnits) {
				return true
			}
		}
		for _, u := range inst.Units {
			if begins(u.Name, lifelineUnits) {
				return true
			}
		}
	}
	return false
}

func begins(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func (h *handled) arm(on bool) {
	h.mu.Lock()
	h.armed = on
	h.mu.Unlock()
}

// disarm stops a timer that was armed, over a new connection: who can log in now
// can mend what is left to mend.
func (fx *effects) disarm(ctx context.Context, h *handled) error {
	h.mu.Lock()
	armed := h.armed
	h.mu.Unlock()
	if !armed {
		return nil
	}
	if err := fx.apply(ctx, h, hostdriver.Disarm{}); err != nil {
		return err
	}
	h.arm(false)
	return nil
}
