package desired

import (
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// APIVersion is the only one there is.
const APIVersion = "evenkeel/v1"

// Service is what is deployed as one.
type Service struct {
	Name string
	Spec ServiceSpec
	Dir  string   // its folder in the fleet repo, slash separated
	Pos  Position // of its document

	positions strictyaml.Positions
}

// At is where a part of the spec was written ("rollout.maxUnavailable",
// "env[0].path"), or the nearest thing around it.
func (s Service) At(path string) Position { return s.positions.At("spec." + path) }

// ServiceDocument is a whole document of kind Service.
type ServiceDocument struct {
	APIVersion string             `yaml:"apiVersion" jsonschema:"required,enum=evenkeel/v1"` // evenkeel/v1
	Kind       string             `yaml:"kind" jsonschema:"required,enum=Service"`           // Service
	Metadata   inventory.Metadata `yaml:"metadata" jsonschema:"required"`                    // its name
	Spec       ServiceSpec        `yaml:"spec" jsonschema:"required"`                        // what it is, where, and how it is changed
}

// ServiceSpec is what a service.yaml says. Paths of sources are relative to the
// service's folder. A source, and the strings of drain and health, may be templates.
type ServiceSpec struct {
	Selector    inventory.Selector `yaml:"selector" jsonschema:"required"` // the hosts it runs on, by their labels
	After       []string           `yaml:"after"`                          // services that are rolled before this one
	Users       []UserSpec         `yaml:"users"`                          // system users
	Directories []DirectorySpec    `yaml:"directories"`                    // directories with owner and mode
	Units       []UnitSpec         `yaml:"units"`                          // systemd units, drop-ins and Quadlets
	Env         []EnvSpec          `yaml:"env"`                            // env files, for EnvironmentFile=
	Files       []FileSpec         `yaml:"files"`                          // other files
	Credentials []CredentialSpec   `yaml:"credentials"`                    // secrets that units load as systemd credentials
	Artifacts   []ArtifactSpec     `yaml:"artifacts"`                      // programs and bundles, by digest
	Hooks       []HookSpec         `yaml:"hooks"`                          // commands that are run once a release is staged, before anything is switched
	Rollout     RolloutSpec        `yaml:"rollout"`                        // how changes go over the hosts
	Drain       []DrainSpec        `yaml:"drain"`                          // how an instance is taken out of traffic
	Health      []HealthSpec       `yaml:"health"`                         // what proves that an instance serves
	Windows     Windows            `yaml:"windows"`                        // when its restarts and reloads may begin, beside the fleet's windows
	Suspend     inventory.Suspend  `yaml:"suspend"`                        // leave its instances as they are: true, or why
	Validate    ValidateSpec       `yaml:"validate"`                       // how what evenkeel validate finds is taken, over the fleet's
}

// Windows are when what disturbs may begin. Deny wins; where there is any allow window,
// it may begin only within one. None at all is always open.
type Windows []WindowSpec

// WindowSpec is a time within which restarts and reloads may begin, or may not.
type WindowSpec struct {
	Kind     string    `yaml:"kind" json:"kind" jsonschema:"required,enum=allow,enum=deny"` // allow: where there is such a window, they may begin only within one; deny: they may not, whatever is allowed
	Schedule string    `yaml:"schedule" json:"schedule" jsonschema:"required"`              // when it begins, as in a crontab: minute, hour, day of month, month, day of week
	Duration *Duration `yaml:"duration" json:"duration" jsonschema:"required"`              // how long it lasts
	TimeZone string    `yaml:"timeZone" json:"timeZone,omitempty"`                          // of the schedule, such as Europe/Berlin; default UTC
	Reason   string    `yaml:"reason" json:"reason,omitempty"`                              // shown where it holds something back
}

// UserSpec is a system user.
type UserSpec struct {
	Name string `yaml:"name" jsonschema:"required"` // login name; its group has the same
	Home string `yaml:"home"`                       // home directory; default /
}

// DirectorySpec is a directory with owner and mode.
type DirectorySpec struct {
	Path  string `yaml:"path" jsonschema:"required"` // absolute
	Owner string `yaml:"owner"`                      // default root
	Group string `yaml:"group"`                      // default the owner's name
	Mode  string `yaml:"mode"`                       // octal, default "0755"
}

// UnitSpec is a unit file or drop-in, or a unit that exists already.
type UnitSpec struct {
	Source   string `yaml:"source"`                                       // its file; its base name is the unit's name unless name is set
	Name     string `yaml:"name"`                                         // the unit's name, also for an instance such as gateway@1.service
	Path     string `yaml:"path"`                                         // default /etc/systemd/system/NAME; of scope user /etc/systemd/user/NAME; a Quadlet's is /etc/containers/systemd/NAME
	Enabled  *bool  `yaml:"enabled"`                                      // started at boot; left out: not ours to say
	State    string `yaml:"state" jsonschema:"enum=started,enum=stopped"` // left out: not ours to say
	Template bool   `yaml:"template"`                                     // render even if not named *.tmpl
	DropIn   string `yaml:"dropIn"`                                       // the unit this source is a drop-in of
	Scope    string `yaml:"scope" jsonschema:"enum=system,enum=user"`     // whose systemd runs it: the host's (default), or that of a user, which then runs from boot on and without a login
	User     string `yaml:"user"`                                         // of scope user: whose

	// generated is the service that a Quadlet file names with ServiceName=, "" where it does not.
	generated string
}

// EnvSpec is one env file, merged from sources in order. One plain source is taken
// byte for byte, and so is one SOPS file of a single value (a name that ends otherwise
// than .env, .yaml, .json or .ini); several, or any other SOPS file, are written as
// Merge says, later ones winning.
type EnvSpec struct {
	Path       string     `yaml:"path" jsonschema:"required"`                                 // absolute
	Source     StringList `yaml:"source" jsonschema:"required"`                               // one or a list; SOPS files are decrypted in the controller
	Owner      string     `yaml:"owner"`                                                      // default root
	Group      string     `yaml:"group"`                                                      // default root
	Mode       string     `yaml:"mode"`                                                       // octal, default "0600"
	ChangeMode ChangeMode `yaml:"changeMode" jsonschema:"enum=restart,enum=reload,enum=none"` // what a change means for the units that read it; default restart
	Template   bool       `yaml:"template"`                                                   // render even if not named *.tmpl
	Merge      string     `yaml:"merge" jsonschema:"enum=rewrite,enum=in-place"`              // of several sources: all variables written anew (default), or the text of the first one, with the values of later ones where it has KEY= alone on a line
}

// FileSpec is any other file.
type FileSpec struct {
	Path       string     `yaml:"path" jsonschema:"required"`                                 // absolute
	Source     string     `yaml:"source" jsonschema:"required"`                               // its file; a SOPS file is decrypted in the controller
	Owner      string     `yaml:"owner"`                                                      // default root
	Group      string     `yaml:"group"`                                                      // default root
	Mode       string     `yaml:"mode"`                                                       // octal, default "0644"
	ChangeMode ChangeMode `yaml:"changeMode" jsonschema:"enum=restart,enum=reload,enum=none"` // what a change means for the units that read it; default restart, and none for what takes effect by itself (sysusers.d, tmpfiles.d, sysctl.d, journald.conf.d, logrotate.d)
	Template   bool       `yaml:"template"`                                                   // render even if not named *.tmpl
}

// CredentialSpec is a secret that a unit gets from systemd as a file that nobody else
// sees, in $CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential=, systemd 247;
// LoadCredentialEncrypted=, systemd 250).
type CredentialSpec struct {
	Name       string     `yaml:"name" jsonschema:"required"`                             // the file's name there
	Source     string     `yaml:"source" jsonschema:"required"`                           // its content; a SOPS file is decrypted in the controller
	Units      StringList `yaml:"units"`                                                  // the service's units that load it; default all its .service units
	ChangeMode ChangeMode `yaml:"changeMode" jsonschema:"enum=restart,enum=none"`         // what a change means for them; default restart
	Template   bool       `yaml:"template"`                                               // render even if not named *.tmpl
	Encrypted  Encryption `yaml:"encrypted" jsonschema:"enum=auto,enum=require,enum=off"` // on the host's disk, with the host's key: where its systemd can (auto, default; systemd 250), always, or never
}

// Encryption is whether a credential is encrypted on the disk of its host.
type Encryption string

// The choices; the default is auto.
const (
	EncryptAuto    Encryption = "auto"    // where the host's systemd can
	EncryptRequire Encryption = "require" // a host whose systemd cannot is left as it is
	EncryptOff     Encryption = "off"     // in a file that root alone may read
)

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
	Name       string         `yaml:"name" jsonschema:"required"`                                 // lower-case letters, digits, "-" and "."
	Source     string         `yaml:"source" jsonschema:"required"`                               // https:// or oci:// URL, file:///PATH on the controller, git+https://, git+ssh:// or git+file:// with tag or branch, commit and path, or a path from the folder of fleet.yaml or the repo's root; a template
	SHA256     string         `yaml:"sha256"`                                                     // of the source, in hex (of oci: of the layer); required for all but files of the repo and commits; a template
	Path       string         `yaml:"path" jsonschema:"required"`                                 // a symlink to DIR/.releases/NAME/DIGEST
	Owner      string         `yaml:"owner"`                                                      // default root
	Group      string         `yaml:"group"`                                                      // default root
	Unpack     string         `yaml:"unpack" jsonschema:"enum=tar,enum=zip,enum=none"`            // default by the source's name: .tar, .tar.gz, .tgz, .tar.zst and .zip are unpacked
	Signature  *SignatureSpec `yaml:"signature"`                                                  // what proves, beside sha256, whose it is
	Pull       string         `yaml:"pull" jsonschema:"enum=controller,enum=host"`                // who fetches it: the controller (default), which sends it; or each host by itself, from its https:// URL
	Bandwidth  string         `yaml:"bandwidth"`                                                  // of pull: host, how much a second a host fetches at most: 10MB, 500KiB; default unbounded
	ChangeMode ChangeMode     `yaml:"changeMode" jsonschema:"enum=restart,enum=reload,enum=none"` // what a change means for the units that use it; default restart
}

// HookSpec is a command that a host runs once the new releases are staged there, before it is
// drained and before anything is switched. It is run once for each release (of its artifact,
// else of any artifact of the service), and again where its command changes.
type HookSpec struct {
	Name     string     `yaml:"name" jsonschema:"required"` // lower-case letters, digits, "-" and "."
	Run      string     `yaml:"run" jsonschema:"required"`  // a line for sh; it ends well with exit status 0. No template
	Artifact string     `yaml:"artifact"`                   // it runs in the folder of this artifact's new release; left out: in /
	User     string     `yaml:"user"`                       // whom it runs as; default root
	Env      StringList `yaml:"env"`                        // the env files of the service, by path, whose variables it has as they will be, later ones winning; default all
	Timeout  Duration   `yaml:"timeout"`                    // how long it may take; default 5m, of runOnce there is none
	RunOnce  bool       `yaml:"runOnce"`                    // on one host, for the whole service: a migration. The others wait for it
	Retry    bool       `yaml:"retry"`                      // of runOnce: it may be run again where nobody knows what became of it
}

// SignatureSpec is a signature of an artifact's source, by minisign or by cosign with a key.
type SignatureSpec struct {
	Minisign string `yaml:"minisign"` // the public key, RW…
	Cosign   string `yaml:"cosign"`   // a file of the repo with the public key, in PEM
	Source   string `yaml:"source"`   // where the signature is; default the artifact's source with .minisig or .sig
}

// RolloutSpec is how changes of the service go over its hosts.
type RolloutSpec struct {
	MaxUnavailable   IntOrPercent   `yaml:"maxUnavailable"`                                            // instances that may be down at once, for any reason; default 1; percentages round down, at least 1
	MinHealthy       IntOrPercent   `yaml:"minHealthy"`                                                // instances that must stay healthy; percentages round up
	Batches          []IntOrPercent `yaml:"batches"`                                                   // hosts a step; the last repeats
	Canary           IntOrPercent   `yaml:"canary"`                                                    // hosts that prove a new revision before any other is touched; percentages round down, at least 1; 0 or left out: none
	Promote          Promote        `yaml:"promote"`                                                   // when the canaries are accepted: manual (default), or by themselves once they were healthy for so long
	MinHealthyTime   *Duration      `yaml:"minHealthyTime"`                                            // how long health must hold; default 10s
	HealthyDeadline  *Duration      `yaml:"healthyDeadline"`                                           // for one instance to turn healthy; default 5m
	ProgressDeadline *Duration      `yaml:"progressDeadline"`                                          // between two instances turning healthy; default 10m; 0: the first unhealthy one fails the rollout
	DrainTimeout     *Duration      `yaml:"drainTimeout"`                                              // for sessions to end; default 30s
	AutoRevert       *bool          `yaml:"autoRevert"`                                                // back to the previous generation where an instance does not turn healthy; default true
	Order            Order          `yaml:"order"`                                                     // in which order hosts are visited: unhealthy-first (default), inventory, or a map
	Spread           string         `yaml:"spread"`                                                    // a label: never two instances on hosts with the same value of it are down at once
	OnUnreachable    string         `yaml:"onUnreachable" jsonschema:"enum=count,enum=skip,enum=halt"` // what an unreachable host is: counted as down (default), left out, or a reason to halt
	OnDrainTimeout   string         `yaml:"onDrainTimeout" jsonschema:"enum=halt,enum=continue"`       // once drainTimeout is over with sessions left: undrain and halt (default), or go on
	KeepGenerations  int            `yaml:"keepGenerations" jsonschema:"minimum=2,maximum=100"`        // how many generations a host keeps to go back to, with the one on disk; default 5; of several services on a host the most
	Gates            []GateSpec     `yaml:"gates"`                                                     // asked before each host; all must be open; no templates
}

// Order is the order in which the hosts of a service are visited: a word, or a map with
// byLabel, leaderLast or both.
type Order struct {
	Word       string      `yaml:"-" json:"-"`                             // unhealthy-first | inventory; "" where it is a map
	ByLabel    string      `yaml:"byLabel" json:"byLabel,omitempty"`       // sorted by the value of this label as text; hosts without it come last
	LeaderLast *LeaderLast `yaml:"leaderLast" json:"leaderLast,omitempty"` // the host that leads just now comes last of all
}

// LeaderLast is how a host is asked whether it leads: anew before each visit.
type LeaderLast struct {
	Command string   `yaml:"command" json:"command" jsonschema:"required"` // a line for sh -c on each host of the service, as root; exit 0: this host leads now. No template
	User    string   `yaml:"user" json:"user,omitempty"`                   // whom it runs as; default root
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`             // of one answer; default 5s, at most 10s
}

// GateSpec is one outside word without which no host is touched; exactly one field is set.
type GateSpec struct {
	Command    *CommandGate    `yaml:"command" json:"command,omitempty"`       // a command on the controller
	Prometheus *PrometheusGate `yaml:"prometheus" json:"prometheus,omitempty"` // a query of a Prometheus
}

// CommandGate runs a command on the controller; exit 0 is open. It finds the host, the
// service and the revision in GATE_HOST, GATE_SERVICE and GATE_REVISION.
type CommandGate struct {
	Run     string   `yaml:"run" json:"run" jsonschema:"required"` // a line for sh; what it prints first is shown as the reason
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`     // default 30s
}

// PrometheusGate asks an instant query. With max or min (or both) every value must
// keep within them, and there must be one; without, any result closes it, as with an alert.
type PrometheusGate struct {
	URL       string   `yaml:"url" json:"url" jsonschema:"required"`     // http://HOST:PORT or https://…, as the controller reaches it
	Query     string   `yaml:"query" json:"query" jsonschema:"required"` // PromQL that gives a scalar or a vector
	Max       *Number  `yaml:"max" json:"max,omitempty"`                 // the most that a value may be
	Min       *Number  `yaml:"min" json:"min,omitempty"`                 // the least that a value may be
	TokenFile string   `yaml:"tokenFile" json:"tokenFile,omitempty"`     // a file on the controller with a bearer token; https only, or a loopback address
	Timeout   Duration `yaml:"timeout" json:"timeout,omitempty"`         // default 10s
}

// DrainSpec is one way to take an instance out of traffic; exactly one field is set.
type DrainSpec struct {
	HAProxy *HAProxyDrain `yaml:"haproxy" json:"haproxy,omitempty"` // through HAProxy's runtime API
	Nginx   *NginxDrain   `yaml:"nginx" json:"nginx,omitempty"`     // by a mark in nginx's configuration
	HTTP    *HTTPDrain    `yaml:"http" json:"http,omitempty"`       // through an endpoint of the service or the balancer
	Command *CommandDrain `yaml:"command" json:"command,omitempty"` // by commands
	None    *NoDrain      `yaml:"none" json:"none,omitempty"`       // nothing needs draining
}

// HAProxyDrain drains through the runtime API.
type HAProxyDrain struct {
	Address string   `yaml:"address" json:"address" jsonschema:"required"` // tcp://HOST:PORT or unix:///PATH from the controller; ssh+tcp://NAME/HOST:PORT or ssh+unix://NAME/PATH from a host of the inventory
	Backend string   `yaml:"backend" json:"backend" jsonschema:"required"` // the backend's name
	Server  string   `yaml:"server" json:"server" jsonschema:"required"`   // the server's name in it
	Timeout Duration `yaml:"timeout" json:"timeout"`                       // how long to wait for its sessions to end; 0: the rollout's drainTimeout
}

// NginxDrain marks a server of an upstream as down in a file of nginx's and has nginx
// read it again.
type NginxDrain struct {
	Host     string   `yaml:"host" json:"host,omitempty"`                 // the host of the inventory that nginx runs on; left out: the controller itself
	File     string   `yaml:"file" json:"file" jsonschema:"required"`     // with the server's line; absolute, not a symlink
	Upstream string   `yaml:"upstream" json:"upstream,omitempty"`         // its upstream, where the file has the server in several
	Server   string   `yaml:"server" json:"server" jsonschema:"required"` // as the file has it, such as 10.0.0.11:8080
	Check    string   `yaml:"check" json:"check,omitempty"`               // proves the configuration before it is used; default nginx -t
	Reload   string   `yaml:"reload" json:"reload,omitempty"`             // has nginx use it; default nginx -s reload
	Timeout  Duration `yaml:"timeout" json:"timeout"`                     // how long to wait for its sessions to end; 0: the rollout's drainTimeout
}

// HTTPDrain drains through an endpoint of the service or the balancer.
type HTTPDrain struct {
	Drain   HTTPCall  `yaml:"drain" json:"drain" jsonschema:"required"`     // takes it out
	Undrain HTTPCall  `yaml:"undrain" json:"undrain" jsonschema:"required"` // takes it back in
	Drained *HTTPCall `yaml:"drained" json:"drained,omitempty"`             // asked until it answers with its status
	Timeout Duration  `yaml:"timeout" json:"timeout"`                       // how long to wait for drained; 0: the rollout's drainTimeout
}

// HTTPCall is one request. A URL without host (port and path only) goes to the
// host itself, through the SSH connection.
type HTTPCall struct {
	URL    string `yaml:"url" json:"url" jsonschema:"required"`                                                           // http://… or https://…, or :PORT/PATH on the host itself
	Method string `yaml:"method" json:"method" jsonschema:"enum=GET,enum=HEAD,enum=POST,enum=PUT,enum=PATCH,enum=DELETE"` // default POST (GET for drained)
	Status int    `yaml:"status" json:"status" jsonschema:"minimum=100,maximum=599"`                                      // default: any 2xx
}

// CommandDrain runs commands.
type CommandDrain struct {
	On      string   `yaml:"on" json:"on"`                                 // host (default), controller, or the name of another host of the inventory
	Drain   string   `yaml:"drain" json:"drain" jsonschema:"required"`     // takes it out
	Undrain string   `yaml:"undrain" json:"undrain" jsonschema:"required"` // takes it back in
	Drained string   `yaml:"drained" json:"drained,omitempty"`             // exit 0 once no session is left
	Timeout Duration `yaml:"timeout" json:"timeout"`                       // how long to wait for drained; 0: the rollout's drainTimeout
}

// NoDrain says that nothing needs draining.
type NoDrain struct{}

// HealthSpec is one proof that an instance serves; exactly one of the checks is set.
type HealthSpec struct {
	HTTP    *HTTPHealth    `yaml:"http" json:"http,omitempty"`       // asks a path
	TCP     *TCPHealth     `yaml:"tcp" json:"tcp,omitempty"`         // connects to a port
	Command *CommandHealth `yaml:"command" json:"command,omitempty"` // runs a command
	Unit    *UnitHealth    `yaml:"unit" json:"unit,omitempty"`       // asks systemd
	Journal *JournalHealth `yaml:"journal" json:"journal,omitempty"` // reads what the unit has logged
}

// HTTPHealth asks a path on the host itself, through the SSH connection.
type HTTPHealth struct {
	Host    string            `yaml:"host" json:"host,omitempty"`                                       // default 127.0.0.1
	Port    int               `yaml:"port" json:"port" jsonschema:"required,minimum=1,maximum=65535"`   // its port
	Path    string            `yaml:"path" json:"path"`                                                 // default /
	Status  int               `yaml:"status" json:"status" jsonschema:"minimum=100,maximum=599"`        // default 200
	Scheme  string            `yaml:"scheme" json:"scheme,omitempty" jsonschema:"enum=http,enum=https"` // default http
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`                                 // request headers
	Body    string            `yaml:"body" json:"body,omitempty"`                                       // a part the body must have
	Timeout Duration          `yaml:"timeout" json:"timeout,omitempty"`                                 // of one try
}

// TCPHealth connects to a port on the host itself.
type TCPHealth struct {
	Host    string   `yaml:"host" json:"host,omitempty"`                                     // default 127.0.0.1
	Port    int      `yaml:"port" json:"port" jsonschema:"required,minimum=1,maximum=65535"` // its port
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`                               // of one try
}

// CommandHealth runs a command on the host; exit 0 is healthy.
type CommandHealth struct {
	Run     string   `yaml:"run" json:"run" jsonschema:"required"` // a line for sh -c
	User    string   `yaml:"user" json:"user,omitempty"`           // default root
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`     // of one try
}

// UnitHealth asks that a unit is active (with that sub state, where given).
type UnitHealth struct {
	Name string `yaml:"name" json:"name"`         // default: every started unit of the service
	Sub  string `yaml:"sub" json:"sub,omitempty"` // such as running
}

// JournalHealth reads what the unit has logged since it was started, this time. The
// patterns are RE2 regular expressions, each held against one line at a time.
type JournalHealth struct {
	Unit    string   `yaml:"unit" json:"unit" jsonschema:"required"` // such as gateway.service
	Want    string   `yaml:"want" json:"want,omitempty"`             // some line must match it
	Refuse  string   `yaml:"refuse" json:"refuse,omitempty"`         // no line may match it
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`       // of one try
}
