package rollout

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func TestOrder(t *testing.T) {
	byRack := desired.Strategy{Order: desired.OrderByLabel, ByLabel: "rack"}
	leader := desired.Strategy{LeaderLast: &desired.LeaderLast{Command: "is-leader"}}
	both := byRack
	both.LeaderLast = leader.LeaderLast
	for name, c := range map[string]struct {
		strategy desired.Strategy
		racks    []string // by host, "-" for none
		down     int      // host, counted from 1
		leads    map[string]Lead
		want     []string
	}{
		"as the inventory has them":            {strategy: desired.Strategy{Order: desired.OrderInventory}, down: 3, want: []string{"web-1", "web-2", "web-3", "web-4"}},
		"those that are down first":            {down: 3, want: []string{"web-3", "web-1", "web-2", "web-4"}},
		"by label, without it last":            {strategy: byRack, racks: []string{"c", "-", "a", "c"}, want: []string{"web-3", "web-1", "web-4", "web-2"}},
		"by label, whoever is down":            {strategy: byRack, racks: []string{"c", "b", "a", "d"}, down: 4, want: []string{"web-3", "web-2", "web-1", "web-4"}},
		"by label, as text":                    {strategy: byRack, racks: []string{"10", "9", "1", "2"}, want: []string{"web-3", "web-1", "web-4", "web-2"}},
		"the leader last":                      {strategy: leader, leads: map[string]Lead{"web-1": {Is: LeadYes}, "web-2": {Is: LeadNo}}, want: []string{"web-2", "web-3", "web-4", "web-1"}},
		"the leader last, who is down first":   {strategy: leader, down: 4, leads: map[string]Lead{"web-1": {Is: LeadYes}}, want: []string{"web-4", "web-2", "web-3", "web-1"}},
		"before it, of whom it is not known":   {strategy: leader, leads: map[string]Lead{"web-1": {Is: LeadYes}, "web-2": {Is: LeadUnknown}}, want: []string{"web-3", "web-4", "web-2", "web-1"}},
		"nobody leads":                         {strategy: leader, leads: map[string]Lead{"web-1": {Is: LeadNo}}, want: []string{"web-1", "web-2", "web-3", "web-4"}},
		"by label, the leader last of all":     {strategy: both, racks: []string{"a", "b", "c", "a"}, leads: map[string]Lead{"web-1": {Is: LeadYes}}, want: []string{"web-4", "web-2", "web-3", "web-1"}},
		"who leads where nobody wants to know": {leads: map[string]Lead{"web-1": {Is: LeadYes}}, want: []string{"web-1", "web-2", "web-3", "web-4"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Salt: salt, Leads: map[string]map[string]Lead{"ledger": c.leads}}
			for i := range 4 {
				hs := ledger()
				hs.Host = inventory.Host{Name: fmt.Sprintf("web-%d", i+1)}
				if c.racks != nil && c.racks[i] != "-" {
					hs.Host.Labels = map[string]string{"rack": c.racks[i]}
				}
				hs.Instances[0].Host, hs.Instances[0].Strategy = hs.Host.Name, c.strategy
				o := settled()
				processHas(&o, map[string]string{"PORT": "1"})
				if i+1 == c.down {
					unit(&o, func(u *hostdriver.UnitState) { u.Active = "activating" })
				}
				in.Hosts = append(in.Hosts, HostInput{Desired: hs, Observation: &o})
			}
			var got []string
			for _, v := range Build(in).Visits {
				got = append(got, v.Host)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLeadWords(t *testing.T) {
	for want, leads := range map[string][]Lead{
		"":                        {{}, {}},
		"a leads":                 {{Is: LeadYes}, {Is: LeadNo}},
		"none says that it leads": {{Is: LeadNo}, {Is: LeadNo}},
		"a, b lead, as each says": {{Is: LeadYes}, {Is: LeadYes}},
		"b leads; not known of a (no answer in 3s)":                    {{Is: LeadUnknown, Reason: "no answer in 3s"}, {Is: LeadYes}},
		"none says that it leads; not known of a, b (no answer in 3s)": {{Is: LeadUnknown, Reason: "no answer in 3s"}, {Is: LeadUnknown, Reason: "no answer in 3s"}},
	} {
		is := []Instance{{Host: "a", Lead: leads[0]}, {Host: "b", Lead: leads[1]}}
		if got := LeadWords(is); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
