package sshdriver

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// The tests here kill a request, with all of its processes, before or after each one
// that it starts: between any two effects it can have on the disk.

// shim stands in for every program of the scripts.
const shim = `#!/bin/dash
printf x >>"$EK_DIR/count"
read -r n <"$EK_DIR/count"
n=${#n}
read -r die when <"$EK_DIR/die"
[ $n = $die ] && [ $when = before ] && kill -9 0
PATH=${PATH#"$EK_DIR/shims:"}
command "${0##*/}" "$@"
s=$?
[ $n = $die ] && kill -9 0
exit $s
`

var shimmed = []string{"mv", "cp", "rm", "ln", "chown", "chmod", "mkdir", "sync", "sha256sum", "stat", "cat", "readlink", "systemctl", "getent",
	"head", "flock", "dd", "rmdir", "timeout", "find", "systemd-run", "tar", "tee", "mkfifo"}

// newMortalHost is a shellHost whose requests die when told to.
func newMortalHost(t *testing.T, shell string) *shellHost {
	h := newShellHost(t, shell)
	h.write("shims/.shim", shim, 0o755)
	for _, name := range shimmed {
		if err := os.Symlink(".shim", h.path("shims/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	h.places.path = h.path("shims") + ":" + h.places.path
	h.immortal()
	return h
}

func (h *shellHost) immortal() { h.dieAt(-1, "never") }

func (h *shellHost) dieAt(n int, when string) {
	h.write("die", fmt.Sprintf("%d %s\n", n, when), 0o644)
	h.write("count", "", 0o644)
}

// processes is how many programs the last request has started.
func (h *shellHost) processes() int {
	s, _ := h.read("count")
	return len(s)
}

// moments are which of a request's programs to die at: all of them where
// EVENKEEL_KILL=all says so, else a dozen, others at each run.
func moments(t *testing.T, total int) []int {
	t.Helper()
	step := max(1, total/12)
	if os.Getenv("EVENKEEL_KILL") == "all" {
		step = 1
	}
	var all []int
	for n := 1 + rand.IntN(step); n <= total; n += step { // #nosec G404
		all = append(all, n)
	}
	t.Logf("%d programs, killed before and after number %v", total, all)
	return all
}

// world is where a case begins: what is on disk is copied back for each death.
type world struct {
	h     *shellHost
	saved string
}

func (h *shellHost) save() world {
	h.t.Helper()
	w := world{h, h.t.TempDir()}
	w.copy(h.dir, w.saved)
	return w
}

func (w world) restore() {
	w.h.t.Helper()
	for _, d := range []string{"state", "run", "etc", "units", "systemd", "app", "link", "old"} {
		if err := os.RemoveAll(w.h.path(d)); err != nil {
			w.h.t.Fatal(err)
		}
	}
	w.copy(w.saved, w.h.dir)
	w.h.immortal()
}

func (w world) copy(from, to string) {
	w.h.t.Helper()
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		w.h.t.Fatalf("%v: %s", err, out)
	}
}

// onDisk is every managed thing by name, and what units are enabled.
func (h *shellHost) onDisk() string {
	h.t.Helper()
	var lines []string
	for _, root := range []string{"etc", "units", "systemd/enabled", "link"} {
		_ = filepath.Walk(h.path(root), func(p string, info os.FileInfo, err error) error {
			if err != nil || info.IsDir() {
				return nil
			}
			line, _ := filepath.Rel(h.dir, p)
			if target, err := os.Readlink(p); err == nil {
				line += " -> " + strings.TrimPrefix(target, h.dir)
			} else if b, err := os.ReadFile(p); err == nil {
				line += fmt.Sprintf(" %o %q", info.Mode().Perm(), b)
			}
			lines = append(lines, line)
			return nil
		})
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// between is a host with generation 1 on disk and 2 staged, over things that were there
// before, and what the disk looks like with each of 0, 1 and 2.
func between(t *testing.T, h *shellHost) (world, map[uint64]string) {
	h.write("etc/b", "before", 0o600)
	disk := map[uint64]string{0: h.onDisk()}
	one := map[string]string{"etc/a": "1", "etc/b": "1", "etc/c": "same", "etc/old": "1", "units/x.service": enabledUnit, "units/gone.service": enabledUnit}
	two := map[string]string{"etc/a": "2", "etc/b": "2", "etc/c": "same", "etc/deep/new": "2", "units/x.service": enabledUnit + "#2\n", "units/new.service": enabledUnit}
	h.apply(h.stageOf(1, one, hostdriver.Entry{Kind: hostdriver.KindLink, Service: "s", Name: h.path("link"), Target: h.path("etc/a")}))
	h.apply(hostdriver.Switch{To: 1})
	disk[1] = h.onDisk()
	h.apply(h.stageOf(2, two, hostdriver.Entry{Kind: hostdriver.KindLink, Service: "s", Name: h.path("link"), Target: h.path("etc/b")}))
	w := h.save()
	h.apply(hostdriver.Switch{To: 2})
	disk[2] = h.onDisk()
	w.restore()
	if h.onDisk() != disk[1] || disk[0] == disk[1] || disk[1] == disk[2] {
		t.Fatalf("0: %s\n1: %s\n2: %s", disk[0], disk[1], disk[2])
	}
	return w, disk
}

// TestSwitchKilledAnywhere: whatever was done by then, the host tells that a switch was
// cut unless a whole generation is on disk, and the same switch, or the one back, makes
// one of it.
func TestSwitchKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("kills some hundred requests")
	}
	for _, shell := range []string{"dash", "bash", "dash that stays"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			name, stays, _ := strings.Cut(shell, " ")
			h := newMortalHost(t, name)
			h.stays = stays != ""
			w, disk := between(t, h)
			h.apply(hostdriver.Switch{To: 2})
			total := h.processes()
			if total < 20 {
				t.Fatalf("a switch has started %d programs: the test does not see them", total)
			}
			for _, n := range moments(t, total) {
				for i, when := range []string{"before", "after"} {
					killSwitch(t, w, disk, n, when, uint64(1+(n+i)%2))
				}
			}
		})
	}
}

func killSwitch(t *testing.T, w world, disk map[uint64]string, n int, when string, then uint64) {
	t.Helper()
	h, at := w.h, fmt.Sprintf("killed %s program %d, then to %d", when, n, then)
	w.restore()
	h.dieAt(n, when)
	if _, err := h.try(hostdriver.Switch{To: 2}); err != nil && hostdriver.KindOf(err) != hostdriver.Unknown {
		t.Fatalf("%s: %v", at, err)
	}
	h.immortal()
	o := h.observe(hostdriver.Query{})
	if o.Switching == nil && h.onDisk() != disk[o.Manifest.Generation] {
		t.Fatalf("%s: generation %d is said to be whole, and there is\n%s", at, o.Manifest.Generation, h.onDisk())
	}
	if o.Switching != nil && (o.Switching.From != 1 || o.Switching.To != 2) {
		t.Fatalf("%s: %+v", at, o.Switching)
	}
	h.apply(hostdriver.Switch{To: then})
	o = h.observe(hostdriver.Query{})
	if o.Switching != nil || o.Manifest.Generation != then || h.onDisk() != disk[then] {
		t.Fatalf("%s: generation %d, switching %+v, on disk\n%s\nwant\n%s", at, o.Manifest.Generation, o.Switching, h.onDisk(), disk[then])
	}
}

// TestSwitchKilledAgainAndAgain kills the recovery too, at random, and goes on from there
// to either generation, as controllers that keep crashing would.
func TestSwitchKilledAgainAndAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("kills some hundred requests")
	}
	h := newMortalHost(t, "dash")
	w, disk := between(t, h)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range 15 {
		w.restore()
		for range 1 + random.IntN(5) {
			h.dieAt(1+random.IntN(70), []string{"before", "after"}[random.IntN(2)])
			_, err := h.try(hostdriver.Switch{To: 1 + random.Uint64N(2)})
			if err != nil && hostdriver.KindOf(err) != hostdriver.Unknown {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
			h.immortal()
			if o := h.observe(hostdriver.Query{}); o.Switching == nil && h.onDisk() != disk[o.Manifest.Generation] {
				t.Fatalf("seed %d, round %d: generation %d is said to be whole, and there is\n%s", seed, round, o.Manifest.Generation, h.onDisk())
			}
		}
		to := random.Uint64N(3)
		if to == 0 {
			// The way back to the beginning leads through 1.
			h.apply(hostdriver.Switch{To: 1})
		}
		h.apply(hostdriver.Switch{To: to})
		if h.onDisk() != disk[to] {
			t.Fatalf("seed %d, round %d: generation %d is\n%s\nwant\n%s", seed, round, to, h.onDisk(), disk[to])
		}
	}
}

// TestStageKilledAnywhere: nothing in use is touched, and staging again completes it.
func TestStageKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("kills some hundred requests")
	}
	h := newMortalHost(t, "dash")
	h.apply(h.stageOf(1, map[string]string{"etc/a": "1"}))
	h.apply(hostdriver.Switch{To: 1})
	w, before := h.save(), h.onDisk()
	file := releaseOf(h.path("app/.releases/file"), hostdriver.FormFile, []byte("program"))
	tree := releaseOf(h.path("app/.releases/tree"), hostdriver.FormTar, tarOf(t, map[string]string{"a/b": "deep", "c": "c"}))
	stage := h.stageOf(2, map[string]string{"etc/a": "2", "etc/b": "2", "etc/same": "2"},
		hostdriver.Entry{Kind: hostdriver.KindRelease, Service: "s", Name: file.Path, SHA256: file.SHA256},
		hostdriver.Entry{Kind: hostdriver.KindRelease, Service: "s", Name: tree.Path, SHA256: tree.SHA256})
	stage.Releases = []hostdriver.Release{file, tree}
	h.apply(stage)
	total := h.processes()
	for _, n := range moments(t, total) {
		for _, when := range []string{"before", "after"} {
			w.restore()
			h.dieAt(n, when)
			_, _ = h.try(stage)
			h.immortal()
			if h.onDisk() != before {
				t.Fatalf("killed %s program %d: on disk\n%s", when, n, h.onDisk())
			}
			h.observe(hostdriver.Query{})
			h.apply(stage)
			h.apply(hostdriver.Switch{To: 2})
			o := h.observe(hostdriver.Query{})
			if o.Paths[file.Path].SHA256 != file.SHA256 || o.Paths[tree.Path].SHA256 != tree.SHA256 {
				t.Fatalf("killed %s program %d: %+v", when, n, o.Paths)
			}
			if b, _ := h.read("app/.releases/tree/" + tree.SHA256 + "/a/b"); b != "deep" {
				t.Fatalf("killed %s program %d: unpacked %q", when, n, b)
			}
			if left, _ := filepath.Glob(h.path("app/.releases/*/.evenkeel*")); len(left) > 0 {
				t.Fatalf("killed %s program %d: left %v", when, n, left)
			}
		}
	}
}

// TestRestartKilledAnywhere: tried again with the InvocationID seen before, a unit is
// restarted once in all, and what it runs with is known.
func TestRestartKilledAnywhere(t *testing.T) {
	h := newMortalHost(t, "dash")
	h.apply(h.stageOf(1, map[string]string{"units/x.service": enabledUnit}))
	h.apply(hostdriver.Switch{To: 1})
	op := func(onlyIf string) hostdriver.UnitOps {
		return hostdriver.UnitOps{Record: &hostdriver.StepRecord{Phase: "restart"},
			Actions: []hostdriver.UnitAction{{Unit: "x.service", Verb: hostdriver.VerbRestart, OnlyIf: onlyIf, Generation: 1, Inputs: map[string]string{"/in": "digest"}}}}
	}
	first := h.apply(op("")).Units["x.service"].InvocationID
	w := h.save()
	h.apply(op(first))
	total := h.processes()
	for _, n := range moments(t, total) {
		for _, when := range []string{"before", "after"} {
			w.restore()
			h.dieAt(n, when)
			_, _ = h.try(op(first))
			h.immortal()
			o := h.observe(hostdriver.Query{})
			u := o.Units["x.service"]
			if st := o.Started["x.service"]; st.InvocationID != u.InvocationID || st.Inputs["/in"] != "digest" {
				t.Fatalf("killed %s program %d: the unit is %s, started as %+v", when, n, u.InvocationID, st)
			}
			h.apply(op(first))
			if starts, _ := h.read("systemd/starts.x.service"); strings.TrimSpace(starts) != "2" {
				t.Fatalf("killed %s program %d: started %s times", when, n, starts)
			}
			o = h.observe(hostdriver.Query{})
			if st := o.Started["x.service"]; st.InvocationID != o.Units["x.service"].InvocationID {
				t.Fatalf("killed %s program %d, tried again: %+v", when, n, st)
			}
		}
	}
}
