package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/desired"
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
	uses, holdings, err := f.holdings(ctx)
	if err != nil {
		return nil, err
	}
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
		s.Fault, s.Rotates = desired.AgreeOnSecret(uses[spec.Name])
		switch {
		case s.Fault != "" || !s.Rotates:
			s.Holdings = append(s.Holdings, holdings[spec.Name]...)
		default:
			s.Rotation = rollout.Rotate(spec.Name, holdings[spec.Name], spec.KeepFor(), settled[spec.Name], now, forms)
		}
		if s.Fault != "" {
			f.hold(spec, s.Fault)
		}
		f.holdUnsure(s)
		out = append(out, s)
	}
	f.Revision = *f.Revision.WithForms(forms)
	return out, nil
}

// hold keeps the services of a secret as they are.
func (f *Fleet) hold(spec desired.SecretSpec, why string) {
	f.Suspended.Services = maps.Clone(f.Suspended.Services)
	if f.Suspended.Services == nil {
		f.Suspended.Services = map[string]string{}
	}
	for _, p := range spec.Parts() {
		if f.Suspended.Services[p.Service] == "" {
			f.Suspended.Services[p.Service] = why
		}
	}
}

// holdUnsure keeps instances as they are of which it is not known which value they may use.
func (f *Fleet) holdUnsure(s SecretStatus) {
	if len(s.Held) == 0 {
		return
	}
	f.Suspended.Instances = maps.Clone(f.Suspended.Instances)
	if f.Suspended.Instances == nil {
		f.Suspended.Instances = map[[2]string]string{}
	}
	for _, h := range s.Held {
		if at := [2]string{h.Host, h.Service}; f.Suspended.Instances[at] == "" {
			f.Suspended.Instances[at] = "secret " + s.Secret + " rotates, and which value is accepted is not known: " + firstOf(s.Waits)
		}
	}
}

// holdings asks all hosts what they have of the fleet's secrets; by secret.
func (f *Fleet) holdings(ctx context.Context) (map[string][]desired.SecretUse, map[string][]rollout.Holding, error) {
	hosts := f.Revision.Inventory.Hosts
	uses, has := make([][]desired.SecretUse, len(hosts)), make([][]rollout.Holding, len(hosts))
	g := errgroup.Group{}
	g.SetLimit(f.concurrency())
	key := salt()
	for i, h := range hosts {
		g.Go(func() (err error) {
			defer f.shield(h.Name, &err)
			if uses[i], err = f.Revision.SecretUses(ctx, h); err != nil || len(uses[i]) == 0 {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, f.observeTimeout())
			defer cancel()
			o, err := f.Driver.Observe(ctx, h, rollout.HoldingQuery(uses[i], key))
			seen, why := &o, ""
			if err != nil {
				seen, why = nil, reasonOf(err)
			}
			for _, u := range uses[i] {
				has[i] = append(has[i], rollout.HoldingOf(u, seen, key, why))
			}
			return nil
		})
	}
	err := g.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, nil, cause
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot tell what the hosts have of secrets: %w", err)
	}
	byUse, byHolding := map[string][]desired.SecretUse{}, map[string][]rollout.Holding{}
	for i := range hosts {
		for j, u := range uses[i] {
			byUse[u.Secret] = append(byUse[u.Secret], u)
			byHolding[u.Secret] = append(byHolding[u.Secret], has[i][j])
		}
	}
	return byUse, byHolding, nil
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
