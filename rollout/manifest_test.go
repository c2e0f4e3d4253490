package rollout

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// A path that changes hands is in every manifest on the way, once, whichever service is
// switched first, or taken away.
func TestPathsChangeHands(t *testing.T) {
	file := func(service, name, content string) hostdriver.Entry {
		return hostdriver.Entry{Kind: hostdriver.KindFile, Service: service, Name: name, SHA256: content}
	}
	current := hostdriver.Manifest{Entries: []hostdriver.Entry{file("one", "/etc/a", "old"), file("two", "/etc/b", "old")}}
	instance := func(service, name string) desired.Instance {
		return desired.Instance{Service: service, Files: []desired.File{{Path: name, SHA256: "new"}}}
	}
	swapped := desired.HostState{Instances: []desired.Instance{instance("one", "/etc/b"), instance("two", "/etc/a")}}
	left := desired.HostState{Instances: []desired.Instance{instance("two", "/etc/a")}}
	for _, c := range []struct {
		what              string
		hs                desired.HostState
		switched, removed []string
		want              []string
	}{
		{"both at once", swapped, []string{"one", "two"}, nil, []string{"two /etc/a new", "one /etc/b new"}},
		{"the first one alone", swapped, []string{"one"}, nil, []string{"two /etc/a old", "one /etc/b new"}},
		{"the second one alone", swapped, []string{"two"}, nil, []string{"two /etc/a new", "one /etc/b old"}},
		{"neither", swapped, nil, nil, []string{"one /etc/a old", "two /etc/b old"}},
		{"one is taken away, and the other is not switched", left, nil, []string{"one"}, []string{"two /etc/a old", "two /etc/b old"}},
		{"one is taken away", left, []string{"two"}, []string{"one"}, []string{"two /etc/a new"}},
	} {
		var got []string
		for _, e := range Target(current, c.hs, c.switched, c.removed, 2).Entries {
			got = append(got, fmt.Sprintf("%s %s %s", e.Service, e.Name, e.SHA256))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}
