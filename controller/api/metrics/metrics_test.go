package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/apitest"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

func TestConventions(t *testing.T) {
	f := apitest.New()
	f.Begin("r1")
	problems, err := testutil.CollectAndLint(New(f.Snapshot, "1", "2"))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v: %v", problems, err)
	}
}

func TestWhatIsTold(t *testing.T) {
	f := apitest.New()
	f.Begin("r1")
	f.Step("web-1", rollout.PhaseDrain)
	f.Change(func(s *controller.Snapshot) {
		s.Suspensions = []controller.Suspension{{Host: "web-1"}, {Service: "gateway"}, {}}
		s.Drains = []controller.HandDrain{{Host: "db-1"}}
	})
	c := New(f.Snapshot, "1.2.3", "")
	c.now = func() time.Time { return f.Snapshot().Source.Committed.Add(90 * time.Second) }
	want := `
# HELP evenkeel_drift Differences between hosts and the revision last applied to them, by class.
# TYPE evenkeel_drift gauge
evenkeel_drift{class="corrective"} 0
evenkeel_drift{class="flapping"} 0
evenkeel_drift{class="foreign"} 0
evenkeel_drift{class="stale"} 1
# HELP evenkeel_hand_drains Hosts that an operator took out of traffic through the controller.
# TYPE evenkeel_hand_drains gauge
evenkeel_hand_drains 1
# HELP evenkeel_host_reachable 1 where the host answered the last look.
# TYPE evenkeel_host_reachable gauge
evenkeel_host_reachable{host="db-1"} 0
evenkeel_host_reachable{host="web-1"} 1
evenkeel_host_reachable{host="web-2"} 1
# HELP evenkeel_instances Instances of a service, by how they compare with git and how they serve.
# TYPE evenkeel_instances gauge
evenkeel_instances{health="Degraded",service="gateway",sync="OutOfSync"} 1
evenkeel_instances{health="Healthy",service="gateway",sync="Synced"} 1
evenkeel_instances{health="Unknown",service="db",sync="Unknown"} 1
# HELP evenkeel_observation_duration_seconds How long the last look at the host took.
# TYPE evenkeel_observation_duration_seconds gauge
evenkeel_observation_duration_seconds{host="db-1"} 1
evenkeel_observation_duration_seconds{host="web-1"} 0.04
# HELP evenkeel_queue_depth Work that waits, by kind.
# TYPE evenkeel_queue_depth gauge
evenkeel_queue_depth{queue="hosts"} 1
# HELP evenkeel_revision_age_seconds How long ago the desired revision was committed.
# TYPE evenkeel_revision_age_seconds gauge
evenkeel_revision_age_seconds 90
# HELP evenkeel_rollout_in_progress 1 while a rollout is under way.
# TYPE evenkeel_rollout_in_progress gauge
evenkeel_rollout_in_progress 1
# HELP evenkeel_stale_instances Instances of which a process runs with older inputs than those on disk.
# TYPE evenkeel_stale_instances gauge
evenkeel_stale_instances{service="db"} 0
evenkeel_stale_instances{service="gateway"} 1
# HELP evenkeel_suspensions What is not to be touched, by kind: host, service or fleet.
# TYPE evenkeel_suspensions gauge
evenkeel_suspensions{kind="fleet"} 1
evenkeel_suspensions{kind="host"} 1
evenkeel_suspensions{kind="service"} 1
`
	err := testutil.CollectAndCompare(c, strings.NewReader(want), "evenkeel_drift", "evenkeel_hand_drains", "evenkeel_host_reachable", "evenkeel_instances", "evenkeel_observation_duration_seconds",
		"evenkeel_queue_depth", "evenkeel_revision_age_seconds", "evenkeel_rollout_in_progress", "evenkeel_stale_instances", "evenkeel_suspensions")
	if err != nil {
		t.Error(err)
	}
	if got := phase(t, c, "drain"); got != 1 {
		t.Errorf("%v hosts drain", got)
	}
}

// phase is how many hosts of the rollout are in a phase.
func phase(t *testing.T, c prometheus.Collector, name string) float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "evenkeel_rollout_phase" && m.GetLabel()[0].GetValue() == name {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no phase %q", name)
	return 0
}

func TestEveryPhaseIsCounted(t *testing.T) {
	f := apitest.New()
	f.Begin("r1")
	c := New(f.Snapshot, "", "")
	if got := phase(t, c, "waiting"); got != 2 {
		t.Errorf("%v wait", got)
	}
	for _, p := range phases {
		f.Step("web-1", p)
		if got := phase(t, c, string(p)); got != 1 {
			t.Errorf("%v in %s", got, p)
		}
	}
	f.Step("web-1", rollout.PhaseEnded)
	f.End(controller.Halted)
	if got := phase(t, c, "waiting"); got != 0 {
		t.Errorf("%v wait although it is over", got)
	}
	f.Change(func(s *controller.Snapshot) {
		r := *s.Rollout
		r.State.Visits[0].Drained = []hostdriver.DrainRecord{{Service: "gateway"}}
		s.Rollout = &r
	})
	if err := testutil.CollectAndCompare(c, strings.NewReader("# HELP evenkeel_left_drained Visits that ended with an instance still out of traffic through our doing.\n# TYPE evenkeel_left_drained gauge\nevenkeel_left_drained 1\n"), "evenkeel_left_drained"); err != nil {
		t.Error(err)
	}
}

func TestNothingKnownYet(t *testing.T) {
	if got := testutil.CollectAndCount(New(func() *controller.Snapshot { return nil }, "", "")); got != 1 {
		t.Errorf("%d metrics, want build_info alone", got)
	}
}

func BenchmarkTenThousandHosts(b *testing.B) {
	f := apitest.New()
	f.Change(func(s *controller.Snapshot) {
		s.Observed = map[string]controller.Glance{}
		for i := range 10_000 {
			name := "h" + strings.Repeat("x", i%7) + time.Duration(i).String()
			s.Hosts = append(s.Hosts, controller.HostStatus{Name: name, Reachable: true})
			s.Instances = append(s.Instances, controller.InstanceStatus{Host: name, Service: "gateway", Sync: controller.Synced, Health: controller.Healthy})
			s.Observed[name] = controller.Glance{At: time.Now(), Took: time.Millisecond}
		}
	})
	r := prometheus.NewRegistry()
	r.MustRegister(New(f.Snapshot, "", ""))
	for b.Loop() {
		if _, err := r.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
