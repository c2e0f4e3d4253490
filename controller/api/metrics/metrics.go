package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// Collector collects from one snapshot a scrape.
type Collector struct {
	snapshot func() *controller.Snapshot
	now      func() time.Time
	build    prometheus.Metric
}

// New makes a Collector of what snapshot returns, which may be nil at first.
func New(snapshot func() *controller.Snapshot, version, commit string) *Collector {
	return &Collector{snapshot: snapshot, now: time.Now,
		build: prometheus.MustNewConstMetric(buildInfo, prometheus.GaugeValue, 1, orUnknown(version), orUnknown(commit), runtime.Version())}
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// Describe names all metrics.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range all {
		ch <- d
	}
}

// Collect reads one snapshot.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ch <- c.build
	s := c.snapshot()
	if s == nil {
		return
	}
	g := gatherer{ch: ch, s: s, now: c.now()}
	g.fleet()
	g.source()
	g.hosts()
	g.instances()
	g.drift()
	g.rollout()
	g.secrets()
	g.queue()
}

// gatherer is one scrape.
type gatherer struct {
	ch  chan<- prometheus.Metric
	s   *controller.Snapshot
	now time.Time
}

func (g gatherer) gauge(d *prometheus.Desc, v float64, labels ...string) {
	g.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// since is a moment as Prometheus has it; one that never was is left out.
func (g gatherer) moment(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		g.gauge(d, float64(t.UnixMilli())/1000, labels...)
	}
}

func (g gatherer) fleet() {
	g.moment(snapshotTime, g.s.At)
	g.moment(lastSuccess, g.s.LastSuccess)
	for _, c := range g.s.Conditions {
		for _, st := range []controller.ConditionStatus{controller.True, controller.False, controller.Unknown} {
			g.gauge(condition, truth(c.Status == st), c.Type, string(st))
		}
	}
	suspended := map[string]int{"fleet": 0, "host": 0, "service": 0}
	for _, p := range g.s.Suspensions {
		switch {
		case p.Host != "":
			suspended["host"]++
		case p.Service != "":
			suspended["service"]++
		default:
			suspended["fleet"]++
		}
	}
	for kind, n := range suspended {
		g.gauge(suspensions, float64(n), kind)
	}
	g.gauge(handDrains, float64(len(g.s.Drains)))
}

func (g gatherer) source() {
	src := g.s.Source
	g.gauge(sourceUp, truth(src.Error == "" && !src.Fetched.IsZero()))
	g.moment(sourceFetched, src.Fetched)
	if src.Revision != "" {
		g.gauge(revisionInfo, 1, src.Revision)
	}
	if !src.Committed.IsZero() {
		g.gauge(revisionAge, max(0, g.now.Sub(src.Committed).Seconds()))
	}
}

func (g gatherer) hosts() {
	for _, h := range g.s.Hosts {
		g.gauge(hostReachable, truth(h.Reachable), h.Name)
		g.gauge(hostSuspended, truth(h.Suspended), h.Name)
		if o, ok := g.s.Observed[h.Name]; ok {
			g.gauge(hostWatched, truth(o.Watched), h.Name)
			g.gauge(observationTook, o.Took.Seconds(), h.Name)
			g.moment(observationTime, o.At, h.Name)
		}
	}
}

func (g gatherer) instances() {
	type kind struct {
		service string
		sync    controller.Sync
		health  controller.Health
	}
	counts, behind := map[kind]int{}, map[string]int{}
	for _, i := range g.s.Instances {
		counts[kind{i.Service, i.Sync, i.Health}]++
		stale := 0
		if i.Stale {
			stale = 1
		}
		behind[i.Service] += stale
	}
	for k, n := range counts {
		g.gauge(instances, float64(n), k.service, string(k.sync), string(k.health))
	}
	for service, n := range behind {
		g.gauge(staleInstances, float64(n), service)
	}
}

func (g gatherer) drift() {
	counts := map[controller.DriftClass]int{controller.DriftCorrective: 0, controller.DriftStale: 0, controller.DriftForeign: 0, controller.DriftFlapping: 0}
	for _, d := range g.s.Drift {
		counts[d.Class]++
	}
	for class, n := range counts {
		g.gauge(drift, float64(n), string(class))
	}
}

// secrets are those that the fleet declares.
func (g gatherer) secrets() {
	for _, s := range g.s.Secrets {
		g.moment(secretMade, s.Made, s.Secret)
		g.moment(secretDue, s.Due, s.Secret)
		g.gauge(secretOverdue, truth(s.Overdue), s.Secret)
		behind := 0
		if s.Rotates {
			behind = len(s.Behind())
			for _, p := range []rollout.RotationPhase{rollout.RotationStage, rollout.RotationRoll, rollout.RotationVerify, rollout.RotationRevoke, rollout.RotationDone} {
				g.gauge(secretPhase, truth(s.Phase == p), s.Secret, string(p))
			}
		}
		g.gauge(secretBehind, float64(behind), s.Secret)
	}
}

// queue is what waits to be done, by kind.
func (g gatherer) queue() {
	for name, n := range g.s.Queue {
		g.gauge(queueDepth, float64(n), name)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
