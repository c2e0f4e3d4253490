package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/apitest"
	"github.com/evenkeel/evenkeel/rollout"
)

// decoded is what a path answers, read back into T. It must be all that was sent:
// nothing may be lost on the way to the command line.
func decoded[T any](t *testing.T, f *fixture, path string) T {
	t.Helper()
	w := f.ask("GET", Base+path, f.reads, "")
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); w.Code != http.StatusOK || err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %v: %s", path, w.Code, err, w.Body)
	}
	again, err := json.Marshal(v)
	if err != nil || string(again)+"\n" != w.Body.String() {
		t.Errorf("%s: read back it is another document (%v):\n%s\n%s", path, err, w.Body, again)
	}
	return v
}

func TestReads(t *testing.T) {
	f := newFixture(t)
	f.fake.Begin("r1")
	f.fake.Step("web-1", rollout.PhaseDrain)
	if s := decoded[controller.Snapshot](t, f, "/snapshot"); !reflect.DeepEqual(s.Report, f.fake.Snapshot().Report) || s.Rollout.State.Visits[0].Phase != rollout.PhaseDrain {
		t.Errorf("%+v", s)
	}
	if r := decoded[controller.Report](t, f, "/status"); !reflect.DeepEqual(r, f.fake.Snapshot().Report) {
		t.Errorf("%+v", r)
	}
	if p := decoded[rollout.Plan](t, f, "/plan"); !reflect.DeepEqual(p, *f.fake.Snapshot().Plan) {
		t.Errorf("%+v", p)
	}
	if h := decoded[Hosts](t, f, "/hosts"); len(h.Hosts) != 3 || !h.Hosts[0].Observed.Watched || h.Hosts[2].Conditions.Get(controller.Reachable).Status != controller.False {
		t.Errorf("%+v", h)
	}
	if p := decoded[rollout.Plan](t, f, "/hosts/web-2/diff"); len(p.Hosts) != 1 || p.Hosts[0].Host != "web-2" {
		t.Errorf("%+v", p)
	}
	if e := decoded[controller.Explanation](t, f, "/instances/web-1/gateway"); e.Status.Host != "web-1" || len(e.Units) != 1 {
		t.Errorf("%+v", e)
	}
	if r := decoded[controller.RolloutStatus](t, f, "/rollouts/current"); r.State.ID != "r1" || !r.Ended.IsZero() {
		t.Errorf("%+v", r)
	}
	f.fake.End(controller.Converged)
	if r := decoded[Rollouts](t, f, "/rollouts?limit=5"); len(r.Rollouts) != 1 || r.Rollouts[0].Result != controller.Converged {
		t.Errorf("%+v", r)
	}
	if r := decoded[Revisions](t, f, "/revisions"); len(r.Revisions) != 1 || r.Revisions[0].Author == "" {
		t.Errorf("%+v", r)
	}
	r := decoded[controller.RolloutStatus](t, f, "/rollouts/r1")
	if want := f.fake.Snapshot().Rollout.Outcome.Words(); r.Outcome == nil || r.Outcome.Words() != want {
		t.Errorf("the outcome in words: %q, want %q", r.Outcome.Words(), want)
	}
}

func TestReadsOfWhatIsNotThere(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/hosts/web-9/diff", "/instances/web-1/nothing", "/rollouts/none", "/rollouts/current", "/instances/web-1/" + strings.Repeat("x", 3000)} {
		if w := f.ask("GET", Base+path, f.reads, ""); w.Code != http.StatusNotFound || problemIn(t, w).Kind() != "unknown-object" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestBackup(t *testing.T) {
	f := newFixture(t)
	s := f.server()
	path := Base + "/store/backup"
	if w := f.ask("GET", path, f.reads, ""); w.Code != http.StatusForbidden {
		t.Errorf("who may only read gets %d: %s", w.Code, w.Body)
	}
	w := f.ask("GET", path, f.writes, "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != BackupType || w.Body.String() != apitest.Store {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
	if es, _ := f.fake.Events(t.Context(), 0, 10); len(es) != 1 || es[0].By != "token operator" {
		t.Errorf("it is not recorded who asked: %v", es)
	}
	if w := f.ask("HEAD", path, f.writes, ""); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", w.Code, w.Body)
	}
	f.fake.Break(fmt.Errorf("%w: it is kept elsewhere", controller.ErrNoBackup))
	if p := problemIn(t, f.ask("GET", path, f.writes, "")); p.Status != http.StatusConflict || p.Kind() != "refused" {
		t.Errorf("%+v", p)
	}
	// What breaks off in the middle does not look whole.
	f.fake.Break(errors.New("the disk is bad"))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.writes)
	if res, err := http.DefaultClient.Do(r); err == nil {
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("a broken copy arrives as a whole one: %q", b)
		}
	}
	f.fake.Break(nil)
	for range maxBackups {
		f.backups <- struct{}{}
	}
	if p := problemIn(t, f.ask("GET", path, f.writes, "")); p.Status != http.StatusServiceUnavailable || p.Kind() != "too-many-streams" {
		t.Errorf("%+v", p)
	}
}
