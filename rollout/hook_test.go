package rollout

import (
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// hooked is a host whose service migrates once.
func hooked(host string, marks map[string]hostdriver.HookMark, retry bool) HostInput {
	h := HostInput{Desired: desired.HostState{Instances: []desired.Instance{{Service: "app", Host: host,
		Hooks: []desired.Hook{{ID: strings.Repeat("ab", 16), Name: "migrate", Run: "true", Once: true, Retry: retry}},
	}}}}
	h.Desired.Host.Name = host
	if marks != nil {
		h.Observation = &hostdriver.Observation{Host: host, Hooks: marks}
	}
	return h
}

func TestHooksElsewhere(t *testing.T) {
	once := "once." + strings.Repeat("ab", 16)
	none := map[string]hostdriver.HookMark{}
	begun := map[string]hostdriver.HookMark{once: {Service: "app", Name: "migrate", Holder: "alice"}}
	done := map[string]hostdriver.HookMark{once: {Service: "app", Name: "migrate", Done: true}}
	for _, c := range []struct {
		what             string
		one, two         map[string]hostdriver.HookMark
		retry            bool
		change, problem  string // of the first
		nothing, visited bool   // of the first
	}{
		{what: "nobody has run it", one: none, two: none, change: "one host runs it", visited: true},
		{what: "the other has run it", one: none, two: done, change: "it has run on h2, and is noted here", visited: true},
		{what: "it has run here", one: done, two: none, nothing: true},
		{what: "the other has begun it", one: none, two: begun, problem: "was begun on h2", change: "one host"},
		{what: "the other has begun it, and it may be run again", one: none, two: begun, retry: true, problem: "was begun on h2", change: "one host"},
		{what: "it was begun here", one: begun, two: none, change: "it was begun by alice", visited: true},
		{what: "the other does not answer", one: none, problem: "runs once, and h2, which may have run it", change: "one host"},
		{what: "the other does not answer, and it may be run again", one: none, retry: true, change: "one host", visited: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := Build(Input{Revision: "r1", Hosts: []HostInput{hooked("h1", c.one, c.retry), hooked("h2", c.two, c.retry)}})
			h := p.Hosts[0]
			if c.nothing {
				if len(h.Changes)+len(h.Problems) > 0 {
					t.Errorf("%+v %+v", h.Changes, h.Problems)
				}
				return
			}
			if len(h.Changes) != 1 || h.Changes[0].Kind != KindHook || !strings.Contains(h.Changes[0].Reason, c.change) {
				t.Errorf("changes: %+v", h.Changes)
			}
			if (c.problem != "") != (len(h.Problems) == 1) || c.problem != "" && !strings.Contains(h.Problems[0].Reason, c.problem) {
				t.Errorf("problems: %+v", h.Problems)
			}
			visited := len(p.Visits) > 0 && p.Visits[0].Host == "h1"
			if visited != c.visited || visited && (!p.Visits[0].Quiet || p.Visits[0].Written || len(p.Visits[0].Hooks) != 1) {
				t.Errorf("visits: %+v", p.Visits)
			}
		})
	}
}

func TestHookFailureHidesSecrets(t *testing.T) {
	h := hooked("h1", nil, false)
	h.Desired.Instances[0].Files = []desired.File{{Path: "/etc/app.env", Kind: desired.FileEnv, Vars: []desired.EnvVar{
		{Key: "A", Value: hostdriver.NewContent([]byte("hunter2\nx")), Secret: true}, {Key: "B", Value: hostdriver.NewContent([]byte("plain"))}}}}
	err := h.HookFailure(hostdriver.Hook{Service: "app", Name: "migrate", Once: true},
		hostdriver.Result{Exit: 3, Output: []byte("the token hunter2\nx is plain\x1b[2J; hunt\x00er2\n")})
	if text := err.Error(); strings.Contains(text, "hunter2\nx") || !strings.Contains(text, "[redacted] is plain[2J") || !strings.Contains(text, "exit status 3") {
		t.Errorf("%q", text)
	}
}
