package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// What a watch of all hosts costs, and how soon it tells of a change. The watcher is a
// process of its own (watcher.go): its memory and CPU time are nobody else's.

const (
	watchedEnv  = "/etc/bench-watched/app.env"
	watchedUnit = "bench-watched.service"
	watchEdits  = 100
	watchKills  = 40
)

// watchFigures are what was measured.
type watchFigures struct {
	hosts                     int
	begun                     watcherState  // before it met any host
	began                     time.Duration // until all were watched
	connected, idle           watcherState
	idleFor                   time.Duration
	hostBefore, hostIdle      time.Duration // CPU time of a host, on average, in idleFor
	written, renamed, crashed []time.Duration
}

// watch measures once: with hosts that do nothing, and a file and a service of theirs.
func (s *stage) watch(ctx context.Context) (err error) {
	fmt.Fprintln(os.Stderr, "bench: watch")
	if err := s.everywhere(ctx, func(ctx context.Context, h *lab.Host) error {
		_, err := h.Exec(ctx, "mkdir -p "+filepath.Dir(watchedEnv)+" && echo a >"+watchedEnv+
			" && printf '[Service]\\nExecStart=/bin/sleep 86400\\nRestart=always\\nRestartSec=100ms\\nStartLimitIntervalSec=0\\n' >/run/systemd/system/"+watchedUnit+
			" && systemctl daemon-reload && systemctl start "+watchedUnit)
		return err
	}); err != nil {
		return err
	}
	f := &watchFigures{hosts: s.hosts, idleFor: 20 * time.Second}
	w, err := s.startWatcher(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	if f.begun, err = w.next(watcherBegun); err != nil {
		return err
	}
	if f.connected, err = w.next(watcherConnected); err != nil {
		return err
	}
	if f.hostBefore, err = s.hostCPUOver(ctx, f.idleFor); err != nil {
		return err
	}
	begun := time.Now()
	w.proceed()
	if _, err = w.next(watcherWatching); err != nil {
		return err
	}
	f.began = time.Since(begun)
	if err := settle(ctx); err != nil {
		return err
	}
	w.proceed()
	if f.hostIdle, err = s.hostCPUOver(ctx, f.idleFor); err != nil {
		return err
	}
	w.proceed()
	if f.idle, err = w.next(watcherIdle); err != nil {
		return err
	}
	s.results.watch = f
	return s.watchChanges(ctx, w, f)
}

// watchChanges changes one host after the other, and waits each time until it is told.
func (s *stage) watchChanges(ctx context.Context, w *watcher, f *watchFigures) error {
	hosts := s.lab.Hosts()
	change := func(to *[]time.Duration, times int, do func(h *lab.Host) (time.Time, error)) error {
		for n := range times {
			h := hosts[n%len(hosts)]
			done, err := do(h)
			if err != nil {
				return err
			}
			at, err := w.changed(h.Name(), done)
			if err != nil {
				return err
			}
			*to = append(*to, at.Sub(done))
			time.Sleep(100 * time.Millisecond) // the host looks again by then
		}
		return nil
	}
	env := func(h *lab.Host) string { return filepath.Join(h.Root(), watchedEnv) }
	return errors.Join(
		change(&f.written, watchEdits, func(h *lab.Host) (time.Time, error) {
			err := os.WriteFile(env(h), []byte(time.Now().String()), 0o644)
			return time.Now(), err
		}),
		change(&f.renamed, watchEdits, func(h *lab.Host) (time.Time, error) {
			err := os.WriteFile(filepath.Join(h.Root(), "etc/.bench"), []byte("b"), 0o644)
			if err == nil {
				err = os.Rename(filepath.Join(h.Root(), "etc/.bench"), env(h))
			}
			return time.Now(), err
		}),
		change(&f.crashed, watchKills, func(h *lab.Host) (time.Time, error) {
			out, err := h.Enter(ctx, "date +%s.%N; kill -9 $(systemctl show -P MainPID "+watchedUnit+")")
			since, parseErr := time.ParseDuration(strings.TrimSpace(out) + "s")
			return time.Unix(0, 0).Add(since), errors.Join(err, parseErr)
		}))
}

// hostCPUOver is what a host uses in that time, on average.
func (s *stage) hostCPUOver(ctx context.Context, d time.Duration) (time.Duration, error) {
	before, err := s.hostCPU()
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	after, err := s.hostCPU()
	return after - before, err
}

// watcher is the other process.
type watcher struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func (s *stage) startWatcher(ctx context.Context) (*watcher, error) {
	argv := []string{watcherVerb, "-user", loginUser, "-identity", s.lab.IdentityFile(), "-known-hosts", s.lab.KnownHostsFile()}
	for _, h := range s.lab.Hosts() {
		argv = append(argv, h.Name()+"="+h.Address())
	}
	w := &watcher{cmd: exec.CommandContext(ctx, s.self, argv...)}
	w.cmd.Stderr = os.Stderr
	w.cmd.Cancel = func() error { return w.cmd.Process.Signal(syscall.SIGTERM) }
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.stdin, w.lines = stdin, bufio.NewScanner(stdout)
	return w, w.cmd.Start()
}

func (w *watcher) proceed() { _, _ = io.WriteString(w.stdin, "\n") }

func (w *watcher) end() error {
	_ = w.stdin.Close()
	for w.lines.Scan() {
	}
	return w.cmd.Wait()
}

// next waits for that word of the watcher's.
func (w *watcher) next(word string) (watcherState, error) {
	for w.lines.Scan() {
		var s watcherState
		if err := json.Unmarshal(w.lines.Bytes(), &s); err != nil {
			return s, err
		}
		if s.Word == word {
			return s, nil
		}
	}
	return watcherState{}, fmt.Errorf("the watcher has ended before it was %s: %w", word, w.lines.Err())
}

// changed waits until that host is told to have changed, at that time or later.
func (w *watcher) changed(host string, since time.Time) (time.Time, error) {
	for {
		s, err := w.next(watcherChanged)
		if err != nil {
			return time.Time{}, err
		}
		if s.Host == host && s.At.After(since.Add(-20*time.Millisecond)) {
			return s.At, nil
		}
	}
}

func watchTable(f *watchFigures) *table {
	t := &table{title: "Watching", header: []string{"", "median", "slowest", "of"}}
	if f == nil {
		return t
	}
	t.title = fmt.Sprintf("Watching %d hosts", f.hosts)
	t.remarks = []string{"From the moment that a change is done until the watch tells of it: a file written from this machine on a host's disk, one renamed over another, " +
		"a service's process killed there. Then what it costs while nothing changes: the process that watches, which does nothing else, and a host."}
	for _, l := range []struct {
		words string
		all   []time.Duration
	}{{"a managed file is written", f.written}, {"a managed file is renamed over", f.renamed}, {"a service is killed (with the time that this takes)", f.crashed}} {
		all := slices.Sorted(slices.Values(l.all))
		if len(all) > 0 {
			t.row(l.words, finely(all[len(all)/2]), finely(all[len(all)-1]), fmt.Sprint(len(all)))
		}
	}
	n := float64(f.hosts)
	kb := func(bytes int64) string { return fmt.Sprintf("%.0f KB", float64(bytes)/n/1000) }
	cpu := f.idle.CPU - f.connected.CPU
	t.conclude("all watched after %s", seconds(f.began))
	t.conclude("idle, the watching process: %.2f %% of one core (%s of CPU time in %s); target under 1 %% for 40 hosts: %s", 100*cpu.Seconds()/f.idle.Since.Seconds(), finely(cpu), f.idle.Since.Round(time.Second),
		verdict(cpu.Seconds()/f.idle.Since.Seconds() < 0.01))
	added := f.idle.Memory - f.begun.Memory
	t.conclude("memory that a host adds (heap and stacks): %s with its connection and its watch, %s with the connection alone; target under 100 KB: %s",
		kb(added), kb(f.connected.Memory-f.begun.Memory), verdict(float64(added)/n < 100_000))
	t.conclude("the process itself, before it meets any host: %.1f MB of heap and stacks; divided among the %d hosts, too, it makes %s each", float64(f.begun.Memory)/1e6, f.hosts, kb(f.idle.Memory))
	t.conclude("resident memory that a host adds: %s", kb(f.idle.Resident-f.begun.Resident))
	t.conclude("goroutines that a host adds: %.1f, %.1f without the watch", float64(f.idle.Goroutines-f.begun.Goroutines)/n, float64(f.connected.Goroutines-f.begun.Goroutines)/n)
	t.conclude("a host, idle for %s: %s of CPU time watched, %s connected alone", seconds(f.idleFor), finely(f.hostIdle), finely(f.hostBefore))
	return t
}

func finely(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
