package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// What is suspended is not touched, is named with how much differs, and counts in the
// budget as what it is.
func TestPlanOfWhatIsSuspended(t *testing.T) {
	tests := []struct {
		name string
		hold map[string]string
		host func(*hostdriver.Observation) // nil: it does not answer
		skip map[string]string
		want []SuspendedPlan
		down int
	}{
		{"nothing", nil, former, nil, nil, 0},
		{"a service that differs", map[string]string{"ledger": "suspended"}, former, nil, []SuspendedPlan{{"ledger", "suspended", 2}}, 0},
		{"a service as it should be", map[string]string{"ledger": "suspended"}, func(*hostdriver.Observation) {}, nil, []SuspendedPlan{{"ledger", "suspended", 0}}, 0},
		{"a host with a service that is down", map[string]string{"": "suspended: disk"}, func(o *hostdriver.Observation) {
			unit(o, func(u *hostdriver.UnitState) { u.Active = "failed" })
		}, nil, []SuspendedPlan{{"", "suspended: disk", 1}}, 1},
		{"a host that does not answer", map[string]string{"": "suspended: disk"}, nil, nil, []SuspendedPlan{{"", "suspended: disk", 0}}, 1},
		{"the host's word goes first", map[string]string{"": "suspended: disk", "ledger": "suspended"}, former, nil, []SuspendedPlan{{"", "suspended: disk", 2}}, 0},
		{"a service that was not asked for", map[string]string{"ledger": "suspended"}, former, map[string]string{"ledger": "not asked for"}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := HostInput{Desired: ledger(), Hold: tt.hold}
			h.Desired.Instances[0].Strategy = desired.Strategy{MaxUnavailable: desired.Count(1)}
			if o := settled(); tt.host != nil {
				tt.host(&o)
				h.Observation = &o
			}
			p := Build(Input{Salt: salt, Hosts: []HostInput{h}, Skip: tt.skip})
			if diff := cmp.Diff(tt.want, p.Hosts[0].Suspended); diff != "" {
				t.Error(diff)
			}
			if tt.hold != nil && (len(p.Visits) > 0 || p.Changed()) {
				t.Errorf("it is to be touched: %+v", p.Visits)
			}
			if n := len(p.Services[0].Budget.Down); n != tt.down {
				t.Errorf("%d count as down, want %d", n, tt.down)
			}
		})
	}
}
