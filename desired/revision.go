package desired

import (
	"context"
	"sort"
	"time"

	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// Revision is one commit (or checkout) of a fleet repo: decoded and validated. It
// is made by Load and read-only afterwards; its methods may be called concurrently.
type Revision struct {
	ID        string // the commit, or "checkout-DIGEST" of a dirty tree
	Fleet     Fleet
	Services  []Service // by name; the good ones only
	Inventory inventory.Inventory
	// Quarantined are the faults for which services were left out; the rest still
	// holds. What is on hosts of such a service must be left alone: see HeldBack.
	Quarantined []Fault
	// Warnings are faults that leave out nothing.
	Warnings []Fault
	// Rotated is when the values of secrets were made, by the secret's name, as far as
	// rotations.yaml says.
	Rotated map[string]time.Time

	state *revisionState
}

// revisionState is what Resolve works with; it only ever grows caches.
type revisionState struct {
	services  []*compiled // beside Services
	sources   *sources
	artifacts *artifacts
	resolved  resolvedHosts
	forms     Forms // of secrets that rotate; see WithForms
}

// HeldBack are the names of quarantined services, sorted. They are not undesired:
// nothing of theirs may be pruned.
func (r *Revision) HeldBack() []string {
	seen := map[string]bool{}
	var names []string
	for _, f := range r.Quarantined {
		if f.Service != "" && !seen[f.Service] {
			seen[f.Service] = true
			names = append(names, f.Service)
		}
	}
	sort.Strings(names)
	return names
}

// SOPSFiles are the SOPS files that were read for the hosts resolved up to now, by path.
func (r *Revision) SOPSFiles() []string {
	src := r.state.sources
	src.mu.Lock()
	defer src.mu.Unlock()
	var names []string
	for path, f := range src.files {
		if f.sops {
			names = append(names, path)
		}
	}
	sort.Strings(names)
	return names
}

// Service returns the good service of that name.
func (r *Revision) Service(name string) (Service, bool) {
	for _, s := range r.Services {
		if s.Name == name {
			return s, true
		}
	}
	return Service{}, false
}

// Fleet is the fleet-wide settings.
type Fleet struct {
	Name string
	Spec FleetSpec
	Pos  Position

	positions strictyaml.Positions
}

// At is where a part of the spec was written, or the nearest thing around it.
func (f Fleet) At(path string) Position { return f.positions.At("spec." + path) }

// FleetDocument is a whole document of kind Fleet.
type FleetDocument struct {
	APIVersion string             `yaml:"apiVersion" jsonschema:"required,enum=evenkeel/v1"` // evenkeel/v1
	Kind       string             `yaml:"kind" jsonschema:"required,enum=Fleet"`             // Fleet
	Metadata   inventory.Metadata `yaml:"metadata" jsonschema:"required"`                    // its name
	Spec       FleetSpec          `yaml:"spec"`                                              // settings for the whole fleet
}

// FleetSpec is what a fleet.yaml says.
type FleetSpec struct {
	SSH      SSHSpec        `yaml:"ssh"`      // how to log in; the operator's flags and configuration win
	Vars     map[string]any `yaml:"vars"`     // for templates, as .Vars, under those of groups and hosts
	Rollout  RolloutSpec    `yaml:"rollout"`  // defaults for every Service
	Windows  Windows        `yaml:"windows"`  // when restarts and reloads of any service may begin
	Include  []string       `yaml:"include"`  // further folders of services or inventories, or files, relative to fleet.yaml; services and inventory beside it are always read
	Secrets  []SecretSpec   `yaml:"secrets"`  // values that are rotated, and which services accept and send them
	Prune    *bool          `yaml:"prune"`    // remove from hosts what is no longer desired; default true
	Validate ValidateSpec   `yaml:"validate"` // how what evenkeel validate finds is taken
}

// SSHSpec are defaults; the operator's flags and configuration win.
type SSHSpec struct {
	User   string `yaml:"user"`                                      // to log in as
	Port   int    `yaml:"port" jsonschema:"minimum=1,maximum=65535"` // of sshd
	Become *bool  `yaml:"become"`                                    // with sudo -n
	Jump   string `yaml:"jump"`                                      // ProxyJump: [user@]host[:port], comma separated
}

// Decrypter opens one SOPS file. It is given the file's bytes and its name (whose
// ending tells the format) and returns the plain bytes in the same format.
type Decrypter interface {
	Decrypt(name string, data []byte) ([]byte, error)
}

// ArtifactStore gives artifacts from elsewhere: it makes sure that what the URL
// names is at hand, whole and with that digest (lower-case hex), and opens it.
type ArtifactStore interface {
	Fetch(ctx context.Context, url, sha256 string) (ArtifactFile, error)
}
