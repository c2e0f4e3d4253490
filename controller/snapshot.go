package controller

import (
	"time"

	"github.com/evenkeel/evenkeel/rollout"
)

// Snapshot is all that the controller knows at one moment. It is immutable once
// published: whoever shows state (API, command line, metrics) reads the one that
// Controller.Snapshot returns, and never two of them for one answer.
type Snapshot struct {
	At         time.Time `json:"at"`
	Controller string    `json:"controller"` // the name by which hosts know it
	Source     Source    `json:"source"`
	// Report is what `status` shows: revision, instances, hosts.
	Report
	// Conditions are the fleet's, then by host and by service.
	Conditions        Conditions            `json:"conditions"`
	HostConditions    map[string]Conditions `json:"hostConditions"`
	ServiceConditions map[string]Conditions `json:"serviceConditions"`
	Drift             []Drift               `json:"drift"`
	// Secrets are those that the fleet declares, as last looked at.
	Secrets []SecretStatus `json:"secrets"`
	// Plan is the newest one; nil before the first look.
	Plan *rollout.Plan `json:"plan,omitempty"`
	// Rollout is the one under way, or the last one.
	Rollout *RolloutStatus `json:"rollout,omitempty"`
	// Asked tells that an operator asked to fetch and look, and that what comes of it is
	// not known yet: the rollout is none of it.
	Asked       bool              `json:"asked"`
	Suspensions []Suspension      `json:"suspensions"`
	Drains      []HandDrain       `json:"drains"`
	Queue       map[string]int    `json:"queue"`    // work that waits, by kind
	Observed    map[string]Glance `json:"observed"` // by host, how the last look went
	// LastSuccess is when the fleet was last found, or brought, as git wants it.
	LastSuccess time.Time `json:"lastSuccess"`
}

// Source is where the desired state comes from, and how old it is.
type Source struct {
	URL    string `json:"url"`
	Branch string `json:"branch"`
	// Tip is the newest commit that was fetched; Revision the newest one that was
	// accepted and is desired.
	Tip       string    `json:"tip"`
	Revision  string    `json:"revision"`
	Subject   string    `json:"subject,omitempty"` // of the revision's message
	Author    string    `json:"author,omitempty"`
	Signer    string    `json:"signer,omitempty"`
	Committed time.Time `json:"committed"`
	Fetched   time.Time `json:"fetched"`         // the last fetch that went well
	Error     string    `json:"error,omitempty"` // why the tip is not the revision
	// Refused is the tip where it was looked at and may not be the revision, which is not so
	// where git just does not answer.
	Refused string `json:"refused,omitempty"`
	Mend    string `json:"mend,omitempty"`
}

// Glance is how the last look at a host went.
type Glance struct {
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took"`
	Watched bool          `json:"watched"` // changes are seen at once, not only by polling
	Error   string        `json:"error,omitempty"`
}

// RolloutStatus is a rollout and what came of it.
type RolloutStatus struct {
	Began   time.Time     `json:"began"`
	Ended   time.Time     `json:"ended"` // zero while it is under way
	Why     string        `json:"why"`   // a new revision, drift, an operator's word
	Outcome *Outcome      `json:"outcome,omitempty"`
	State   rollout.State `json:"state"`
}

// DriftClass is what kind of difference drift is.
type DriftClass string

// The classes.
const (
	DriftCorrective DriftClass = "corrective" // somebody changed what is ours; putting it right disturbs nobody
	DriftStale      DriftClass = "stale"      // a process runs with other inputs than desired
	DriftForeign    DriftClass = "foreign"    // beside ours, by somebody else: reported, never touched
	DriftFlapping   DriftClass = "flapping"   // was corrected again and again: backs off, and alerts
)

// Drift is one difference between a host and the revision last applied to it.
type Drift struct {
	Host      string     `json:"host"`
	Service   string     `json:"service"`
	Subject   string     `json:"subject"`
	Class     DriftClass `json:"class"`
	Reason    string     `json:"reason"`
	Keys      []string   `json:"keys,omitempty"`
	Since     time.Time  `json:"since"`
	Corrected int        `json:"corrected,omitempty"` // how often lately
	Next      time.Time  `json:"next"`                // of one that flaps: when it is corrected again
}

// Suspension is a host or service that is not to be touched.
type Suspension struct {
	Host    string    `json:"host,omitempty"`
	Service string    `json:"service,omitempty"`
	Reason  string    `json:"reason"`
	By      string    `json:"by"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"` // zero: until it is resumed
}

// HandDrain is a host that an operator took out of traffic through the controller.
type HandDrain struct {
	Host   string    `json:"host"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// ConditionStatus is whether a Condition holds.
type ConditionStatus string

// The values of ConditionStatus, as in Kubernetes.
const (
	True    ConditionStatus = "True"
	False   ConditionStatus = "False"
	Unknown ConditionStatus = "Unknown"
)

// The types of conditions.
const (
	SourceReady   = "SourceReady"   // of the fleet: git answers, and its tip was accepted
	RevisionReady = "RevisionReady" // of the fleet: the revision has no fault
	Reconciled    = "Reconciled"    // of the fleet: every host is as the revision wants it
	Reachable     = "Reachable"     // of a host
	Watched       = "Watched"       // of a host
	SyncedType    = "Synced"        // of a host and of a service
	HealthyType   = "Healthy"       // of a service
	Progress      = "Progressing"   // of a service: a rollout has it in hand
)

// Reasons of conditions that others ask for.
const (
	FrozenReason = "Frozen" // of Reconciled: nothing is changed, until somebody mends it
	BlindReason  = "Blind"  // of Watched: the host answers, and is polled, for it cannot be watched
)

// Condition is one thing that is so, or not, of a host, a service or the fleet.
type Condition struct {
	Type               string          `json:"type"`
	Status             ConditionStatus `json:"status"`
	Reason             string          `json:"reason"` // one word, for machines
	Message            string          `json:"message"`
	LastTransitionTime time.Time       `json:"lastTransitionTime"` // of Status
	ObservedRevision   string          `json:"observedRevision,omitempty"`
}

// Conditions are sorted by type.
type Conditions []Condition

// Get is the condition of a type; one whose Status is Unknown where there is none.
func (cs Conditions) Get(kind string) Condition {
	for _, c := range cs {
		if c.Type == kind {
			return c
		}
	}
	return Condition{Type: kind, Status: Unknown}
}
