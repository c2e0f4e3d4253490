package desired

import (
	"io/fs"

	"github.com/evenkeel/evenkeel/inventory"
)

// Revision is one commit (or checkout) of a fleet repo: decoded and validated.
type Revision struct {
	ID        string // the commit, or "checkout-DIGEST" of a dirty tree
	Fleet     Fleet
	Services  []Service // by name; the good ones only
	Inventory inventory.Inventory
	// Quarantined are services left out for their faults; the rest still holds.
	Quarantined []Fault
	files       fs.FS
	decrypter   Decrypter
}

// Fleet is the fleet-wide settings.
type Fleet struct {
	Name string
	Spec FleetSpec
	Pos  Position
}

// FleetSpec is what a fleet.yaml says.
type FleetSpec struct {
	SSH     SSHSpec        `yaml:"ssh"`
	Vars    map[string]any `yaml:"vars"`
	Rollout RolloutSpec    `yaml:"rollout"`
	Include []string       `yaml:"include"` // folders of services and inventories, relative to fleet.yaml; default services and inventory
	Prune   *bool          `yaml:"prune"`   // default true
}

// SSHSpec are defaults; the operator's flags and configuration win.
type SSHSpec struct {
	User   string `yaml:"user"`
	Port   int    `yaml:"port"`
	Become *bool  `yaml:"become"`
	Jump   string `yaml:"jump"`
}

// Decrypter opens one SOPS file. It is given the file's bytes and its name (whose
// ending tells the format) and returns the plain bytes in the same format.
type Decrypter interface {
	Decrypt(name string, data []byte) ([]byte, error)
}

// Fault is one thing wrong in a fleet repo: where, what, and how to mend it.
type Fault struct {
	Pos     Position
	Service string // "" where it is the fleet's or the inventory's
	Message string
	Mend    string
}
