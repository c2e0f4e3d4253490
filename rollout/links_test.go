package rollout

import (
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestLinkedOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		install string
		has     string
		change  func(*hostdriver.Observation)
		want    string // the change's reason; "" where there is none
	}{
		"as it says":          {"WantedBy=b.target a.target\nAlias=x.service\n", "a.target.wants b.target.wants x.service", nil, ""},
		"another target":      {"WantedBy=graphical.target\n", "multi-user.target.wants", nil, "WantedBy=: multi-user.target → graphical.target"},
		"one by hand":         {"WantedBy=a.target\n", "a.target.wants b.target.wants", nil, "WantedBy=: a.target b.target → a.target"},
		"required now":        {"RequiredBy=a.target\n", "a.target.wants", nil, "WantedBy=: a.target → none, RequiredBy=: none → a.target"},
		"an alias more":       {"WantedBy=a.target\nAlias=x.service\n", "a.target.wants", nil, "Alias=: none → x.service"},
		"upheld, by an older": {"WantedBy=a.target\nUpheldBy=b.service\n", "a.target.wants", nil, ""},
		"upheld no more":      {"WantedBy=a.target\n", "a.target.wants b.service.upholds", nil, "UpheldBy=: b.service → none"},
		"not told":            {"WantedBy=a.target\n", "", nil, ""},
		"only the host knows": {"WantedBy=%H.target\n", "a.target.wants", nil, ""},
		"a foreign drop-in": {"WantedBy=a.target\n", "b.target.wants", func(o *hostdriver.Observation) {
			u := o.Units["ledger.service"]
			u.DropIns = []string{"/etc/systemd/system/ledger.service.d/hand.conf"}
			o.Units["ledger.service"] = u
		}, ""},
	} {
		hs, o := ledger(), settled()
		inst := &hs.Instances[0]
		inst.Units[0].Text, _ = desired.ParseUnit([]byte("[Install]\n" + c.install))
		u := o.Units["ledger.service"]
		u.Links = strings.Fields(c.has)
		o.Units["ledger.service"] = u
		if c.change != nil {
			c.change(&o)
		}
		var got []string
		for _, x := range Diff(hs, o, DiffOptions{}).Changes {
			if x.Kind != KindEnable || x.Action != ActionUpdate || x.Disruption != None {
				t.Errorf("%s: %+v", name, x)
			}
			got = append(got, x.Reason)
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		h := &HostInput{Desired: hs, Observation: &o}
		v := &Visit{Services: []string{"ledger"}}
		if again := h.reenable(v, o.Manifest); slices.Contains(again, "ledger.service") != (c.want != "") {
			t.Errorf("%s: a switch links anew: %v", name, again)
		}
		v.Undo = &Undone{}
		if again := h.reenable(v, o.Manifest); !slices.Equal(again, []string{"ledger.service"}) {
			t.Errorf("%s: an undo links anew: %v", name, again)
		}
	}
}
