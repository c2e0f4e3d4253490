package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// The times that a hook may take.
const (
	DefaultHookTimeout = 5 * time.Minute
	maxHookTimeout     = 6 * time.Hour
)

// hooksOf are a service's hooks for the releases that a host is to have.
func hooksOf(svc *Service, artifacts []Artifact) []Hook {
	var out []Hook
	for _, s := range svc.Spec.Hooks {
		h := Hook{Name: s.Name, Run: s.Run, User: s.User, Env: s.Env, Timeout: s.Timeout.D(), Once: s.RunOnce, Retry: s.Retry}
		if h.Timeout == 0 {
			h.Timeout = DefaultHookTimeout
		}
		if len(h.Env) == 0 {
			for _, e := range svc.Spec.Env {
				h.Env = append(h.Env, e.Path)
			}
		}
		what := []string{svc.Name, s.Name, s.Run}
		for _, a := range artifacts {
			if s.Artifact == "" || s.Artifact == a.Name {
				what = append(what, a.Release)
			}
			if s.Artifact == a.Name {
				h.Release = a.Release
			}
		}
		sum := sha256.Sum256([]byte(strings.Join(what, "\x00")))
		h.ID = hex.EncodeToString(sum[:16])
		out = append(out, h)
	}
	return out
}

// hooks checks the hooks of a spec.
func (c *serviceCheck) hooks(spec ServiceSpec) {
	seen := map[string]bool{}
	for i, h := range spec.Hooks {
		at := fmt.Sprintf("hooks[%d]", i)
		if h.Name != "" {
			c.addIf(at+".name", "bad-name", checkName(h.Name), "")
			if seen[h.Name] {
				c.add(at+".name", "duplicate", "hook "+fault.Quote(h.Name)+" is there already", "give it another name")
			}
			seen[h.Name] = true
		}
		switch {
		case strings.ContainsRune(h.Run, 0):
			c.add(at+".run", "wrong-value", "run holds a NUL", "")
		case h.Run != "" && strings.TrimSpace(h.Run) == "":
			c.add(at+".run", "wrong-value", "run is empty", "write a command")
		case isTemplate(h.Run):
			c.add(at+".run", "wrong-value", "run is no template: {{ would be given to sh", "read what differs from the environment, which env brings")
		}
		if h.Artifact != "" && !slices.ContainsFunc(spec.Artifacts, func(a ArtifactSpec) bool { return a.Name == h.Artifact }) {
			c.add(at+".artifact", "wrong-value", "the service has no artifact "+fault.Quote(h.Artifact), "name one of its artifacts, or drop it")
		}
		if h.User != "" {
			c.addIf(at+".user", "bad-owner", checkOwner(h.User), "")
		}
		for j, p := range h.Env {
			if !slices.ContainsFunc(spec.Env, func(e EnvSpec) bool { return e.Path == p }) {
				c.add(fmt.Sprintf("%s.env[%d]", at, j), "wrong-value", "the service has no env file "+fault.Quote(p), "name the path of one under env")
			}
		}
		if h.Timeout < 0 || h.Timeout.D() > maxHookTimeout {
			c.add(at+".timeout", "wrong-value", fmt.Sprintf("timeout %s is not between 0 and %s", h.Timeout, maxHookTimeout), "")
		}
		if h.RunOnce && h.Timeout == 0 {
			c.add(at, "missing-key", "a hook that runs once needs a timeout, for what is cut by one has done nobody knows what", "write timeout: with more than it can ever take")
		}
		if h.Retry && !h.RunOnce {
			c.add(at+".retry", "wrong-value", "retry says that what runs once may be run again, and this hook runs on each host and may be anyway", "drop it, or write runOnce: true")
		}
	}
}
