package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// former makes a settled host one that is on the revision before.
func former(o *hostdriver.Observation) {
	edit(o, envPath, "PORT=1\n", day1)
	for i := range o.Manifest.Entries {
		if e := &o.Manifest.Entries[i]; e.Name == envPath {
			e.SHA256 = o.Paths[envPath].SHA256
		}
	}
	s := o.Started["ledger.service"]
	s.Inputs = map[string]string{}
	o.Started["ledger.service"] = s
	processHas(o, map[string]string{"PORT": "1"})
}

// stale is on the revision, with a process that is not.
func stale(o *hostdriver.Observation) { processHas(o, map[string]string{"PORT": "1"}) }

// bare has nothing of ours yet.
func bare(o *hostdriver.Observation) {
	o.Manifest, o.Started, o.Processes = hostdriver.Manifest{}, nil, nil
	o.Units = map[string]hostdriver.UnitState{"ledger.service": {}}
	for p := range o.Paths {
		o.Paths[p] = hostdriver.PathState{Type: hostdriver.PathAbsent}
	}
}

func TestPlanOfCanaries(t *testing.T) {
	same := func(*hostdriver.Observation) {}
	type hosts []func(*hostdriver.Observation)
	tests := []struct {
		name   string
		canary desired.IntOrPercent
		hosts  hosts
		other  func(*Input)
		want   []string
		sum    string
	}{
		{"none wanted", desired.IntOrPercent{}, hosts{former, former}, nil, []string{"web-1", "web-2"}, "none"},
		{"one first", desired.Count(1), hosts{former, former, former}, nil,
			[]string{"web-1 canary", "web-2 follows", "web-3 follows"}, "1: web-1 | | web-2,web-3"},
		{"a share rounds down", desired.Percent(50), hosts{former, former, former, former, former}, nil,
			[]string{"web-1 canary", "web-2 canary", "web-3 follows", "web-4 follows", "web-5 follows"}, "2: web-1,web-2 | | web-3,web-4,web-5"},
		{"a share counts at least 1", desired.Percent(1), hosts{former, former}, nil, []string{"web-1 canary", "web-2 follows"}, "1: web-1 | | web-2"},
		{"all are canaries: nobody follows", desired.Count(9), hosts{former, former}, nil, []string{"web-1 canary", "web-2 canary"}, "2: web-1,web-2 | |"},
		{"what is on the revision already counts", desired.Count(2), hosts{same, former, former}, nil,
			[]string{"web-2 canary", "web-3 follows"}, "2: web-2 | web-1 | web-3"},
		{"all canaries are done: the rest waits at once", desired.Count(1), hosts{former, same, former}, nil,
			[]string{"web-1 follows", "web-3 follows"}, "1:  | web-2 | web-1,web-3"},
		{"more than the canaries are on it: it was promoted", desired.Count(1), hosts{same, same, former}, nil, []string{"web-3"}, "1:  | web-1,web-2 | promoted"},
		{"a stale process is no new revision", desired.Count(1), hosts{stale, same}, nil, []string{"web-1"}, "none"},
		{"a stale process waits for nobody", desired.Count(1), hosts{former, stale, former}, nil,
			[]string{"web-1 follows", "web-2", "web-3 follows"}, "1:  | web-2 | web-1,web-3"},
		{"a new host takes its turn", desired.Count(1), hosts{same, former, bare}, nil,
			[]string{"web-3 follows", "web-2 follows"}, "1:  | web-1 | web-3,web-2"},
		{"a new host, on which nobody is disturbed, is the best canary", desired.Count(1), hosts{former, bare, former}, nil,
			[]string{"web-2 canary", "web-1 follows", "web-3 follows"}, "1: web-2 | | web-1,web-3"},
		{"a first deployment has no canary", desired.Count(1), hosts{bare, bare}, nil, []string{"web-1 quiet", "web-2 quiet"}, "none"},
		{"a host that does not answer is none", desired.Count(1), hosts{nil, former, former}, nil, []string{"web-2 canary", "web-3 follows"}, "1: web-2 | | web-3"},
		{"it is remembered that they were promoted", desired.Count(1), hosts{same, former}, func(in *Input) { in.Promoted = map[string]bool{"ledger": true} },
			[]string{"web-2"}, "1:  | web-1 | promoted"},
		{"a service that is not asked for", desired.Count(1), hosts{former, former}, func(in *Input) { in.Skip = map[string]string{"ledger": "suspended"} }, nil, "none"},
		{"a host that is not asked for is no canary", desired.Count(1), hosts{former, former, former}, func(in *Input) { in.Hosts[0].Skip = "not among the hosts asked for" },
			[]string{"web-2 canary", "web-3 follows"}, "1: web-2 | | web-3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Salt: salt}
			for i, state := range tt.hosts {
				hs := ledger()
				hs.Host = inventory.Host{Name: fmt.Sprintf("web-%d", i+1)}
				hs.Instances[0].Host, hs.Instances[0].Strategy = hs.Host.Name, desired.Strategy{MaxUnavailable: desired.Count(1), Canary: tt.canary}
				h := HostInput{Desired: hs}
				if o := settled(); state != nil {
					state(&o)
					h.Observation = &o
				}
				in.Hosts = append(in.Hosts, h)
			}
			if tt.other != nil {
				tt.other(&in)
			}
			p := Build(in)
			var got []string
			for _, v := range p.Visits {
				text := v.Host
				for mark, has := range map[string]bool{" quiet": v.Quiet, " canary": slices.Contains(v.Canary, "ledger"), " follows": slices.Contains(v.Follows, "ledger")} {
					if has {
						text += mark
					}
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if sum := canarySum(p.Services[0].Canary); sum != tt.sum {
				t.Errorf("canaries %q, want %q", sum, tt.sum)
			}
		})
	}
}

func canarySum(c *CanaryPlan) string {
	if c == nil {
		return "none"
	}
	follow := strings.Join(c.Following, ",")
	if c.Promoted {
		follow = "promoted"
	}
	return strings.TrimSpace(strings.ReplaceAll(fmt.Sprintf("%d: %s | %s | %s", c.Size, strings.Join(c.Hosts, ","), strings.Join(c.Current, ","), follow), "|  |", "| |"))
}

// A batch is of hosts that follow: canaries are none of them.
func TestCanariesAreOutsideOfBatches(t *testing.T) {
	p := Plan{Services: []ServicePlan{{Service: "gateway", Strategy: desired.Strategy{Batches: []desired.IntOrPercent{desired.Count(1), desired.Percent(50)}}}}}
	for i := range 6 {
		v := Visit{ID: i, Disturbs: []string{"gateway"}}
		if i < 2 {
			v.Canary = []string{"gateway"}
		}
		p.Visits = append(p.Visits, v)
	}
	sizeBatches(&p)
	if diff := cmp.Diff([]int{1, 2, 1}, p.Services[0].Batches); diff != "" {
		t.Error(diff)
	}
}
