package hostdriver

import (
	"io"
	"time"
)

// Op is one thing to be done on a host. The host does it under its lock.
type Op interface{ op() string }

// Result is what came of an Op.
type Result struct {
	// Units holds, after UnitOps and Switch, the state of the units touched.
	Units map[string]UnitState
	// Warnings are what systemd says of the staged units, which it takes nevertheless.
	Warnings []string
	// Staged is the number of bytes that had to travel.
	Staged int64
	// Mutations is, after Obey, the host's count as it was before (see Observation).
	Mutations uint64
	// Output and Exit are those of Run and of Hook.
	Output []byte
	Exit   int
	// Ran tells, of Hook, that it was run now, and not before.
	Ran bool
	// Sealed are, after Seal, the encrypted contents, in the order of Seal's.
	Sealed []Content
}

// Obey makes the host obey the Fence from now on, and does nothing else: from then on
// whoever was at work there with an older epoch is refused, and has ended what it was
// at. Where Result.Mutations is what an Observation has, nobody has changed anything
// through evenkeel since that was made.
type Obey struct{}

// Precheck looks, without changing anything, for what the step would trip over.
// It fails with kind Failed and a mend for a person.
type Precheck struct {
	NeedBytes  map[string]int64 // directory to room needed on its filesystem
	NeedInodes map[string]int64
	Units      []string // must not be masked and have no job queued
	// Trial is what is to be started, where nothing is staged for it.
	Trial Trial
	// Pulls are releases that the host is to fetch by itself: it must have what that takes.
	Pulls []Release
}

// Stage brings a generation to the host without touching anything that is in
// use: blobs and releases it does not have yet, then the manifest, all fsynced.
// Doing it again is harmless.
type Stage struct {
	Manifest Manifest // Generation must be above every kept one
	Blobs    map[string]Content
	Releases []Release
	// Images are pulled, first of all, where the host does not have them. One that cannot
	// be had is a failure, and nothing is staged.
	Images []Image
	// Trial is what is to be started once it is switched to: where something of it would not
	// be found, the generation is not kept, and what was found is the error.
	Trial Trial
}

// Image is what a container runs.
type Image struct {
	Tool string // docker or podman, whose storage it is to be in
	Name string // as that tool is given it: with its registry, and a tag or digest
}

// Release is an artifact to be unpacked at Path, which ends in its digest.
type Release struct {
	Path   string
	SHA256 string // names it: the last part of Path
	Size   int64  // of the stream as it travels (see Form); not asked of one that is pulled
	// Stream is the stream's digest, where that is another: of a bundle that is
	// compressed where it is kept. "": SHA256.
	Stream string
	Form   ReleaseForm
	Owner  string
	Group  string
	Open   func() (io.ReadCloser, error) `json:"-"`
	// Pull, where set, has the host fetch the source, whose digest is SHA256, by itself, and
	// unpack it as it would have come: nothing travels, and Open is not called. A tar may
	// then be compressed, or a zip. What is not right is a failure, and nothing is staged.
	Pull *Pull
}

// Travels is the digest of the stream as it travels.
func (r Release) Travels() string {
	if r.Stream == "" {
		return r.SHA256
	}
	return r.Stream
}

// ReleaseForm is how a release travels.
type ReleaseForm string

// The forms.
const (
	FormFile ReleaseForm = "file" // one executable, mode 0755
	FormTar  ReleaseForm = "tar"  // an uncompressed tar stream, unpacked into the folder Path
)

// Seal has the host encrypt contents with a key of its own (systemd-creds(1)), and changes
// nothing else: what comes back is staged as any other file, and only that host's systemd
// can open it. It comes back proven: the host has opened it again.
type Seal struct{ Items []SealItem }

// SealItem is one credential.
type SealItem struct {
	Name    string // under which a unit loads it
	Content Content
}

// Expect is what a path must still hold for a switch to begin: compare-and-swap
// against a hand that edits between observation and write.
type Expect struct {
	Path   string
	SHA256 string // "" for absent
}

// Switch makes a staged (or kept) generation the one on disk: every file written
// beside its place and fsynced, then all renamed, links turned, what the
// generation on disk had and this one has not removed; then daemon-reload
// (unless nothing that systemd or a generator has read, or may read, was changed) and
// the units enabled, disabled and linked anew as the manifest says. It is journaled on the host:
// after a crash, doing it again (or switching to From) leaves one whole generation.
type Switch struct {
	To     uint64
	Expect []Expect
	// Leave names paths and units of the generation that stay as they are on the host:
	// what a hand has changed there of services that are not to be touched now.
	Leave []string
	// Alike are files whose new content (SHA256) means to processes what is on disk already:
	// it gets the time of that, so that who started with the one is not behind the other.
	Alike []Expect
	// Renew are files of the generation that are as they should be, and the host is not as
	// they say: they are applied once more. What is written is applied in any case: under
	// /etc/sysusers.d, /etc/tmpfiles.d, /etc/sysctl.d and /etc/systemd/journald.conf.d.
	Renew []string
	// Reenable are units that are enabled, and linked otherwise than their [Install] says in
	// the generation: what links them is made anew (systemctl reenable).
	Reenable []string
	// Unknown are units of the generation of which a look has shown that they had no file: what
	// they were before is not asked for.
	Unknown []string
	// Fresh are those of Unknown that systemd comes to know by itself, for it reads a unit that it
	// does not know when it is first asked for it: nothing that it has loaded gets another
	// dependency by them, but for targets of the boot, which have been reached.
	Fresh []string
	// Keep is how many generations stay on the host (0: 5).
	Keep int
	// DeadMan, where set, arms a transient timer on the host before anything is
	// written, which restores the generation that was on disk unless Disarm comes first.
	DeadMan time.Duration
	// Back tells that a step is taken back. It must succeed even where what that step
	// brought has filled the disk: the host then stops what was started with it, and gives
	// up the room that was set aside for this when the step was staged.
	Back bool
	// Record is saved as the step in hand before anything is written.
	Record *StepRecord
	// Refuse are remembered, each in the place of the same service's former one, before
	// anything is written. The refusals of Forget are dropped once all is in place.
	Refuse []Refusal
	Forget []string
}

// Disarm stops the dead man's timer.
type Disarm struct{}

// UnitOps starts, stops, restarts or reloads units in order, waiting for each
// job, with a job mode that refuses to replace an admin's job. A start of its own that was
// waited for in vain is replaced by the next one; a stop is not.
type UnitOps struct {
	Actions []UnitAction
	// Timeout bounds the wait for each job; on expiry the outcome is Unknown.
	Timeout time.Duration
	Record  *StepRecord
}

// UnitAction is one verb on one unit.
type UnitAction struct {
	Unit string
	Verb UnitVerb
	// OnlyIf is the InvocationID the unit must still have (the action is
	// skipped as already done otherwise): set it to the InvocationID observed
	// before, so that a restart is never sent twice. "" acts always.
	OnlyIf string
	// Inputs is recorded beside the new InvocationID (see StartedAs).
	Generation uint64
	Inputs     map[string]string
}

// UnitVerb is what is done to a unit.
type UnitVerb string

// The verbs.
const (
	VerbStart   UnitVerb = "start"
	VerbStop    UnitVerb = "stop"
	VerbRestart UnitVerb = "restart"
	VerbReload  UnitVerb = "reload"
)

// PutStep saves the record of the step in hand.
type PutStep struct{ Record StepRecord }

// ClearStep removes it.
type ClearStep struct{}

// Claim makes the host remember (or forget, where Release) the Fence's holder as
// the controller it belongs to.
type Claim struct{ Release bool }

// Run runs a command line of the fleet repo with sh -c, as root or as User.
type Run struct {
	Line    string
	User    string
	Env     map[string]string
	Timeout time.Duration
}

func (Obey) op() string      { return "obey" }
func (Precheck) op() string  { return "precheck" }
func (Seal) op() string      { return "seal" }
func (Stage) op() string     { return "stage" }
func (Switch) op() string    { return "switch" }
func (Disarm) op() string    { return "disarm" }
func (UnitOps) op() string   { return "units" }
func (PutStep) op() string   { return "put step" }
func (ClearStep) op() string { return "clear step" }
func (Claim) op() string     { return "claim" }
func (Run) op() string       { return "run" }
func (Hook) op() string      { return "hook" }

// OpName is the name of an op for messages and metrics.
func OpName(o Op) string { return o.op() }

// StepRecord is the host's own record of the step in hand, written before each
// effect, so that any controller can finish or undo it with no store at all.
// The host keeps it as it is: the driver writes it as JSON.
type StepRecord struct {
	Rollout  string    `json:"rollout"`
	Revision string    `json:"revision"`
	Services []string  `json:"services"`
	Phase    string    `json:"phase"`
	From     uint64    `json:"from"` // the generation to go back to
	To       uint64    `json:"to"`
	Epoch    uint64    `json:"epoch"`
	Holder   string    `json:"holder"`
	Since    time.Time `json:"since"`
	// Drained names what was drained and where: opaque to the driver.
	Drained []DrainRecord `json:"drained,omitempty"`
	// Before holds the InvocationID of each unit before it is restarted.
	Before map[string]string `json:"before,omitempty"`
	// Over is the epoch of somebody else's record that this one may replace: the one
	// that was seen. Another's is a Conflict, and nothing is done: a step that was
	// begun meanwhile must be looked at first. Not kept on the host.
	Over uint64 `json:"-"`
}

// DrainRecord tells how to undo one drain: the adapter's name and its settings.
type DrainRecord struct {
	Service string            `json:"service"`
	Adapter string            `json:"adapter"`
	Spec    map[string]string `json:"spec"`
}
