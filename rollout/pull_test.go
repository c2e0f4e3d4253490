package rollout

import (
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// What a host is to fetch by itself is told to its precheck and its stage; how large it is
// nobody knows here. A release that it has needs nothing.
func TestPulledArtifactsInAVisit(t *testing.T) {
	pull := &hostdriver.Pull{URL: hostdriver.NewContent([]byte("https://r.example/web.tar.gz")), Bandwidth: 5}
	a := desired.Artifact{Name: "web", SHA256: "new", Size: -1, StreamSize: -1, Link: "/opt/web", Release: "/opt/.releases/web/new", Form: hostdriver.FormTar, Owner: "root", Group: "root", Pull: pull}
	o := hostdriver.Observation{Paths: map[string]hostdriver.PathState{a.Release: {Type: hostdriver.PathAbsent}, a.Link: {Type: hostdriver.PathAbsent}}}
	h := &HostInput{Desired: desired.HostState{Instances: []desired.Instance{{Service: "web", Artifacts: []desired.Artifact{a}}}}, Observation: &o}
	v := &Visit{Services: []string{"web"}}
	needs := h.Needs(v, hostdriver.Observation{})
	if len(needs.Pulls) != 1 || needs.Pulls[0].Pull != pull || needs.Pulls[0].Path != a.Release || needs.NeedBytes["/opt/.releases/web"] != 0 || needs.NeedInodes["/opt/.releases/web"] != 1 {
		t.Errorf("%+v", needs)
	}
	op := h.Stage(v, hostdriver.Manifest{}, nil)
	if len(op.Releases) != 1 || op.Releases[0].Pull != pull || op.Releases[0].SHA256 != "new" || op.Releases[0].Form != hostdriver.FormTar {
		t.Errorf("%+v", op.Releases)
	}
	o.Paths[a.Release] = hostdriver.PathState{Type: hostdriver.PathDir, SHA256: "new"}
	if needs := h.Needs(v, hostdriver.Observation{}); len(needs.Pulls) != 0 {
		t.Errorf("of what is there: %+v", needs.Pulls)
	}

	// How it comes is no difference.
	o.Paths[a.Link] = hostdriver.PathState{Type: hostdriver.PathSymlink, Target: a.Release}
	for _, way := range []*hostdriver.Pull{pull, nil} {
		h.Desired.Instances[0].Artifacts[0].Pull = way
		d := differ{o: o}
		d.artifacts(&h.Desired.Instances[0])
		if len(d.Changes) != 0 {
			t.Errorf("%+v", d.Changes)
		}
	}
}
