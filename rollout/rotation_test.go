package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evenkeel/evenkeel/desired"
)

// member is an instance of a fleet whose secret rotates, with the values that it has: the
// one it uses first.
type member struct {
	role   desired.Role
	values []string
	away   bool
}

func (m *member) holding(host string, current, previous string) Holding {
	h := Holding{Secret: "s", Service: string(m.role), Host: host, Role: m.role}
	switch {
	case m.away:
		h.Reason = "does not answer"
	case len(m.values) == 0:
		h.Known, h.Fresh = true, true
	default:
		h.Known = true
		h.UsesCurrent, h.UsesPrevious = m.values[0] == current, m.values[0] == previous
		h.TakesCurrent, h.TakesPrevious = slices.Contains(m.values, current), slices.Contains(m.values, previous)
	}
	return h
}

func (m *member) become(f desired.Form, current, previous string) {
	switch f {
	case desired.FormPrevious:
		m.values = []string{previous}
	case desired.FormPreviousFirst:
		m.values = []string{previous, current}
	case desired.FormCurrentFirst:
		m.values = []string{current, previous}
	case desired.FormCurrent:
		m.values = []string{current}
	}
	if m.role == desired.RoleSigner {
		m.values = m.values[:1]
	}
}

// refusal is who refuses whom; "" where nobody does.
func refusal(fleet []*member) string {
	for i, s := range fleet {
		for j, v := range fleet {
			if len(s.values) > 0 && len(v.values) > 0 && s.role.Signs() && v.role.Verifies() && !slices.Contains(v.values, s.values[0]) {
				return fmt.Sprintf("%d %s uses %v, %d %s accepts %v", i, s.role, s.values, j, v.role, v.values)
			}
		}
	}
	return ""
}

// Whatever hosts are away whenever, in whatever order instances are brought to what they
// are to be given, wherever that is cut, new hosts and aborts in between: at no moment does
// a verifier refuse what a signer uses. Once all answer, the rotation ends.
func TestRotateRefusesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "instances")
		var fleet []*member
		for range n {
			role := rapid.SampledFrom([]desired.Role{desired.RoleVerifier, desired.RoleSigner, desired.RoleBoth}).Draw(t, "role")
			fleet = append(fleet, &member{role: role, values: []string{"a"}})
		}
		current, previous := "b", "a"
		pass := func() Rotation {
			var holdings []Holding
			for i, m := range fleet {
				holdings = append(holdings, m.holding(fmt.Sprint(i), current, previous))
			}
			forms := desired.Forms{}
			r := Rotate("s", holdings, 0, time.Time{}, time.Unix(1e9, 0), forms)
			order := rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}).Draw(t, "order")
			left := rapid.IntRange(0, 10).Draw(t, "how many")
			for _, i := range order {
				if i >= len(fleet) || left == 0 || fleet[i].away {
					continue
				}
				if slices.ContainsFunc(r.Held, func(h Holding) bool { return h.Host == fmt.Sprint(i) }) {
					continue
				}
				left--
				before := slices.Clone(fleet[i].values)
				fleet[i].become(forms[desired.FormKey{Secret: "s", Service: string(fleet[i].role), Host: fmt.Sprint(i)}], current, previous)
				if who := refusal(fleet); who != "" {
					t.Fatalf("phase %s, %d from %v to %v: %s", r.Phase, i, before, fleet[i].values, who)
				}
			}
			return r
		}
		for range rapid.IntRange(0, 8).Draw(t, "passes") {
			for _, m := range fleet {
				m.away = rapid.IntRange(0, 5).Draw(t, "away") == 0
			}
			switch what := rapid.IntRange(0, 11).Draw(t, "what"); {
			case what == 0 && len(fleet) < 10:
				fleet = append(fleet, &member{role: rapid.SampledFrom([]desired.Role{desired.RoleVerifier, desired.RoleSigner, desired.RoleBoth}).Draw(t, "new")})
			case what == 1:
				current, previous = previous, current // an abort
			}
			pass()
		}
		for _, m := range fleet {
			m.away = false
		}
		for range 4 + len(fleet)*40 {
			if r := pass(); r.Phase == RotationDone && len(r.Behind()) == 0 && !slices.ContainsFunc(fleet, func(m *member) bool { return len(m.values) == 0 }) {
				for i, m := range fleet {
					if !slices.Equal(m.values, []string{current}) {
						t.Fatalf("%d %s ends with %v", i, m.role, m.values)
					}
				}
				return
			}
		}
		t.Fatalf("it does not end")
	})
}

// What an instance is given, by its role and the phase.
func TestRotateForms(t *testing.T) {
	type row struct {
		name               string
		gateway, ops, both []string // values of one of each; nil: it is away
		phase              RotationPhase
		want               [3]desired.Form
	}
	for _, r := range []row{
		{"begins", []string{"old"}, []string{"old"}, []string{"old"}, RotationStage, [3]desired.Form{desired.FormCurrentFirst, desired.FormPrevious, desired.FormPreviousFirst}},
		{"staged", []string{"new", "old"}, []string{"old"}, []string{"old", "new"}, RotationRoll, [3]desired.Form{desired.FormCurrentFirst, desired.FormCurrent, desired.FormCurrentFirst}},
		{"rolled", []string{"new", "old"}, []string{"new"}, []string{"new", "old"}, RotationRevoke, [3]desired.Form{desired.FormCurrent, desired.FormCurrent, desired.FormCurrent}},
		{"a signer is away", []string{"new", "old"}, nil, []string{"new", "old"}, RotationVerify, [3]desired.Form{desired.FormCurrentFirst, desired.FormCurrent, desired.FormCurrentFirst}},
		{"a verifier is away", nil, []string{"old"}, []string{"old", "new"}, RotationRoll, [3]desired.Form{desired.FormCurrentFirst, desired.FormPrevious, desired.FormPreviousFirst}},
		{"away after it was revoked", nil, []string{"new"}, []string{"new"}, RotationVerify, [3]desired.Form{desired.FormCurrent, desired.FormCurrent, desired.FormCurrent}},
		{"done", []string{"new"}, []string{"new"}, []string{"new"}, RotationDone, [3]desired.Form{desired.FormCurrent, desired.FormCurrent, desired.FormCurrent}},
	} {
		var hs []Holding
		roles := []desired.Role{desired.RoleVerifier, desired.RoleSigner, desired.RoleBoth}
		for i, values := range [][]string{r.gateway, r.ops, r.both} {
			m := member{role: roles[i], values: values, away: values == nil}
			hs = append(hs, m.holding("h", "new", "old"))
		}
		forms := desired.Forms{}
		got := Rotate("s", hs, 0, time.Time{}, time.Unix(1e9, 0), forms)
		if got.Phase != r.phase {
			t.Errorf("%s: phase %s, want %s", r.name, got.Phase, r.phase)
		}
		for i, role := range roles {
			if f := forms[desired.FormKey{Secret: "s", Service: string(role), Host: "h"}]; f != r.want[i] {
				t.Errorf("%s: %s gets %q, want %q", r.name, role, f, r.want[i])
			}
		}
	}
}
