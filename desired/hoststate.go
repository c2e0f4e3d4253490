package desired

import (
	"io"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// HostState is everything one Revision wants on one Host, rendered: a pure
// function of the two.
type HostState struct {
	Host      inventory.Host
	Revision  string
	Instances []Instance // by service name
	// Held are services, sorted, whose part of this host could not be told:
	// quarantined in the Revision, or with a fault on this host (see Faults). What
	// the host has of them must be left alone, neither changed nor pruned.
	Held []string
	// Faults are why services are held that are not quarantined as a whole.
	Faults []Fault
	// Fingerprints is the key of Fingerprint, where some of it is secret; empty where
	// there is none, and then secrets are told apart by nothing.
	Fingerprints hostdriver.Content
}

// Instance returns the instance of a service.
func (s HostState) Instance(service string) (Instance, bool) {
	for _, in := range s.Instances {
		if in.Service == service {
			return in, true
		}
	}
	return Instance{}, false
}

// Instance is one Service on one Host.
type Instance struct {
	Service     string
	Host        string
	After       []string
	Suspend     string // why it is to be left as it is
	Users       []UserSpec
	Directories []Directory
	Files       []File // every regular file: unit files, drop-ins, env files, others; by path
	Units       []Unit
	Artifacts   []Artifact
	Hooks       []Hook
	Images      []hostdriver.Image // that its containers run, as far as the repo tells
	Strategy    Strategy
	Drain       []DrainSpec  // rendered
	Health      []HealthSpec // rendered
}

// Directory is a directory with its final owner and mode.
type Directory struct {
	Path, Owner, Group string
	Mode               uint32
}

// FileKind is what a file is for.
type FileKind string

// The kinds of files.
const (
	FileUnit   FileKind = "unit"
	FileDropIn FileKind = "drop-in"
	FileEnv    FileKind = "env"
	FilePlain  FileKind = "file"
)

// File is one regular file as it should be.
type File struct {
	Path, Owner, Group string
	Mode               uint32
	Kind               FileKind
	Unit               string // of a unit file or drop-in: the unit's name
	Content            hostdriver.Content
	SHA256             string
	// Meaning is, of a unit file or drop-in, its UnitFile.Digest; "" of others.
	Meaning string
	// Secret tells that some of it came out of a SOPS file.
	Secret     bool
	ChangeMode ChangeMode
	Sources    []string // in the repo, for messages
	// Vars are, of an env file, what systemd will make of it, in order.
	Vars []EnvVar
	// Sealing is set of a credential that its host encrypts. SHA256 is then, until it is
	// known what the host has (see rollout.Settle), the Sealing's Identity.
	Sealing *Sealing
	// Unsealed tells of a credential that it was to be encrypted where the host can, and is
	// not, for it cannot.
	Unsealed bool
}

// Identity tells two contents of a file apart, whatever they look like encrypted.
func (f *File) Identity() string {
	if f.Sealing != nil {
		return f.Sealing.Identity
	}
	return f.SHA256
}

// Sealing is how a credential is encrypted on its host.
type Sealing struct {
	Name    string // the credential's, which is part of what is encrypted
	Require bool   // never without; else it is at PlainPath where the host cannot
	// Identity is 64 hex digits: the digest of the value, keyed where that is secret, for
	// a plain hash of a weak secret can be guessed.
	Identity  string
	Plain     hostdriver.Content // the value
	PlainPath string
}

// EnvVar is one variable of an env file.
type EnvVar struct {
	Key    string
	Value  hostdriver.Content
	Secret bool
	Source string
	Line   int // in Source; 0: not known
}

// Unit is one unit that the service has a say about.
type Unit struct {
	Name    string
	File    string // path of its file, or "" where the unit is not ours; an instance's is its template's
	Enabled *bool
	State   string // started | stopped | ""
	// EnvFiles are the managed env files this unit reads (EnvironmentFile= of its
	// file and drop-ins, globs matched), in the order it reads them.
	EnvFiles []string
	// ForeignEnv are env files it reads that the service does not manage, and globs
	// that may find such; what they set is not known.
	ForeignEnv []string
	// Uncertain are those of EnvFiles that a foreign one is read after, so that it
	// may beat their variables.
	Uncertain []string
	// Environment are the variables of the unit file's own Environment=, which env
	// files beat; those with specifiers only the host can tell are left out.
	Environment []EnvVar
	// Needs are what its processes must find on the host.
	Needs []Need
	// Unset are names and assignments of UnsetEnvironment=, taken away last.
	Unset []string
	// Text is the unit's file and its drop-ins behind it, as far as they are ours.
	Text UnitFile
	// Reads are managed paths, sorted, other than EnvFiles, the unit's file and its
	// drop-ins, whose change means this unit: files and artifacts that stand in its
	// text; else those below a folder that stands in it; and what no unit of the
	// service names counts for each of its started services.
	Reads []string
}

// Artifact is a program or bundle, by digest.
type Artifact struct {
	Name    string
	SHA256  string // of the source file as fetched
	Size    int64  // of the source file; -1 where it is not at hand (no ArtifactStore)
	Link    string // the path users name
	Release string // DIR/.releases/NAME/DIGEST
	Form    hostdriver.ReleaseForm
	// StreamSHA256 and StreamSize are those of the bytes as they travel, where Form
	// is not FormFile (there they are the same as SHA256 and Size); "" and -1 where
	// the source is not at hand.
	StreamSHA256 string
	StreamSize   int64
	Owner        string
	Group        string
	Source       string
	// Pull is how the host fetches the source by itself; nil where it is sent. Then sizes
	// and StreamSHA256 may not be known, and Open may be nil.
	Pull *hostdriver.Pull
	// Open gives the bytes as they travel (see hostdriver.ReleaseForm): of a bundle
	// the uncompressed tar. It is nil where the source is not at hand.
	Open       func() (io.ReadCloser, error) `json:"-"`
	ChangeMode ChangeMode
}

// Hook is a command that is to be run before the instance is switched.
type Hook struct {
	ID      string // 32 hexadecimal digits: what is run, and for which releases
	Name    string
	Run     string
	User    string
	Env     []string // paths of env files
	Release string   // in whose folder it runs, or ""
	Timeout time.Duration
	Once    bool // on one host, for the whole service
	Retry   bool
}

// Strategy is a RolloutSpec with every default in place.
type Strategy struct {
	MaxUnavailable   IntOrPercent
	MinHealthy       IntOrPercent
	Batches          []IntOrPercent
	Canary           IntOrPercent // 0: none
	Promote          Promote
	MinHealthyTime   time.Duration
	HealthyDeadline  time.Duration
	ProgressDeadline time.Duration
	DrainTimeout     time.Duration
	AutoRevert       bool
	Order            string      // unhealthy-first, inventory or by-label
	ByLabel          string      // the label by which hosts are ordered, where Order is by-label
	LeaderLast       *LeaderLast // where set, the host that leads comes last
	Spread           string      // label; "": none
	KeepGenerations  int
	OnUnreachable    string
	OnDrainTimeout   string
	Gates            []GateSpec
	Windows          Windows // the fleet's and the service's own
}
