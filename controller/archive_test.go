package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller/store/memstore"
	"github.com/evenkeel/evenkeel/rollout"
)

// Every rollout of the history can be looked at whole, also by the next controller.
func TestRolloutsOfThePast(t *testing.T) {
	l := newLoop(t, 2, nil)
	for n := range 3 {
		id := fmt.Sprintf("c%d", n+1)
		l.git.commit(id, fleetFiles(2, "A="+id+"\n"))
		if n == 0 {
			l.start()
		}
		l.eventually("in sync", reconciledAt(id))
	}
	all := func() {
		t.Helper()
		rollouts, err := l.c.Rollouts(context.Background(), 0)
		if err != nil || len(rollouts) < 3 { // a push in mid-rollout begins another
			t.Fatalf("%d rollouts, %v", len(rollouts), err)
		}
		seen := map[string]bool{}
		for _, r := range rollouts {
			rs, err := l.c.RolloutByID(context.Background(), r.ID)
			if err != nil || rs.State.ID != r.ID || rs.State.Revision != r.Revision || rs.Outcome == nil || rs.Outcome.Result != r.Result || len(rs.State.Visits) == 0 || !rs.State.Done {
				t.Errorf("%+v: %v: %+v", r, err, rs)
			}
			seen[r.Revision] = true
		}
		if !seen["c1"] || !seen["c2"] || !seen["c3"] {
			t.Errorf("rollouts of %v", seen)
		}
	}
	all()
	l.stop()
	l.start()
	l.eventually("in sync", reconciledAt("c3"))
	all()
	if _, err := l.c.RolloutByID(context.Background(), "20260101T000000.000Z"); !errors.Is(err, ErrUnknownRollout) {
		t.Errorf("one that never was: %v", err)
	}
}

// A rollout in whose middle the controller was killed has an end, and is in the history.
func TestRolloutThatWasCut(t *testing.T) {
	for name, filed := range map[string]bool{"in the middle": false, "between the records of its end": true} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, 1, nil)
			l.git.commit("c1", fleetFiles(1, "A=1\n"))
			led, err := newLedger(context.Background(), l.store, Retention{Events: 10, Revisions: 10, Rollouts: 10, RolloutBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			rs := RolloutStatus{Began: time.Now().UTC().Add(-time.Hour), Why: "revision c0"}
			rs.State = rollout.State{ID: "20260101T000000.000Z", Revision: "c0", Visits: []rollout.Visit{{Host: "h1", Progress: rollout.Progress{Phase: rollout.PhaseUnits, Since: time.Minute}}}}
			save := saver{l: led, c: &rs}
			if err := save.save(context.Background(), rs.State); err != nil {
				t.Fatal(err)
			}
			want := Errored
			if filed {
				want = Converged
				rs.Outcome = &Outcome{Result: Converged, Revision: "c0", Hosts: 1}
				if err := led.archive.add(context.Background(), rs); err != nil {
					t.Fatal(err)
				}
			}
			l.start()
			l.eventually("in sync", reconciledAt("c1"))
			history, err := l.c.Rollouts(context.Background(), 0)
			if err != nil || len(history) != 2 || history[1].ID != rs.State.ID || history[1].Result != want {
				t.Fatalf("%v: %+v", err, history)
			}
			got, err := l.c.RolloutByID(context.Background(), rs.State.ID)
			if err != nil || got.Outcome == nil || got.Outcome.Result != want {
				t.Fatalf("%v: %+v", err, got)
			}
			if !filed && (!got.Ended.Equal(rs.Began.Add(time.Minute)) || !strings.Contains(got.Outcome.Words(), "h1 (left in the middle of restart)") || !strings.Contains(got.Outcome.Words(), "killed")) {
				t.Errorf("ended %s after its beginning: %s", got.Ended.Sub(rs.Began), got.Outcome.Words())
			}
		})
	}
}

// The archive is bounded by number and by bytes, and what has fallen out of it is told
// from what never was.
func TestArchiveIsBounded(t *testing.T) {
	ctx := context.Background()
	of := func(n, visits int) RolloutStatus {
		rs := RolloutStatus{State: rollout.State{ID: fmt.Sprintf("r%d", n)}}
		for i := range visits {
			rs.State.Visits = append(rs.State.Visits, rollout.Visit{ID: i, Host: fmt.Sprintf("host-%d-%x", i, i*i*n)})
		}
		return rs
	}
	s := &memstore.Store{}
	a, err := openArchive(ctx, s, 3, 4000)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if err := a.add(ctx, of(n, 2)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		if rs, ok, err := a.find(ctx, fmt.Sprintf("r%d", n)); err != nil || ok != (n > 1) || ok && len(rs.State.Visits) != 2 {
			t.Errorf("r%d: %v %v %+v", n, ok, err, rs)
		}
	}
	if err := a.add(ctx, of(9, 2000)); err != nil { // no room, even alone
		t.Fatal(err)
	}
	if _, ok, _ := a.find(ctx, "r9"); ok || len(a.kept) != 3 {
		t.Errorf("one that has no room is kept: %v", a.kept)
	}
	if err := a.add(ctx, of(10, 100)); err != nil {
		t.Fatal(err)
	}
	again, err := openArchive(ctx, s, 3, 4000)
	if err != nil || again.size != a.size || again.size > 4000 || len(again.kept) != len(a.kept) {
		t.Errorf("%v: %+v, was %+v", err, again.kept, a.kept)
	}
	if rs, ok, err := again.find(ctx, "r10"); err != nil || !ok || len(rs.State.Visits) != 100 {
		t.Errorf("the newest: %v %v", ok, err)
	}
}
