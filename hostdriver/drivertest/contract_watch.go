package drivertest

import (
	"context"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var watchCases = []contractCase{
	{"a watch begins by saying so", func(k *kit) {
		w := k.watch("contract", hostdriver.WatchQuery{})
		s := w.await(hostdriver.Watching, anySignal)
		equal(k, "host", s.Host, k.Host.Name)
		if s.At.IsZero() || s.Err != nil || len(s.Unwatched) > 0 {
			k.Fatalf("%+v", s)
		}
	}},
	{"a file that is written, replaced, removed or made again is signalled", func(k *kit) {
		const name = "/etc/contract/f"
		k.Machine.WriteFile(name, "one\n", 0o644)
		w := k.watching(hostdriver.WatchQuery{Paths: []string{name, "/etc/contract/l", "/etc/contract/not/there/yet"}})
		for _, step := range []struct {
			what string
			do   func()
		}{
			{"written", func() { k.Machine.WriteFile(name, "two\n", 0o644) }},
			{"the same again", func() { k.Machine.WriteFile(name, "two\n", 0o644) }},
			{"another mode", func() { k.Machine.WriteFile(name, "two\n", 0o600) }},
			{"replaced by a link", func() { k.Machine.Remove(name); k.Machine.Symlink("l", name) }},
			{"removed", func() { k.Machine.Remove(name) }},
			{"made again", func() { k.Machine.WriteFile(name, "three\n", 0o644) }},
			{"a link that was not there", func() { k.Machine.Symlink("f", "/etc/contract/l") }},
			{"a link turned", func() { k.Machine.Symlink("g", "/etc/contract/l") }},
			{"made with its directories", func() { k.Machine.WriteFile("/etc/contract/not/there/yet", "x", 0o644) }},
			{"its directory removed", func() { k.Machine.Remove("/etc/contract/not") }},
			{"made with its directories again", func() { k.Machine.WriteFile("/etc/contract/not/there/yet", "x", 0o644) }},
		} {
			step.do()
			w.await(hostdriver.Changed, func(s hostdriver.Signal) bool { return s.Files }, step.what)
			w.settle()
		}
	}},
	{"what is made in a watched directory is signalled", func(k *kit) {
		w := k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/d"}})
		k.Machine.WriteFile("/etc/contract/d/new", "x", 0o644)
		w.await(hostdriver.Changed, func(s hostdriver.Signal) bool { return s.Files })
		w.settle()
		k.Machine.Remove("/etc/contract/d/new")
		w.await(hostdriver.Changed, func(s hostdriver.Signal) bool { return s.Files })
	}},
	{"a path that is not watched is not signalled", func(k *kit) {
		k.Machine.WriteFile("/etc/contract/f", "x", 0o644)
		w := k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/f"}, Units: []string{unitName}})
		k.Machine.WriteFile("/etc/contract.other/f", "x", 0o644)
		w.quiet()
		k.Machine.Remove("/etc/contract.other")
	}},
	{"a unit that is started, stopped, crashes or is masked is signalled by name", watchUnits},
	{"systemd's reload is signalled", func(k *kit) {
		w := k.watching(hostdriver.WatchQuery{})
		k.Machine.Systemctl("daemon-reload")
		w.await(hostdriver.Changed, func(s hostdriver.Signal) bool { return s.Reloaded })
		w.settle()
		w.quiet()
	}},
	{"a look that begins after the last signal sees the change, and answers it", func(k *kit) {
		const name = "/etc/contract/f"
		w := k.watching(hostdriver.WatchQuery{Paths: []string{name}})
		k.Machine.WriteFile(name, "x", 0o644)
		s := w.await(hostdriver.Changed, anySignal)
		k.Machine.Pass(10 * time.Millisecond)
		o := k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: name}}})
		equal(k, "digest", o.Paths[name].SHA256, digest("x"))
	drain:
		for {
			select {
			case s = <-w.out:
			default:
				break drain
			}
		}
		k.Machine.Pass(200 * time.Millisecond)
		o = k.observe(hostdriver.Query{})
		equal(k, "answered", s.AnsweredBy(o), true)
		s.At = o.At
		equal(k, "a later signal is answered", s.AnsweredBy(o), false)
	}},
	{"looking is not signalled", func(k *kit) {
		k.Machine.WriteFile("/etc/contract/f", "x", 0o644)
		w := k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/f"}, Units: []string{unitName, "contract-none.service"}})
		k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: "/etc/contract/f"}}, Units: []string{unitName, "contract-none.service", "contract-other.service"}})
		w.quiet()
	}},
	{"a switch is signalled like any other hand's work", func(k *kit) {
		w := k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/f"}})
		k.draft(1).file("/etc/contract/f", "x").deploy()
		w.await(hostdriver.Changed, func(s hostdriver.Signal) bool { return s.Files })
	}},
	{"two owners watch side by side, and one may leave", func(k *kit) {
		q := hostdriver.WatchQuery{Paths: []string{"/etc/contract/f"}}
		one, two := k.watch("one", q), k.watch("two", q)
		one.await(hostdriver.Watching, anySignal)
		two.await(hostdriver.Watching, anySignal)
		k.Machine.WriteFile("/etc/contract/f", "x", 0o644)
		one.await(hostdriver.Changed, anySignal)
		two.await(hostdriver.Changed, anySignal)
		one.end()
		two.settle()
		k.Machine.WriteFile("/etc/contract/f", "y", 0o644)
		two.await(hostdriver.Changed, anySignal)
	}},
	{"a watch can be begun again, for other paths", func(k *kit) {
		w := k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/f"}})
		w.end()
		w = k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/g"}})
		k.Machine.WriteFile("/etc/contract/g", "x", 0o644)
		w.await(hostdriver.Changed, anySignal)
	}},
	{"a host that reboots is watched again", func(k *kit) {
		w := k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/f"}})
		k.Machine.Reboot()
		w.await(hostdriver.Watching, anySignal) // that it was lost is not told where it is watched again before anybody asks
		k.Machine.WriteFile("/etc/contract/f", "x", 0o644)
		w.await(hostdriver.Changed, anySignal)
	}},
	{"a host that is cut off is lost, and watched again once it is back", func(k *kit) {
		w := k.watching(hostdriver.WatchQuery{Paths: []string{"/etc/contract/f"}})
		k.Machine.Cut()
		s := w.await(hostdriver.Lost, anySignal)
		equal(k, "kind", hostdriver.KindOf(s.Err), hostdriver.Unreachable)
		k.Machine.Heal()
		w.await(hostdriver.Watching, anySignal)
		k.Machine.WriteFile("/etc/contract/f", "x", 0o644)
		w.await(hostdriver.Changed, anySignal)
	}},
	{"a host that cannot be watched says why", func(k *kit) {
		k.Machine.HideBus()
		w := k.watch("contract", hostdriver.WatchQuery{})
		s := w.await(hostdriver.Blind, anySignal)
		if hostdriver.KindOf(s.Err) != hostdriver.Failed || hostdriver.MendOf(s.Err) == "" {
			k.Fatalf("%v; mend %q", s.Err, hostdriver.MendOf(s.Err))
		}
		k.Log(s.Err, "; ", hostdriver.MendOf(s.Err))
		w.end()
		k.Machine.ShowBus()
		k.watching(hostdriver.WatchQuery{})
	}},
	{"what no host can watch is refused", func(k *kit) {
		for _, q := range []hostdriver.WatchQuery{
			{}, {Owner: "a\nb"}, {Owner: "o", Paths: []string{"etc/f"}}, {Owner: "o", Units: []string{"plain"}},
			{Owner: "o", Paths: slices.Repeat([]string{"/f"}, hostdriver.MaxWatchPaths+1)},
		} {
			if _, err := k.Watcher.Watch(k.context(), k.Host, q); hostdriver.KindOf(err) != hostdriver.Refused {
				k.Fatalf("%.100v: %v", q, err)
			}
		}
	}},
}

func watchUnits(k *kit) {
	k.Machine.WriteFile("/etc/systemd/system/"+unitName, runs, 0o644)
	k.Machine.WriteFile("/etc/systemd/system/contract-m.service", runs, 0o644)
	k.Machine.Systemctl("daemon-reload")
	w := k.watching(hostdriver.WatchQuery{Units: []string{unitName, "contract-none@.service", "contract-none.service", "contract-late.service"}})
	named := func(s hostdriver.Signal) bool { return slices.Contains(s.Units, unitName) }
	k.Machine.Systemctl("start", unitName)
	w.await(hostdriver.Changed, named, "start")
	w.settle()
	k.Machine.Systemctl("start", "contract-m.service")
	w.quiet()
	k.Machine.Crash(unitName)
	w.await(hostdriver.Changed, named, "crash")
	w.settle()
	k.Machine.Systemctl("start", unitName)
	w.await(hostdriver.Changed, named, "start again")
	w.settle()
	k.Machine.Systemctl("stop", unitName)
	w.await(hostdriver.Changed, named, "stop")
	w.settle()
	k.Machine.Remove("/etc/systemd/system/contract-m.service")
	k.Machine.Systemctl("mask", "contract-m.service")
	w.await(hostdriver.Changed, func(s hostdriver.Signal) bool { return s.Reloaded }, "mask")
	w.settle()
	k.Machine.WriteFile("/etc/systemd/system/contract-late.service", runs, 0o644)
	k.Machine.Systemctl("start", "contract-late.service")
	w.await(hostdriver.Changed, func(s hostdriver.Signal) bool { return slices.Contains(s.Units, "contract-late.service") }, "a unit that was not there")
}

// watch is a watch under test.
type watch struct {
	k      *kit
	out    <-chan hostdriver.Signal
	cancel context.CancelFunc
	heard  []hostdriver.Signal
}

func anySignal(hostdriver.Signal) bool { return true }

func (k *kit) watch(owner string, q hostdriver.WatchQuery) *watch {
	k.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	q.Owner = owner
	out, err := k.Watcher.Watch(ctx, k.Host, q)
	if err != nil {
		cancel()
		k.Fatal(err)
	}
	w := &watch{k: k, out: out, cancel: cancel}
	k.Cleanup(w.end)
	return w
}

// watching is a watch that has begun.
func (k *kit) watching(q hostdriver.WatchQuery) *watch {
	k.Helper()
	w := k.watch("contract", q)
	w.await(hostdriver.Watching, anySignal)
	w.settle()
	return w
}

// await waits for a signal of that kind.
func (w *watch) await(kind hostdriver.SignalKind, is func(hostdriver.Signal) bool, what ...string) hostdriver.Signal {
	w.k.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		select {
		case s, open := <-w.out:
			if !open {
				w.k.Fatalf("the watch has ended; heard %+v", w.heard)
			}
			w.heard = append(w.heard, s)
			if s.Kind == kind && is(s) {
				return s
			}
		case <-limit.C:
			w.k.Fatalf("not signalled: %s %v; heard %+v", kind, what, w.heard)
		}
	}
}

// settle takes the signals that still come of one thing.
func (w *watch) settle() {
	w.k.Machine.Pass(300 * time.Millisecond)
	for {
		select {
		case s := <-w.out:
			w.heard = append(w.heard, s)
		default:
			return
		}
	}
}

// quiet fails if there are signals.
func (w *watch) quiet() {
	w.k.Helper()
	w.k.Machine.Pass(300 * time.Millisecond)
	select {
	case s := <-w.out:
		w.k.Fatalf("signalled: %+v", s)
	default:
	}
}

// end ends the watch and waits until it has.
func (w *watch) end() {
	w.cancel()
	limit := time.After(20 * time.Second)
	for {
		select {
		case _, open := <-w.out:
			if !open {
				return
			}
		case <-limit:
			w.k.Error("the watch does not end")
			return
		}
	}
}
