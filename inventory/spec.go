package inventory

import "embed"

// Spec is what a document of kind Inventory says. Several documents, in any
// number of files, make up one inventory; their groups are shared.
type Spec struct {
	Groups map[string]GroupSpec `yaml:"groups"` // groups by name; the group "all" holds for every host
	Hosts  []HostSpec           `yaml:"hosts"`  // the machines
}

// GroupSpec is what the hosts of a group have in common.
type GroupSpec struct {
	Labels   map[string]string `yaml:"labels"`   // labels of every host of the group, under the host's own
	Vars     map[string]any    `yaml:"vars"`     // vars of every host of the group, under the host's own
	Children []string          `yaml:"children"` // groups whose hosts are in this one too
	Hosts    []string          `yaml:"hosts"`    // hosts of it, beside those that name it; declared in any file
}

// HostSpec is one machine.
type HostSpec struct {
	Name    string            `yaml:"name" jsonschema:"required"`                // how it is called in messages, plans and --host
	Address string            `yaml:"address"`                                   // name or IP address to dial; default the name
	Port    int               `yaml:"port" jsonschema:"minimum=1,maximum=65535"` // of its sshd; default the ssh_config's, else 22
	User    string            `yaml:"user"`                                      // to log in as; default the fleet's or the operator's
	Jump    string            `yaml:"jump"`                                      // ProxyJump: a host's name or [user@]host[:port], comma separated
	Suspend Suspend           `yaml:"suspend"`                                   // leave the host as it is: true, or why
	Labels  map[string]string `yaml:"labels"`                                    // what selectors pick by
	Groups  []string          `yaml:"groups"`                                    // groups it is in
	Vars    map[string]any    `yaml:"vars"`                                      // for templates, as .Vars
}

// Metadata names a document.
type Metadata struct {
	Name string `yaml:"name" jsonschema:"required"` // lower-case letters, digits, "-" and "."
}

// Document is a whole document of kind Inventory.
type Document struct {
	APIVersion string   `yaml:"apiVersion" jsonschema:"required,enum=evenkeel/v1"` // evenkeel/v1
	Kind       string   `yaml:"kind" jsonschema:"required,enum=Inventory"`         // Inventory
	Metadata   Metadata `yaml:"metadata"`                                          // its name
	Spec       Spec     `yaml:"spec" jsonschema:"required"`                        // the hosts and groups
}

// SpecSources are the Go files that declare the types of a document, so that a
// schema can take its descriptions from their comments.
//
//go:embed spec.go selector.go
var SpecSources embed.FS
