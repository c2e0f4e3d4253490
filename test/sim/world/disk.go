package world

import (
	"maps"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// File is one thing at a path. It is never written to: a new one takes its place.
type File struct {
	Item    *Item  // of a regular file or a release
	Target  string // of a symlink
	Dir     bool
	Owner   string
	Group   string
	Mode    uint32
	Changed time.Duration
}

// Same tells whether two files give a process the same: for an env file its
// variables, else its content or what it points at.
func (f *File) Same(g *File) bool {
	switch {
	case f == nil || g == nil:
		return f == g
	case f.Item == nil || g.Item == nil:
		return f.Target == g.Target
	case f.Item.Vars != nil && g.Item.Vars != nil:
		return maps.Equal(f.Item.Vars, g.Item.Vars)
	}
	return f.Item == g.Item
}

// writeback is after how long what was written without fsync is safe anyway.
const writeback = 5 * time.Second

// Disk is what a host keeps. What evenkeel's own operations write is synced before
// they go on; what a person writes is not, and a power cut within writeback loses it.
type Disk struct {
	Files map[string]*File
	// Full lets nothing be written any more.
	Full bool
	// Enabled is each unit's UnitFileState, where it is not "disabled".
	Enabled map[string]string
	Users   map[string]bool

	Manifest  hostdriver.Manifest
	Kept      map[uint64]hostdriver.Manifest
	Refused   map[string]hostdriver.Refusal // by service
	Hooks     map[string]hostdriver.HookMark
	Step      *hostdriver.StepRecord
	Switching *hostdriver.Switching
	Epoch     uint64
	Holder    string
	Claim     string
	StartedAs map[string]hostdriver.StartedAs
	// Wanted is what a unit was about to be started with, until that is known.
	Wanted map[string]hostdriver.StartedAs

	unsynced []write
}

// write is something a power cut takes back.
type write struct {
	at   time.Duration
	undo func()
}

func newDisk() Disk {
	return Disk{
		Files: map[string]*File{}, Enabled: map[string]string{}, Users: map[string]bool{"root": true},
		Kept: map[uint64]hostdriver.Manifest{}, Refused: map[string]hostdriver.Refusal{}, Hooks: map[string]hostdriver.HookMark{}, StartedAs: map[string]hostdriver.StartedAs{}, Wanted: map[string]hostdriver.StartedAs{},
	}
}

// put writes durably; nil removes.
func (d *Disk) put(path string, f *File) {
	if f == nil {
		delete(d.Files, path)
		return
	}
	d.Files[path] = f
}

// putUnsynced writes as a person with an editor does.
func (d *Disk) putUnsynced(now time.Duration, path string, f *File) {
	was := d.Files[path]
	d.put(path, f)
	d.unsynced = append(d.unsynced, write{at: now, undo: func() {
		if d.Files[path] == f {
			d.put(path, was)
		}
	}})
}

// sync makes everything durable, as an orderly shutdown does.
func (d *Disk) sync() { d.unsynced = nil }

// powerLost takes back what was not synced, latest first.
func (d *Disk) powerLost(now time.Duration) {
	for _, w := range slices.Backward(d.unsynced) {
		if now-w.at < writeback {
			w.undo()
		}
	}
	d.unsynced = nil
}

// kept lists the generations that can be switched to, ascending.
func (d *Disk) kept() []uint64 { return slices.Sorted(maps.Keys(d.Kept)) }

// keep forgets the oldest generations but n. The current one stays, and those that the
// step in hand may go back to or a unit was started with.
func (d *Disk) keep(n int, from uint64) {
	if n == 0 {
		n = 5
	}
	protected := map[uint64]bool{d.Manifest.Generation: true, from: true}
	if d.Step != nil {
		protected[d.Step.From], protected[d.Step.To] = true, true
	}
	for _, s := range d.StartedAs {
		protected[s.Generation] = true
	}
	for _, g := range d.kept() {
		if len(d.Kept) <= n {
			return
		}
		if !protected[g] {
			delete(d.Kept, g)
		}
	}
}
