package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// What a revision brought and had to be taken back is not brought again until git moves:
// the host itself remembers it (hostdriver.Refusal), so that it needs no store. Git has
// moved for a service once, on the host that refused it, something else is desired of it,
// or it is to be rolled out or proven otherwise.

// identity is by what a Refusal knows what it refused: content is what is put on the host,
// how is the way it is rolled out and proven.
func identity(inst *desired.Instance) (content, how string) {
	return digestOf(meanings(Entries(inst))), digestOf(struct {
		Strategy desired.Strategy
		Health   []desired.HealthSpec
	}{inst.Strategy, inst.Health})
}

func digestOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // these types marshal; and no host keeps an empty digest
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// refused are the services that a host of the fleet has refused as they are desired now,
// with the reason in words.
func refused(in Input) map[string]string {
	if in.Retry || planted == "refused content tried again" {
		return nil
	}
	var out map[string]string
	for i := range in.Hosts {
		h := &in.Hosts[i]
		if h.Observation == nil {
			continue
		}
		for _, r := range h.Observation.Refused {
			inst := h.Instance(r.Service)
			if inst == nil || out[r.Service] != "" {
				continue
			}
			if !h.stands(r) {
				continue
			}
			if out == nil {
				out = map[string]string{}
			}
			out[r.Service] = refusalWords(r, inst.Host)
		}
	}
	return out
}

// stands tells whether a refusal still holds: what was taken back is what is desired now.
// Where a host went back because something did not get healthy, so must be all that went
// back with it: another one may have been to blame, and git has moved for that.
func (h *HostInput) stands(r hostdriver.Refusal) bool {
	return h.desires(r) && (r.By == hostdriver.ByUndo || !slices.ContainsFunc(h.Observation.Refused, func(o hostdriver.Refusal) bool {
		return o.By == r.By && o.Revision == r.Revision && o.At.Equal(r.At) && !h.desires(o)
	}))
}

// desires tells whether what was refused is desired now, as far as that can be told.
func (h *HostInput) desires(r hostdriver.Refusal) bool {
	inst := h.Instance(r.Service)
	if inst == nil {
		return slices.Contains(h.Desired.Held, r.Service) || slices.ContainsFunc(h.Failed, func(p Problem) bool { return p.Service == r.Service })
	}
	content, how := identity(inst)
	return content == r.Content && (r.How == "" || how == r.How)
}

func refusalWords(r hostdriver.Refusal, host string) string {
	what := "was reverted on"
	if r.By == hostdriver.ByUndo {
		what = "was undone on"
	}
	s := fmt.Sprintf("not tried again: revision %s %s %s", ShortRevision(r.Revision), what, host)
	if r.Reason != "" {
		s += " (" + r.Reason + ")"
	}
	return s
}

// refuse makes problems of what is not tried again on a host.
func (h *HostInput) refuse(d Difference, refused map[string]string) []Problem {
	var out []Problem
	told := map[string]bool{}
	for _, c := range d.Changes {
		// What has it keeps it, and its drift is corrected.
		if why := refused[c.Service]; why != "" && !told[c.Service] && h.brings(c.Service) {
			told[c.Service] = true
			out = append(out, Problem{Host: h.Desired.Host.Name, Service: c.Service, Reason: why, Mend: "commit a change of it, or say --retry", Refused: true})
		}
	}
	return out
}

// refusals are what a host is to remember of a visit that takes back, or undoes, what is
// desired of its services.
func (h *HostInput) refusals(v *Visit, revision, reason string, by hostdriver.RefusalBy, at time.Time) []hostdriver.Refusal {
	var out []hostdriver.Refusal
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil {
			continue
		}
		r := hostdriver.Refusal{Service: name, Revision: revision, Reason: reason, By: by, At: at}
		r.Content, r.How = identity(inst)
		out = append(out, r)
	}
	return out
}
