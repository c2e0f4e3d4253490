package desired

import (
	"context"
	"fmt"
)

// Check is a further look at what every host should be: package lint's.
type Check func(ctx context.Context, st HostState) []Fault

// Validate is everything that is wrong with a Revision: what Load found, and what
// resolving every host and the checks find, by place. It is offline: artifacts from
// elsewhere are fetched only where the Revision was loaded with an ArtifactStore, and a
// SOPS file that no key here opens is a warning that says it was skipped. A strict caller
// takes any error among them as a failure; services with none are still good. How a
// finding is taken, the repo says (ValidateSpec).
func Validate(ctx context.Context, rev *Revision, checks ...Check) []Fault {
	faults := append(Faults(nil), rev.Quarantined...)
	faults = append(faults, rev.Warnings...)
	for _, host := range rev.Inventory.Hosts {
		st, found, err := rev.resolve(ctx, host)
		if err != nil {
			return append(faults, Fault{Rule: "interrupted", Message: "not every host was looked at: " + err.Error()})
		}
		for _, check := range checks {
			found = append(found, check(ctx, st)...)
		}
		for _, f := range found {
			if f.Rule == RuleNoKey {
				f.Severity = SeverityWarning
				f.Message = "skipped: " + f.Message
			}
			faults = append(faults, f)
		}
	}
	faults = append(faults, rev.secretsAgree(ctx)...)
	faults = rev.Judged(faults).Merge()
	faults.Sort()
	return faults
}

// secretsAgree finds secrets that services have other values for.
func (r *Revision) secretsAgree(ctx context.Context) []Fault {
	uses := map[string][]SecretUse{}
	for _, host := range r.Inventory.Hosts {
		found, err := r.SecretUses(ctx, host)
		if err != nil {
			return nil
		}
		for _, u := range found {
			uses[u.Secret] = append(uses[u.Secret], u)
		}
	}
	var out []Fault
	for i, s := range r.Fleet.Spec.Secrets {
		if why, _ := AgreeOnSecret(uses[s.Name]); why != "" {
			out = append(out, Fault{Pos: r.Fleet.At(fmt.Sprintf("secrets[%d]", i)), Rule: "secret-differs", Message: why,
				Mend: "write the same value everywhere; evenkeel secret rotate does"})
		}
	}
	return out
}
