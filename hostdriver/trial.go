package hostdriver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Trial is what a step is about to start, to be tried without starting it: what systemd
// and the kernel would trip over is found while the host still serves. Names are meant as
// they will be once the staged generation is switched to.
type Trial struct {
	Needs  []TrialNeed
	Verify []TrialUnit
}

// Empty tells that there is nothing to be tried.
func (t Trial) Empty() bool { return len(t.Needs) == 0 && len(t.Verify) == 0 }

// TrialKind is what kind of thing is tried.
type TrialKind string

// The kinds. A program is tried with what it needs itself: the interpreter of its first
// line, its loader and its libraries.
const (
	TryProgram   TrialKind = "program"
	TryDirectory TrialKind = "directory"
	TryEnvFile   TrialKind = "env"
	TryUser      TrialKind = "user"
	TryGroup     TrialKind = "group"
	TryPort      TrialKind = "port" // must be nobody's yet
	// A kernel parameter that a file sets, by its path under /proc/sys, and a file of
	// logrotate's: Unit is "" of these.
	TryKernel    TrialKind = "kernel"
	TryLogrotate TrialKind = "logrotate"
	// A Quadlet file, of which podman's generator must make a unit.
	TryQuadlet TrialKind = "quadlet"
)

// TrialNeed is one thing that a unit must find.
type TrialNeed struct {
	Kind TrialKind
	Unit string
	Key  string // what says so: "ExecStart=", "health http"
	Name string // an absolute path, an account, a port
	// User and Group, of a program or directory, are who must be able to use it: "" is root.
	User, Group string
	// Search is, of a program, the PATH that it gets; "" where that is not known.
	Search string
	// Libraries is the LD_LIBRARY_PATH that it gets.
	Libraries string
	// Address, of a port, is the one listened on: "" where any is meant.
	Address string
}

// TrialUnit is a unit whose file is staged, to be read by the host's own systemd.
type TrialUnit struct {
	Name string
	// Files are its file and its drop-ins, by their paths as they will be, to their digests.
	Files map[string]string
}

// Check tells what no host can be asked.
func (t Trial) Check() error {
	for _, n := range t.Needs {
		var err error
		if n.Kind != TryKernel && n.Kind != TryLogrotate {
			if err := CheckUnit(n.Unit); err != nil {
				return err
			}
		}
		switch n.Kind {
		case TryProgram, TryDirectory, TryEnvFile, TryKernel, TryLogrotate, TryQuadlet:
			err = CheckPath(n.Name)
		case TryUser, TryGroup:
			err = CheckAccount(n.Name)
		}
		for _, a := range []string{n.User, n.Group} {
			if a != "" && err == nil {
				err = CheckAccount(a)
			}
		}
		if err != nil {
			return fmt.Errorf("%s of %s: %w", n.Key, n.Unit, err)
		}
	}
	for _, u := range t.Verify {
		if err := CheckUnit(u.Name); err != nil {
			return err
		}
		for path, digest := range u.Files {
			if err := CheckPath(path); err != nil {
				return err
			}
			if !IsDigest(digest) {
				return fmt.Errorf("%q is not a SHA-256 digest", digest)
			}
		}
	}
	return nil
}

// FindingReason says in one word what was found; it does not change.
type FindingReason string

// The reasons.
const (
	DiskFull          FindingReason = "disk-full"
	InodesUsedUp      FindingReason = "inodes-used-up"
	ReadOnly          FindingReason = "read-only"
	UnitMasked        FindingReason = "unit-masked"
	JobQueued         FindingReason = "job-queued"
	CannotPull        FindingReason = "cannot-pull"
	UnitInvalid       FindingReason = "unit-invalid"
	ProgramMissing    FindingReason = "program-missing"
	NotExecutable     FindingReason = "not-executable"
	InterpreterAbsent FindingReason = "interpreter-missing"
	LoaderMissing     FindingReason = "loader-missing"
	LibraryMissing    FindingReason = "library-missing"
	WrongMachine      FindingReason = "wrong-architecture"
	NoProgram         FindingReason = "not-a-program"
	DirectoryMissing  FindingReason = "directory-missing"
	DirectoryClosed   FindingReason = "directory-closed"
	UserMissing       FindingReason = "user-missing"
	GroupMissing      FindingReason = "group-missing"
	EnvFileMissing    FindingReason = "env-file-missing"
	EnvFileUnreadable FindingReason = "env-file-unreadable"
	EnvFileUnparsable FindingReason = "env-file-unparsable"
	PortTaken         FindingReason = "port-taken"
	KernelUnknown     FindingReason = "kernel-parameter-unknown"
	LogrotateRefuses  FindingReason = "logrotate-refuses"
	GeneratorMissing  FindingReason = "quadlet-generator-missing"
	QuadletRefused    FindingReason = "quadlet-refused"
)

// Finding is one thing that a step would trip over.
type Finding struct {
	Reason FindingReason `json:"reason"`
	Place  string        `json:"place"` // a unit or a filesystem
	What   string        `json:"what"`  // in words, with the place
	Mend   string        `json:"mend"`
}

// Found is what a Trial has found of n. detail is what the host adds, made printable.
func (n TrialNeed) Found(reason FindingReason, detail string) Finding {
	who := n.User
	if who == "" {
		who = "root"
	}
	what, mend := "", ""
	say := func(w, m string) { what, mend = w, m }
	switch reason {
	case ProgramMissing:
		say("there is no such program on the host (203/EXEC)", "declare it under artifacts or files, install its package, or correct "+n.Key)
	case NotExecutable:
		say(who+" may not execute it (203/EXEC)", "namei -l "+n.Name+", on the host, tells where; correct mode and owner")
	case InterpreterAbsent:
		say("its first line names "+detail+", which the host has not (203/EXEC)", "install it there, or correct the first line")
		if strings.HasSuffix(detail, `\r`) {
			mend = "its lines end as on Windows: save it with plain line ends"
		}
	case LoaderMissing:
		say("it is loaded by "+detail+", which the host has not (203/EXEC)", "build it for this distribution, or statically")
	case LibraryMissing:
		say("it needs "+detail+", which the host has not", "install the package there, build it for this distribution, or statically; on the host: ldd "+n.Name)
	case WrongMachine:
		say("it is built for another machine: "+detail+" (203/EXEC)", "build it for what uname -m says there")
	case NoProgram:
		say("it is no program: neither ELF nor a script that begins with #! (203/EXEC)", "write #!/bin/sh as its first line, or correct "+n.Key)
	case DirectoryMissing:
		say("there is no such directory on the host (200/CHDIR)", "declare it under directories, or correct "+n.Key)
	case DirectoryClosed:
		say(who+" may not enter it (200/CHDIR)", "namei -l "+n.Name+", on the host, tells where; correct mode and owner")
	case UserMissing:
		say("there is no such user on the host (217/USER)", "declare it under users, or correct "+n.Key)
	case GroupMissing:
		say("there is no such group on the host (216/GROUP)", "declare a user of that name under users, or correct "+n.Key)
	case EnvFileMissing:
		say("there is no such file on the host, without which systemd does not start it", "declare it under env, correct "+n.Key+", or write a - before it where it may be missing")
	case EnvFileUnreadable:
		say("systemd cannot read it: "+detail, "look at it there, or correct "+n.Key)
	case EnvFileUnparsable:
		say("it is not UTF-8, for which systemd refuses the whole file", "save it as UTF-8")
	case PortTaken:
		say("another process has that port"+detail, "ss -ltnp, on the host, tells which; stop it, or take another port")
	case GeneratorMissing:
		say("nothing on the host makes a unit of it: "+detail, "install podman 4.4 or later there (Debian 12 has 4.3, Debian 13 has 5.4), or bring a service with ExecStart=/usr/bin/podman run")
	case QuadletRefused:
		say("podman's generator makes no unit of it: "+detail, "correct the file; podman-systemd.unit(5) of the host's podman tells what it may say")
	default:
		say("the host found "+string(reason), "look at it there")
	}
	switch reason {
	case KernelUnknown:
		return Finding{Reason: reason, Place: n.Key, What: fmt.Sprintf("%s: the host's kernel has no %s", n.Key, strings.ReplaceAll(strings.TrimPrefix(n.Name, "/proc/sys/"), "/", ".")),
			Mend: "correct it, load the module that brings it, or begin the line with - where it may be missing"}
	case LogrotateRefuses:
		return Finding{Reason: reason, Place: n.Name, What: n.Name + ": logrotate refuses it: " + detail, Mend: "correct the file; logrotate -d tells the same"}
	}
	name := n.Key + n.Name
	if !strings.HasSuffix(n.Key, "=") {
		name = n.Key + " " + n.Name
	}
	return Finding{Reason: reason, Place: n.Unit, What: fmt.Sprintf("%s: %s: %s", n.Unit, name, what), Mend: mend}
}

// FindingsError is one error for all that was found, or nil; Host and Op are for the caller
// to fill in. Where somebody's jobs alone are in the way, which end by themselves, it is of
// kind Refused, else Failed.
func FindingsError(found []Finding) error {
	if len(found) == 0 {
		return nil
	}
	var what, mend []string
	kind := Refused
	for _, f := range found {
		if f.Reason != JobQueued {
			kind = Failed
		}
		what = append(what, fmt.Sprintf("%s [%s]", f.What, f.Reason))
		if !slices.Contains(mend, f.Mend) {
			mend = append(mend, f.Mend)
		}
	}
	return &Error{Kind: kind, Err: errors.New(strings.Join(what, "; ")), Mend: strings.Join(mend, "; "), Findings: found}
}

// FindingsOf are those of err's chain.
func FindingsOf(err error) []Finding {
	var e *Error
	if errors.As(err, &e) {
		return e.Findings
	}
	return nil
}
