package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/evenkeel/evenkeel/controller/api/metrics"
)

// meter counts what the API does, and holds the registry of all metrics.
type meter struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	failures   prometheus.Counter
	deliveries *prometheus.CounterVec
	streams    prometheus.Gauge
}

// noRoute is the route of requests that no route of the table is for: a path that a
// stranger made up must not become a label.
const noRoute = "none"

func newMeter(o Options) (*meter, error) {
	m := &meter{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evenkeel_http_requests_total", Help: "Requests answered, by route."},
			[]string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "evenkeel_http_request_duration_seconds", Help: "How long requests took, by route; streams of events are left out.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60}}, []string{"route"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "evenkeel_http_authentication_failures_total",
			Help: "Requests refused because the token or signature that they brought is not valid."}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evenkeel_webhook_deliveries_total", Help: "Hooks, by sender and by what came of them."},
			[]string{"sender", "result"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "evenkeel_event_streams", Help: "Streams of events that are open."}),
	}
	all := append([]prometheus.Collector{m.requests, m.duration, m.failures, m.deliveries, m.streams,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.New(o.Controller.Snapshot, o.Build.Version, o.Build.Commit)}, o.Collectors...)
	for _, c := range all {
		if err := m.registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func metricsPage(a *API, w http.ResponseWriter, r *http.Request, _ Principal) error {
	promhttp.HandlerFor(a.meter.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 30 * time.Second}).ServeHTTP(w, r)
	return nil
}

func (m *meter) failed() { m.failures.Inc() }

func (m *meter) hook(sender, result string) { m.deliveries.WithLabelValues(sender, result).Inc() }

// request counts one request: the returned writer stands in for w, and done is called
// at its end.
func (m *meter) request(w http.ResponseWriter, r *http.Request, route *Route) (http.ResponseWriter, func()) {
	rec := &recorder{ResponseWriter: w}
	began := time.Now()
	return rec, func() {
		name := noRoute
		if route != nil {
			name = route.Path
		}
		m.requests.WithLabelValues(name, strconv.Itoa(rec.status())).Inc()
		if r.URL.Query().Get("follow") == "" {
			m.duration.WithLabelValues(name).Observe(time.Since(began).Seconds())
		}
	}
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && code >= http.StatusOK {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) status() int {
	if r.code == 0 {
		return 499 // the client went away before there was an answer
	}
	return r.code
}
