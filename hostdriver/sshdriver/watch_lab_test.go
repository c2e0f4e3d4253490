package sshdriver

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// watchBound is how late a signal may be; what is usual is logged.
const watchBound = 2 * time.Second

// TestLabWatch is what happens to watched hosts, beyond the contract: how soon it is
// known, and what is left behind.
func TestLabWatch(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	l := newLab(t, 2)
	w := &labWatch{lab: l, host: l.Hosts()[0], other: l.Hosts()[1]}
	w.do(t, `mkdir -p /etc/watched && echo one >/etc/watched/env && printf '[Service]\nExecStart=/bin/sleep 86400\nRestart=always\nRestartSec=1\n' >/etc/systemd/system/watched.service &&
printf '[Service]\nExecStart=/bin/sleep 86400\n' >/etc/systemd/system/masked.service && systemctl daemon-reload && systemctl start watched masked`)
	t.Run("latency of files", w.files)
	t.Run("latency of units", w.units)
	t.Run("edits while the host does not look", w.bursts)
	t.Run("what is on the host", w.onTheHost)
	t.Run("a controller that was killed", w.killed)
	t.Run("a unit that somebody stops", w.stoppedByHand)
	t.Run("the bus restarts", w.busRestarts)
	t.Run("systemd executes itself anew", w.reexec)
	t.Run("no room for inotify", w.noRoom)
	t.Run("two hosts, one cut off", w.oneCutOff)
}

type labWatch struct {
	lab         *lab.Lab
	host, other *lab.Host
}

func (w *labWatch) do(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := w.host.Enter(ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *labWatch) query(owner string) hostdriver.WatchQuery {
	return hostdriver.WatchQuery{Owner: owner, Paths: []string{"/etc/watched/env", "/etc/watched/link", "/etc/watched/new/file",
		"/etc/systemd/system/watched.service", "/etc/systemd/system/masked.service"}, Units: []string{"watched.service", "masked.service"}}
}

// begin watches a host until the test ends, and has heard that it does.
func (w *labWatch) begin(t *testing.T, host *lab.Host, owner string) (<-chan hostdriver.Signal, context.CancelFunc) {
	t.Helper()
	d := newLabDriver(t, w.lab, "deploy")
	ctx, cancel := context.WithCancel(context.Background())
	start := time.Now()
	out, err := d.Watch(ctx, labHost(host), w.query(owner))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); ended(t, out) })
	s := await(t, out, hostdriver.Watching)
	t.Logf("watched after %s", s.At.Sub(start).Round(time.Millisecond))
	quietly(out)
	return out, cancel
}

func await(t *testing.T, out <-chan hostdriver.Signal, kinds ...hostdriver.SignalKind) hostdriver.Signal {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		select {
		case s := <-out:
			if slices.Contains(kinds, s.Kind) {
				return s
			}
		case <-limit:
			t.Fatalf("not signalled: %s", kinds)
		}
	}
}

// quietly takes what still comes.
func quietly(out <-chan hostdriver.Signal) {
	for {
		select {
		case <-out:
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

// latency does something a few times and tells how long after that its signal came.
func latency(t *testing.T, out <-chan hostdriver.Signal, what string, times int, do func(n int) time.Time) {
	t.Helper()
	var all []time.Duration
	for n := range times {
		done := do(n)
		s := await(t, out, hostdriver.Changed)
		all = append(all, s.At.Sub(done))
		quietly(out)
	}
	slices.Sort(all)
	t.Logf("%-34s median %8s, slowest of %d %8s", what, all[times/2].Round(10*time.Microsecond), times, all[times-1].Round(10*time.Microsecond))
	if all[times-1] > watchBound {
		t.Errorf("%s: seen after %s", what, all[times-1])
	}
}

// files are changed from this machine, whose clock is the watch's.
func (w *labWatch) files(t *testing.T) {
	out, _ := w.begin(t, w.host, "files")
	at := func(name string) string { return filepath.Join(w.host.Root(), name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	env := at("etc/watched/env")
	latency(t, out, "written in place", 10, func(n int) time.Time {
		must(os.WriteFile(env, []byte(strings.Repeat("x", n+1)), 0o644))
		return time.Now()
	})
	latency(t, out, "renamed over, as editors do", 10, func(int) time.Time {
		must(os.WriteFile(at("etc/.new"), []byte("x"), 0o644))
		must(os.Rename(at("etc/.new"), env))
		return time.Now()
	})
	latency(t, out, "chmod", 10, func(n int) time.Time {
		must(os.Chmod(env, os.FileMode(0o600+n%2*4))) // #nosec G115
		return time.Now()
	})
	latency(t, out, "chown", 10, func(n int) time.Time {
		must(os.Chown(env, n%2, 0))
		return time.Now()
	})
	latency(t, out, "removed and made again", 10, func(int) time.Time {
		must(os.Remove(env))
		quietly(out)
		must(os.WriteFile(env, nil, 0o644))
		return time.Now()
	})
	latency(t, out, "removed", 4, func(int) time.Time {
		must(os.WriteFile(env, nil, 0o644))
		quietly(out)
		must(os.Remove(env))
		return time.Now()
	})
	latency(t, out, "a link turned", 4, func(n int) time.Time {
		must(os.Symlink("env", at("etc/watched/.l")))
		quietly(out)
		must(os.Rename(at("etc/watched/.l"), at("etc/watched/link")))
		return time.Now()
	})
	latency(t, out, "made, with its directory", 4, func(int) time.Time {
		must(os.RemoveAll(at("etc/watched/new")))
		quietly(out)
		must(os.Mkdir(at("etc/watched/new"), 0o755))
		must(os.WriteFile(at("etc/watched/new/file"), nil, 0o644))
		return time.Now()
	})
}

// units are changed on the host, which shares this machine's clock: the time is taken
// there, before the command.
func (w *labWatch) units(t *testing.T) {
	out, _ := w.begin(t, w.host, "units")
	run := func(what, script, undo string) {
		latency(t, out, what, 3, func(n int) time.Time {
			if n > 0 && undo != "" {
				w.do(t, undo)
				quietly(out)
			}
			begun := strings.TrimSpace(w.do(t, "date +%s.%N; "+script+" >/dev/null 2>&1"))
			at, err := time.ParseDuration(begun + "s")
			if err != nil {
				t.Fatal(err)
			}
			return time.Unix(0, 0).Add(at)
		})
	}
	run("systemctl stop", "systemctl stop watched", "systemctl start watched")
	run("systemctl start", "systemctl start watched", "systemctl stop watched")
	run("kill -9 of the service", "systemctl kill -s KILL watched", "sleep 1.2")
	run("systemctl mask", "rm -f /etc/systemd/system/masked.service; systemctl mask masked", "systemctl unmask masked")
	run("daemon-reload", "systemctl daemon-reload", "")
}

// bursts: whatever is done how fast, a look that begins after the last signal sees it.
func (w *labWatch) bursts(t *testing.T) {
	out, _ := w.begin(t, w.host, "bursts")
	env := filepath.Join(w.host.Root(), "etc/watched/env")
	for n := range 20 {
		var last time.Time
		for range 10 {
			if err := os.WriteFile(env, []byte(strings.Repeat("y", n)), 0o644); err != nil {
				t.Fatal(err)
			}
			last = time.Now()
			time.Sleep(time.Duration(n) * time.Millisecond)
		}
		var s hostdriver.Signal
		for s.At.Before(last) {
			s = await(t, out, hostdriver.Changed)
		}
	}
}

func (w *labWatch) leftovers(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(w.do(t, `systemctl list-units --all --plain --no-legend 'evenkeel-watch*' | cut -d' ' -f1; ls /run/systemd/transient /etc/systemd/system | grep evenkeel-watch; :`))
}

// gone waits until the host has none of the units left.
func (w *labWatch) gone(t *testing.T) {
	t.Helper()
	var left string
	for range 50 {
		if left = w.leftovers(t); left == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("left on the host: %s", left)
}

func (w *labWatch) onTheHost(t *testing.T) {
	out, cancel := w.begin(t, w.host, "on the host")
	units := w.leftovers(t)
	if strings.Count(units, ".path") != 2 || strings.Count(units, ".service") != 2 || strings.Count(units, ".scope") != 2 {
		t.Errorf("units, and their files: %s", units)
	}
	before := w.do(t, "journalctl --no-pager -o cat | grep -c evenkeel-watch; :")
	for range 5 {
		w.do(t, "echo x >/etc/watched/env")
		await(t, out, hostdriver.Changed)
		quietly(out)
	}
	if after := w.do(t, "journalctl --no-pager -o cat | grep -c evenkeel-watch; :"); after != before {
		t.Errorf("the host's journal says %s lines before changes, and %s after: changes fill it", strings.TrimSpace(before), strings.TrimSpace(after))
	}
	cancel()
	ended(t, out)
	w.gone(t)
}

// killed: the process of a controller ends without a word.
func (w *labWatch) killed(t *testing.T) {
	dead := newLabDriver(t, w.lab, "deploy")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, err := dead.Watch(ctx, labHost(w.host), w.query("killed"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, out, hostdriver.Watching)
	_ = dead.Close() // the connection breaks, as it does when its process is killed
	ended(t, out)
	w.gone(t)

	// Behind a connection that the host thinks is up: here, by a bridge that nobody reads.
	owner := watchBase("killed")
	w.do(t, "systemd-run --quiet --scope --unit="+owner+"0badf00d sleep 1000 >/dev/null 2>&1 & for i in 1 2 3 4 5; do systemctl is-active -q "+owner+"0badf00d.scope && break; sleep 0.2; done; "+
		"systemd-run --quiet --unit="+owner+"0badf00d --path-property=PathChanged=/etc/watched /bin/true")
	if left := w.leftovers(t); !strings.Contains(left, "0badf00d.path") {
		t.Fatalf("nothing was left behind: %s", left)
	}
	out, _ = w.begin(t, w.host, "killed")
	if left := w.leftovers(t); strings.Contains(left, "0badf00d.path") || strings.Contains(left, "0badf00d.scope") {
		t.Errorf("not taken over: %s", left)
	}
	w.do(t, "echo x >/etc/watched/env")
	await(t, out, hostdriver.Changed)
}

func (w *labWatch) stoppedByHand(t *testing.T) {
	out, _ := w.begin(t, w.host, "stopped")
	w.do(t, "systemctl stop '"+watchBase("stopped")+"*.path'")
	s := await(t, out, hostdriver.Lost)
	t.Log(s.Err)
	await(t, out, hostdriver.Watching)
	w.do(t, "echo x >/etc/watched/env")
	await(t, out, hostdriver.Changed)
}

func (w *labWatch) busRestarts(t *testing.T) {
	out, _ := w.begin(t, w.host, "bus")
	w.do(t, "systemctl kill -s KILL dbus.service; sleep 0.3; systemctl is-active dbus.socket; systemctl reset-failed")
	t.Log(await(t, out, hostdriver.Lost).Err)
	await(t, out, hostdriver.Watching)
	w.do(t, "echo x >/etc/watched/env")
	await(t, out, hostdriver.Changed)
}

func (w *labWatch) reexec(t *testing.T) {
	out, _ := w.begin(t, w.host, "reexec")
	w.do(t, "systemctl daemon-reexec")
	await(t, out, hostdriver.Changed)
	quietly(out)
	w.do(t, "echo y >/etc/watched/env")
	if s := await(t, out, hostdriver.Changed); !s.Files {
		t.Errorf("%+v", s)
	}
	quietly(out)
	w.do(t, "systemctl kill -s KILL watched")
	if s := await(t, out, hostdriver.Changed); !slices.Contains(s.Units, "watched.service") {
		t.Errorf("%+v", s)
	}
}

// noRoom: the host's systemd may open hardly any more files, as when inotify's instances
// are used up.
func (w *labWatch) noRoom(t *testing.T) {
	w.do(t, `free=0; n=0; while [ $free -lt 3 ]; do [ -e /proc/1/fd/$n ] || free=$((free + 1)); n=$((n + 1)); done; prlimit --pid 1 --nofile=$n:`)
	defer w.do(t, "prlimit --pid 1 --nofile=$(prlimit --pid 1 --nofile -o HARD --noheadings | tr -d ' '):")
	d := newLabDriver(t, w.lab, "root")
	out, err := d.Watch(t.Context(), labHost(w.host), hostdriver.WatchQuery{Owner: "room", Paths: []string{"/a/1", "/b/1", "/c/1", "/d/1", "/e/1", "/f/1", "/g/1", "/h/1"}})
	if err != nil {
		t.Fatal(err)
	}
	s := await(t, out, hostdriver.Watching)
	t.Log(s.Unwatched, s.Err)
	if len(s.Unwatched) == 0 || s.Err == nil {
		t.Errorf("%+v", s)
	}
}

func (w *labWatch) oneCutOff(t *testing.T) {
	out, _ := w.begin(t, w.host, "cut")
	far, _ := w.begin(t, w.other, "cut")
	if err := w.other.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	latency(t, out, "written, the other host cut off", 3, func(int) time.Time {
		if err := os.WriteFile(filepath.Join(w.host.Root(), "etc/watched/env"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	})
	await(t, far, hostdriver.Lost)
	if err := w.other.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	await(t, far, hostdriver.Watching)
	t.Logf("watched again %s after it was healed", time.Since(start).Round(time.Millisecond))
	start = time.Now()
	rebooted := make(chan error, 1)
	go func() { rebooted <- w.other.Reboot(t.Context()) }()
	// It is read meanwhile, for what nobody takes becomes one signal. Blind is what comes
	// where its systemd stopped before the connection did.
	await(t, far, hostdriver.Lost, hostdriver.Blind)
	await(t, far, hostdriver.Watching)
	t.Logf("watched again %s after its reboot was begun", time.Since(start).Round(time.Millisecond))
	if err := <-rebooted; err != nil {
		t.Fatal(err)
	}
}
