package rollout

import "encoding/json"

// Change is one difference between desired and observed, as data.
type Change struct {
	Host    string   `json:"host"`
	Service string   `json:"service"`
	Kind    Kind     `json:"kind"`
	Action  Action   `json:"action"`
	Subject string   `json:"subject"` // a path, a unit or a user
	From    string   `json:"from,omitempty"`
	To      string   `json:"to,omitempty"`
	Diff    string   `json:"diff,omitempty"` // unified; values of secrets never stand in it
	Keys    []string `json:"keys,omitempty"` // of an env file or a stale process: the keys that differ
	// Secrets are, of an env file, how its secret values differ.
	Secrets []SecretChange `json:"secrets,omitempty"`
	// Takes are the units of services, of a restart or stop, that systemd takes along. Along
	// is the unit whose restart or stop takes this one along, where nothing else is due.
	Takes      []string   `json:"takes,omitempty"`
	Along      string     `json:"along,omitempty"`
	Stale      bool       `json:"stale,omitempty"`
	Disruption Disruption `json:"disruption"`
	Reason     string     `json:"reason"`
}

// SecretChange is a secret value that differs, told by keyed fingerprints; "" is none.
type SecretChange struct {
	Key  string `json:"key"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Kind is what a Change is about.
type Kind string

// The kinds, in the order they are carried out on a host.
const (
	KindUser      Kind = "user"
	KindDirectory Kind = "directory"
	KindArtifact  Kind = "artifact"
	KindFile      Kind = "file"
	KindEnv       Kind = "env"
	KindUnit      Kind = "unit"    // a unit file or drop-in
	KindLinger    Kind = "linger"  // whether a user's systemd runs without a login
	KindHook      Kind = "hook"    // a command before the switch
	KindEnable    Kind = "enable"  // whether it starts at boot
	KindProcess   Kind = "process" // start, stop, restart, reload
)

// Action is what is done.
type Action string

// The actions.
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionDelete  Action = "delete"
	ActionEnable  Action = "enable"
	ActionDisable Action = "disable"
	ActionStart   Action = "start"
	ActionStop    Action = "stop"
	ActionRestart Action = "restart"
	ActionReload  Action = "reload"
	ActionRun     Action = "run"
)

// Disruption is what a Change does to a running service.
type Disruption int

// The disruptions, mildest first. None goes out at once, in parallel; Reload and
// Restart go host by host within the budget; Restart drains first.
const (
	None Disruption = iota
	Reload
	Restart
)

var disruptionNames = [...]string{"none", "reload", "restart"}

func (d Disruption) String() string { return disruptionNames[d] }

// MarshalJSON writes the name.
func (d Disruption) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the name.
func (d *Disruption) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	for i, n := range disruptionNames {
		if n == s {
			*d = Disruption(i)
		}
	}
	return nil
}

// Problem is something that keeps an instance from being changed, known before
// anything is disturbed.
type Problem struct {
	Host    string `json:"host"`
	Service string `json:"service,omitempty"`
	Subject string `json:"subject,omitempty"`
	Reason  string `json:"reason"`
	Mend    string `json:"mend,omitempty"`
	// Refused tells that it is not tried again: it was taken back, and git has not moved.
	Refused bool `json:"refused,omitempty"`
}

// Words are what is wrong, and with what: SUBJECT: REASON.
func (p Problem) Words() string {
	if p.Subject == "" {
		return p.Reason
	}
	return p.Subject + ": " + p.Reason
}

// worst is the strongest disruption among changes.
func worst(changes []Change) Disruption {
	d := None
	for _, c := range changes {
		d = max(d, c.Disruption)
	}
	return d
}
