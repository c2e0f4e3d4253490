package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// answering is a driver whose hosts end every command in one way.
type answering struct {
	fakeHosts
	exit int
	err  error
	ran  *hostdriver.Run
}

func (a answering) Apply(_ context.Context, _ inventory.Host, _ hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	*a.ran = op.(hostdriver.Run)
	return hostdriver.Result{Exit: a.exit, Output: []byte("whatever it prints")}, a.err
}

func TestLeads(t *testing.T) {
	failed := func(kind hostdriver.ErrorKind) error {
		return &hostdriver.Error{Kind: kind, Host: "web-1", Op: "run", Err: errors.New("no route to host")}
	}
	for name, c := range map[string]struct {
		exit int
		err  error
		want rollout.Lead
	}{
		"it leads":                        {0, nil, rollout.Lead{Is: rollout.LeadYes}},
		"it does not":                     {1, nil, rollout.Lead{Is: rollout.LeadNo}},
		"it does not, as a driver may":    {3, failed(hostdriver.Failed), rollout.Lead{Is: rollout.LeadNo}},
		"it takes too long":               {124, nil, rollout.Lead{Is: rollout.LeadUnknown, Reason: "no answer in 3s"}},
		"there is no such program":        {127, nil, rollout.Lead{Is: rollout.LeadUnknown, Reason: "the command exits 127: it is not there, or not executable"}},
		"it is killed":                    {137, nil, rollout.Lead{Is: rollout.LeadUnknown, Reason: "the command was killed by signal 9"}},
		"the host does not answer":        {0, failed(hostdriver.Unreachable), rollout.Lead{Is: rollout.LeadUnknown, Reason: "unreachable: no route to host"}},
		"the host failed before it asked": {0, failed(hostdriver.Failed), rollout.Lead{Is: rollout.LeadUnknown, Reason: "failed: no route to host"}},
	} {
		t.Run(name, func(t *testing.T) {
			var ran hostdriver.Run
			f := &Fleet{Driver: answering{exit: c.exit, err: c.err, ran: &ran}}
			inst := &desired.Instance{Service: "ledger"}
			inst.Strategy.LeaderLast = &desired.LeaderLast{Command: "is-leader", User: "ledger", Timeout: desired.Duration(3 * time.Second)}
			if diff := cmp.Diff(c.want, f.leads(t.Context(), inst, inventory.Host{Name: "web-1"}, hostdriver.Fence{Epoch: 1})); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(hostdriver.Run{Line: "is-leader", User: "ledger", Timeout: 3 * time.Second}, ran); diff != "" {
				t.Error(diff)
			}
		})
	}
}
