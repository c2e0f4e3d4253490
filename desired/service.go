package desired

import (
	"time"

	"github.com/evenkeel/evenkeel/inventory"
)

// APIVersion is the only one there is.
const APIVersion = "evenkeel/v1"

// Service is what is deployed as one.
type Service struct {
	Name string
	Spec ServiceSpec
	Dir  string   // its folder in the fleet repo, slash separated
	Pos  Position // of its document
}

// ServiceSpec is what a service.yaml says. Paths of sources are relative to the
// service's folder. Strings of drain and health may be templates.
type ServiceSpec struct {
	Selector    inventory.Selector `yaml:"selector"`
	After       []string           `yaml:"after"`
	Users       []UserSpec         `yaml:"users"`
	Directories []DirectorySpec    `yaml:"directories"`
	Units       []UnitSpec         `yaml:"units"`
	Env         []EnvSpec          `yaml:"env"`
	Files       []FileSpec         `yaml:"files"`
	Artifacts   []ArtifactSpec     `yaml:"artifacts"`
	Rollout     RolloutSpec        `yaml:"rollout"`
	Drain       []DrainSpec        `yaml:"drain"`
	Health      []HealthSpec       `yaml:"health"`
	Suspend     bool               `yaml:"suspend"`
}

// UserSpec is a system user.
type UserSpec struct {
	Name string `yaml:"name"`
	Home string `yaml:"home"`
}

// DirectorySpec is a directory with owner and mode.
type DirectorySpec struct {
	Path  string `yaml:"path"`
	Owner string `yaml:"owner"` // default root
	Group string `yaml:"group"` // default the owner's name
	Mode  string `yaml:"mode"`  // octal, default "0755"
}

// UnitSpec is a unit file or drop-in, or a unit that exists already.
type UnitSpec struct {
	Source   string `yaml:"source"`   // its file; its base name is the unit's name unless Name is set
	Name     string `yaml:"name"`     // the unit's name, also for an instance such as gateway@1.service
	Path     string `yaml:"path"`     // default /etc/systemd/system/NAME; a drop-in is NAME.d/FILE.conf
	Enabled  *bool  `yaml:"enabled"`  // nil: not ours to say
	State    string `yaml:"state"`    // started | stopped | "" (not ours to say)
	Template bool   `yaml:"template"` // render even if not named *.tmpl
	DropIn   string `yaml:"dropIn"`   // the unit this source is a drop-in of
}

// EnvSpec is one env file, merged from sources in order.
type EnvSpec struct {
	Path       string     `yaml:"path"`
	Source     StringList `yaml:"source"` // one or a list; SOPS files are decrypted in the controller
	Owner      string     `yaml:"owner"`  // default root
	Group      string     `yaml:"group"`  // default root
	Mode       string     `yaml:"mode"`   // default "0600"
	ChangeMode ChangeMode `yaml:"changeMode"`
	Template   bool       `yaml:"template"`
}

// FileSpec is any other file.
type FileSpec struct {
	Path       string     `yaml:"path"`
	Source     string     `yaml:"source"`
	Owner      string     `yaml:"owner"`
	Group      string     `yaml:"group"`
	Mode       string     `yaml:"mode"` // default "0644"
	ChangeMode ChangeMode `yaml:"changeMode"`
	Template   bool       `yaml:"template"`
}

// ChangeMode is what a changed file means for the units that read it.
type ChangeMode string

// The change modes; the default is restart.
const (
	ChangeRestart ChangeMode = "restart"
	ChangeReload  ChangeMode = "reload"
	ChangeNone    ChangeMode = "none"
)

// ArtifactSpec is a program or bundle.
type ArtifactSpec struct {
	Name       string     `yaml:"name"`
	Source     string     `yaml:"source"` // https URL, or a path relative to the fleet repo's root; a template
	SHA256     string     `yaml:"sha256"` // required for https; a template
	Path       string     `yaml:"path"`   // a symlink to DIR/.releases/NAME/DIGEST
	Owner      string     `yaml:"owner"`
	Group      string     `yaml:"group"`
	Unpack     string     `yaml:"unpack"` // tar | none; default by the source's name (.tar, .tar.gz, .tgz, .tar.zst)
	ChangeMode ChangeMode `yaml:"changeMode"`
}

// RolloutSpec is how changes of the service go over its hosts.
type RolloutSpec struct {
	MaxUnavailable   IntOrPercent   `yaml:"maxUnavailable"` // default 1; percentages round down, at least 1
	MinHealthy       IntOrPercent   `yaml:"minHealthy"`     // percentages round up
	Batches          []IntOrPercent `yaml:"batches"`        // the last repeats
	MinHealthyTime   Duration       `yaml:"minHealthyTime"`
	HealthyDeadline  Duration       `yaml:"healthyDeadline"`
	ProgressDeadline Duration       `yaml:"progressDeadline"`
	DrainTimeout     Duration       `yaml:"drainTimeout"`
	AutoRevert       *bool          `yaml:"autoRevert"`
	Order            string         `yaml:"order"`         // unhealthy-first | inventory
	OnUnreachable    string         `yaml:"onUnreachable"` // count | skip | halt
}

// DrainSpec is one way to take an instance out of traffic; exactly one field is set.
type DrainSpec struct {
	HAProxy *HAProxyDrain `yaml:"haproxy" json:"haproxy,omitempty"`
	HTTP    *HTTPDrain    `yaml:"http" json:"http,omitempty"`
	Command *CommandDrain `yaml:"command" json:"command,omitempty"`
	None    *NoDrain      `yaml:"none" json:"none,omitempty"`
}

// HAProxyDrain drains through the runtime API.
type HAProxyDrain struct {
	Address string   `yaml:"address" json:"address"` // tcp://HOST:PORT or unix:///PATH, reached from the controller
	Backend string   `yaml:"backend" json:"backend"`
	Server  string   `yaml:"server" json:"server"`
	Timeout Duration `yaml:"timeout" json:"timeout"` // how long to wait for its sessions to end; 0: the rollout's drainTimeout
}

// HTTPDrain drains through an endpoint of the service or the balancer.
type HTTPDrain struct {
	Drain   HTTPCall  `yaml:"drain" json:"drain"`
	Undrain HTTPCall  `yaml:"undrain" json:"undrain"`
	Drained *HTTPCall `yaml:"drained" json:"drained,omitempty"` // asked until it answers with its status
	Timeout Duration  `yaml:"timeout" json:"timeout"`
}

// HTTPCall is one request. A URL without host (port and path only) goes to the
// host itself, through the SSH connection.
type HTTPCall struct {
	URL    string `yaml:"url" json:"url"`
	Method string `yaml:"method" json:"method"` // default POST (GET for drained)
	Status int    `yaml:"status" json:"status"` // default: any 2xx
}

// CommandDrain runs commands.
type CommandDrain struct {
	On      string   `yaml:"on" json:"on"` // host (default) | controller
	Drain   string   `yaml:"drain" json:"drain"`
	Undrain string   `yaml:"undrain" json:"undrain"`
	Drained string   `yaml:"drained" json:"drained,omitempty"` // exit 0 once no session is left
	Timeout Duration `yaml:"timeout" json:"timeout"`
}

// NoDrain says that nothing needs draining.
type NoDrain struct{}

// HealthSpec is one proof that an instance serves; exactly one of the checks is set.
type HealthSpec struct {
	HTTP    *HTTPHealth    `yaml:"http" json:"http,omitempty"`
	TCP     *TCPHealth     `yaml:"tcp" json:"tcp,omitempty"`
	Command *CommandHealth `yaml:"command" json:"command,omitempty"`
	Unit    *UnitHealth    `yaml:"unit" json:"unit,omitempty"`
}

// HTTPHealth asks a path on the host itself, through the SSH connection.
type HTTPHealth struct {
	Host    string            `yaml:"host" json:"host,omitempty"` // default 127.0.0.1
	Port    int               `yaml:"port" json:"port"`
	Path    string            `yaml:"path" json:"path"`
	Status  int               `yaml:"status" json:"status"` // default 200
	Scheme  string            `yaml:"scheme" json:"scheme,omitempty"`
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	Body    string            `yaml:"body" json:"body,omitempty"` // a part the body must have
	Timeout Duration          `yaml:"timeout" json:"timeout,omitempty"`
}

// TCPHealth connects to a port on the host itself.
type TCPHealth struct {
	Host    string   `yaml:"host" json:"host,omitempty"`
	Port    int      `yaml:"port" json:"port"`
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`
}

// CommandHealth runs a command on the host; exit 0 is healthy.
type CommandHealth struct {
	Run     string   `yaml:"run" json:"run"`
	User    string   `yaml:"user" json:"user,omitempty"`
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`
}

// UnitHealth asks that a unit is active (with that sub state, where given).
type UnitHealth struct {
	Name string `yaml:"name" json:"name"` // default: every started unit of the service
	Sub  string `yaml:"sub" json:"sub,omitempty"`
}

// Duration is written as Go's: 10s, 5m.
type Duration time.Duration

// D is the duration itself.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// IntOrPercent is a count or, where Percent, a share of a total. Set tells
// whether it was given at all.
type IntOrPercent struct {
	Value   int
	Percent bool
	Set     bool
}

// StringList is written as one string or a list of them.
type StringList []string

// Position is a place in the fleet repo, for messages.
type Position struct {
	File   string
	Line   int
	Column int
}
