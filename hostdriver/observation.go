package hostdriver

import (
	"strings"
	"time"
)

// Query is what to read. The host adds what its own manifest names, so that
// things no longer desired are seen as well.
type Query struct {
	// Light reads only the units' states and the host's own records: what the
	// budget needs before each step.
	Light bool
	// UnitsOnly, beside Light, asks for nothing but the states of Units, at least: what
	// a budget needs of every instance before each step. A driver may then leave out
	// all else, also the host's own records.
	UnitsOnly bool
	Paths     []PathQuery
	Units     []string
	Users     []string
	// Groups are looked up beside the users' own.
	Groups []string
	// Salt keys the digests of process environments in this reading.
	Salt string
	Env  []EnvQuery
	// Generations asks for the manifests of all kept generations.
	Generations bool
	// Disk names directories whose filesystem's room is wanted; the nearest
	// existing parent is measured.
	Disk []string
}

// PathQuery asks for one path. Content comes back only where the digest differs
// from SHA256 and the file is at most MaxContent bytes.
type PathQuery struct {
	Path       string
	SHA256     string
	MaxContent int64
	// Bare asks only what it is: a regular file is not read. Where the path is asked
	// for in another way as well, or managed, that holds.
	Bare bool
	// Seal, where set, asks of a file that the host has encrypted (see hostdriver.Seal)
	// whether it holds what is meant; its content then comes back, too, as it is.
	Seal *SealQuery
}

// SealQuery asks what a credential holds, without its value leaving the host or coming to
// it: Digest is SealDigest under the Query's Salt.
type SealQuery struct {
	Name   string // the credential's, under which it was encrypted
	Digest string
}

// EnvQuery asks whether the main process of Unit holds the variables meant.
// Digest is EnvDigest over all of them; only where it differs does the host
// answer with a digest for each key.
type EnvQuery struct {
	Unit   string
	Keys   []string // sorted, unique
	Digest string
}

// Observation is only what the host said, at one moment.
type Observation struct {
	Host     string
	At       time.Time     // the controller's clock when the reading ended
	Took     time.Duration // how long the round trip took
	BootID   string
	Clock    time.Time // the host's wall clock; not in a light reading
	Systemd  string    // its version, such as "252"
	Encrypts bool      // systemd there encrypts credentials: it has systemd-creds, as since 250
	Paths    map[string]PathState
	Units    map[string]UnitState
	Users    map[string]UserState
	// Managers are the systemds of the users whose units were asked for or are managed.
	Managers  map[string]ManagerState
	Groups    map[string]bool // name to exists
	Processes map[string]ProcessState
	Disk      map[string]DiskState

	// The host's own records.
	Manifest Manifest // Generation 0 where nothing is managed yet
	Kept     []uint64 // generations that can be switched back to, ascending
	// Revisions are the kept ones', as far as they can be told. A light reading has none.
	Revisions map[uint64]string
	// Generations are the kept ones' manifests, where asked for.
	Generations map[uint64]Manifest
	Refused     []Refusal // by service
	// Hooks are what it remembers of hooks, by Hook.Mark.
	Hooks     map[string]HookMark
	Started   map[string]StartedAs // by unit: what it was last started with by us
	Step      *StepRecord          // the step in hand, if one was left
	Switching *Switching           // a switch that was cut in the middle
	Epoch     uint64
	Holder    string // who last mutated
	Claim     string // the controller that claims this host, or ""
	// Mutations counts what has begun and ended there through evenkeel since it booted.
	Mutations uint64
}

// PathType is what a path is.
type PathType string

// The types of paths.
const (
	PathAbsent  PathType = "absent"
	PathFile    PathType = "file"
	PathDir     PathType = "directory"
	PathSymlink PathType = "symlink"
	PathOther   PathType = "other"
)

// PathState is one path as lstat(2) sees it.
type PathState struct {
	Type    PathType
	SHA256  string // of a regular file; "" where it could not be read or was not asked
	Owner   string // name, or the number where it has none
	Group   string
	Mode    uint32
	Size    int64
	Target  string    // of a symlink
	Changed time.Time // mtime, on the host's clock
	Content *Content  // see PathQuery
	Seal    SealMatch // see PathQuery
	SealWhy string    // of SealUnreadable, in words
}

// SealMatch is how what an encrypted file holds compares with what was asked.
type SealMatch string

// The outcomes.
const (
	SealNotAsked   SealMatch = ""
	SealSame       SealMatch = "same"
	SealDiffers    SealMatch = "differs"
	SealUnreadable SealMatch = "unreadable" // the host cannot decrypt it
)

// UnitState is one unit as systemctl show has it.
type UnitState struct {
	Load         string // loaded, not-found, masked, bad-setting, error; unheard where the manager of its user does not answer
	Active       string // active, inactive, failed, activating, deactivating, reloading
	Sub          string
	File         string // UnitFileState; "" where there is no file
	Type         string // of a service: simple, exec, notify, forking, oneshot, …
	Result       string
	InvocationID string
	MainPID      int
	ExecStatus   int    // ExecMainStatus
	ExecCode     string // ExecMainCode: exited, killed, dumped
	Restarts     int    // NRestarts
	NeedReload   bool
	Job          string // a queued job's id, or "0"
	Fragment     string // FragmentPath
	DropIns      []string
	Source       string // SourcePath, of generated units
	ActiveSince  time.Time
	// InactiveSince is when it last became inactive or failed; zero where it has not since the
	// host was booted, or where systemd has forgotten it: what is stopped and nobody's dependency.
	InactiveSince time.Time
	Started       time.Time // ExecMainStartTimestamp, on the host's clock
	Environment   []string  `json:"-"` // EnvironmentFiles as loaded
	// Takes are the units that systemd restarts and stops together with it (RequiredBy,
	// RequisiteOf, BoundBy, ConsistsOf), sorted. Triggers are those that a timer, path or
	// socket starts.
	Takes     []string
	Triggers  []string
	TimerLast time.Time
	TimerNext time.Time
	// Links are what enabling it has made under /etc/systemd/system, sorted: folders such as
	// multi-user.target.wants where it is linked, and names by which it is linked there
	// (Alias=). Empty where that was not told: in a light reading, of a user's unit.
	Links         []string
	StatusText    string
	ConditionOK   bool
	CanReload     bool
	RestartPolicy string
}

// Free tells that nothing stands in the way of a job for the unit: it is not masked, and none
// is queued.
func (u UnitState) Free() bool {
	return u.Load != "masked" && !strings.HasPrefix(u.File, "masked") && u.Job == "0"
}

// Running tells whether a process of the unit exists or the unit is otherwise up.
func (u UnitState) Running() bool {
	switch u.Active {
	case "active", "reloading", "activating", "deactivating":
		return true
	}
	return false
}

// Masked tells whether somebody has masked the unit, for good or until the next boot. Where its
// file was linked to /dev/null by hand systemd may not know yet; and of what is masked it may still
// have loaded what was there before.
func (u UnitState) Masked() bool {
	return u.Load == "masked" || u.File == "masked" || u.File == "masked-runtime"
}

// ProcessState is what the main process of a unit really has.
type ProcessState struct {
	PID int
	Exe string // where /proc/PID/exe points; " (deleted)" stripped, see Deleted
	// Deleted tells that the executable was unlinked or replaced since.
	Deleted bool
	Cwd     string
	// Env tells how the environment compares with the EnvQuery.
	Env EnvMatch
	// Digests has, where Env is EnvDiffers, each asked key's EnvDigest; a key
	// the process does not have is absent from it.
	Digests map[string]string
}

// EnvMatch is how a process' environment compares with what was asked.
type EnvMatch string

// The outcomes.
const (
	EnvNotAsked   EnvMatch = ""
	EnvSame       EnvMatch = "same"
	EnvDiffers    EnvMatch = "differs"
	EnvUnreadable EnvMatch = "unreadable" // no such process, or it overwrote its environment
)

// UserState is a line of the passwd database.
type UserState struct {
	Exists bool
	UID    int
	Group  string // primary group's name
	Home   string
	Shell  string
}

// ManagerState is the systemd of one user, which runs that user's units.
type ManagerState struct {
	Lingers bool   // it runs from boot on, and without a login (loginctl enable-linger)
	Ours    bool   // evenkeel has switched that on
	Up      bool   // it runs now
	Lacks   string // what the host lacks to have it asked; "" where it lacks nothing
}

// DiskState is the room on a filesystem.
type DiskState struct {
	FreeBytes  int64
	FreeInodes int64 // -1 where the filesystem has no fixed number
	ReadOnly   bool
}

// StartedAs is what a unit was last started or restarted with by us. It speaks of
// the running process only while InvocationID is still the unit's.
type StartedAs struct {
	InvocationID string
	Generation   uint64
	Inputs       map[string]string // path to SHA256 (or release digest) at that start
}

// Switching is a switch that has begun and not ended: the files on disk may be a
// mixture until it is done again or undone.
type Switching struct {
	From, To uint64
}
