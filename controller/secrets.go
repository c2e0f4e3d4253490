package controller

import (
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// SecretStatus is one secret of the fleet: what its instances hold, how old it is, and how
// far its rotation is where there is one.
type SecretStatus struct {
	rollout.Rotation
	// Rotates tells that the fleet repo has a value before the current one. Where it is
	// false there is no phase, and holdings only compare with the current value.
	Rotates bool `json:"rotates"`
	// Fault is why the secret cannot be rotated.
	Fault string `json:"fault,omitempty"`
	// Made is when the value was made, as far as the fleet repo says.
	Made time.Time `json:"made,omitzero"`
	// Due is when it is to be replaced. Overdue tells that this is past.
	Due       time.Time `json:"due,omitzero"`
	Overdue   bool      `json:"overdue"`
	Automatic bool      `json:"automatic"`
}

// Active tells whether there is something left to be done of a rotation.
func (s SecretStatus) Active() bool { return s.Rotates && s.Phase != rollout.RotationDone }

// Rotate looks at what processes have of the fleet's secrets, and gives the Revision the
// forms that each instance is to have next; looks and rollouts that follow are of that. All
// hosts of the inventory are asked, also where Hosts or Services name some only. settled
// is since when secrets were known to be settled (see rollout.Rotate), by name; nil: nothing
// is known.
func (f *Fleet) Rotate(ctx context.Context, settled map[string]time.Time) ([]SecretStatus, error) {
	specs := f.Revision.Fleet.Spec.Secrets
	if len(specs) == 0 {
		return nil, nil
	}
	uses, holdings, failed, err := f.holdings(ctx)
	if err != nil {
		return nil, err
	}
	f.rotating = Suspended{Services: map[string]string{}, Instances: map[[2]string]string{}}
	now, forms := time.Now().UTC(), desired.Forms{}
	out := make([]SecretStatus, 0, len(specs))
	for _, spec := range specs {
		s := SecretStatus{Rotation: rollout.Rotation{Secret: spec.Name, Holdings: []rollout.Holding{}}, Made: f.Revision.Rotated[spec.Name], Automatic: spec.Automatic}
		if spec.EveryDays > 0 {
			if !s.Made.IsZero() {
				s.Due = s.Made.AddDate(0, 0, spec.EveryDays)
			}
			s.Overdue = now.After(s.Due) // one of which nobody knows how old it is, is due
		}
		holdings[spec.Name] = append(holdings[spec.Name], f.unseen(spec, failed)...)
		s.Fault, s.Rotates = desired.AgreeOnSecret(uses[spec.Name])
		switch {
		case s.Fault != "" || !s.Rotates:
			s.Holdings = append(s.Holdings, holdings[spec.Name]...)
		default:
			s.Rotation = rollout.Rotate(spec.Name, holdings[spec.Name], spec.KeepFor(), settled[spec.Name], now, forms)
		}
		f.hold(spec, s)
		out = append(out, s)
	}
	f.Revision = *f.Revision.WithForms(forms)
	return out, nil
}

// hold keeps the services of a secret as they are where the fleet repo is wrong about it, and
// instances of which it is not known which value they may use.
func (f *Fleet) hold(spec desired.SecretSpec, s SecretStatus) {
	if s.Fault != "" {
		for _, p := range spec.Parts() {
			f.rotating.Services[p.Service] = s.Fault
		}
	}
	for _, h := range s.Held {
		f.rotating.Instances[[2]string{h.Host, h.Service}] = "secret " + s.Secret + " rotates, and which value is accepted is not known: " + firstOf(s.Waits)
	}
}

// unseen are instances of which nothing can be asked: those of a service that is left out of
// the revision for its faults, as one, and those of a host that could not be looked at for
// a fault of ours.
func (f *Fleet) unseen(spec desired.SecretSpec, failed map[string]error) []rollout.Holding {
	var out []rollout.Holding
	for _, p := range spec.Parts() {
		h := rollout.Holding{Secret: spec.Name, Service: p.Service, Role: p.Role}
		svc, ok := f.Revision.Service(p.Service)
		if !ok {
			h.Host, h.Reason = "every host", "the service is left out of the revision for its faults"
			out = append(out, h)
			continue
		}
		for _, host := range f.Revision.Inventory.Select(svc.Spec.Selector) {
			if err := failed[host.Name]; err != nil {
				h.Host, h.Reason = host.Name, err.Error()
				out = append(out, h)
			}
		}
	}
	return out
}

// holdings asks all hosts what they have of the fleet's secrets; both by secret. failed are
// hosts with which something went wrong here.
func (f *Fleet) holdings(ctx context.Context) (byUse map[string][]desired.SecretUse, byHolding map[string][]rollout.Holding, failed map[string]error, err error) {
	hosts := f.Revision.Inventory.Hosts
	uses, has, errs := make([][]desired.SecretUse, len(hosts)), make([][]rollout.Holding, len(hosts)), make([]error, len(hosts))
	g := errgroup.Group{}
	g.SetLimit(f.concurrency())
	key := salt()
	for i, h := range hosts {
		g.Go(func() error {
			uses[i], has[i], errs[i] = f.holdingsOn(ctx, h, key)
			return nil
		})
	}
	_ = g.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, nil, nil, cause
	}
	byUse, byHolding, failed = map[string][]desired.SecretUse{}, map[string][]rollout.Holding{}, map[string]error{}
	for i, h := range hosts {
		if errs[i] != nil {
			failed[h.Name] = errs[i]
			continue
		}
		for j, u := range uses[i] {
			byUse[u.Secret] = append(byUse[u.Secret], u)
			byHolding[u.Secret] = append(byHolding[u.Secret], has[i][j])
		}
	}
	return byUse, byHolding, failed, nil
}

// holdingsOn asks one host.
func (f *Fleet) holdingsOn(ctx context.Context, h inventory.Host, key string) (uses []desired.SecretUse, has []rollout.Holding, err error) {
	defer f.shield(h.Name, &err)
	if uses, err = f.Revision.SecretUses(ctx, h); err != nil || len(uses) == 0 {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.observeTimeout())
	defer cancel()
	o, unseen := f.Driver.Observe(ctx, h, rollout.HoldingQuery(uses, key))
	seen, why := &o, ""
	if unseen != nil {
		seen, why = nil, reasonOf(unseen)
	}
	for _, u := range uses {
		has = append(has, rollout.HoldingOf(u, seen, key, why))
	}
	return uses, has, nil
}

// RotationWords are the rotations that are not done, in one line; "" where there is none.
func RotationWords(secrets []SecretStatus) string {
	var words []string
	for _, s := range secrets {
		if s.Active() {
			words = append(words, "rotation of "+s.Secret+" ("+string(s.Phase)+")")
		}
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
