package desired

import "context"

// Validate is everything that is wrong with a Revision: what Load found, and what
// resolving every host finds, by place. It is offline: artifacts from elsewhere are
// fetched only where the Revision was loaded with an ArtifactStore, and a SOPS file
// that no key here opens is a warning that says it was skipped. A strict caller
// takes any error among them as a failure; services with none are still good.
func Validate(ctx context.Context, rev *Revision) []Fault {
	faults := append(Faults(nil), rev.Quarantined...)
	faults = append(faults, rev.Warnings...)
	for _, host := range rev.Inventory.Hosts {
		_, found, err := rev.resolve(ctx, host)
		if err != nil {
			return append(faults, Fault{Rule: "interrupted", Message: "not every host was looked at: " + err.Error()})
		}
		for _, f := range found {
			if f.Rule == RuleNoKey {
				f.Severity = SeverityWarning
				f.Message = "skipped: " + f.Message
			}
			faults = append(faults, f)
		}
	}
	faults = faults.Merge()
	faults.Sort()
	return faults
}
