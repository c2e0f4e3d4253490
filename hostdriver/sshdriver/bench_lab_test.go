package sshdriver

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// BenchmarkReading measures readings of a real host with three services, against the
// floor: the bare commands that nobody who wants to know as much can do without, in one
// exec. The two take turns, so that a busy machine slows both.
func BenchmarkReading(b *testing.B) {
	if os.Getenv("EVENKEEL_LAB") == "off" {
		b.Skip("EVENKEEL_LAB=off: no real hosts")
	}
	l := newLab(b, 2)
	for i, user := range []string{"root", "deploy"} {
		s := newBenchHost(b, l, l.Hosts()[i], user)
		s.deploy(1)
		for _, kind := range []string{"full", "light"} {
			b.Run(user+"/"+kind, func(b *testing.B) { s.reading(b, kind) })
		}
	}
}

// BenchmarkOps measures each op on a real host.
func BenchmarkOps(b *testing.B) {
	if os.Getenv("EVENKEEL_LAB") == "off" {
		b.Skip("EVENKEEL_LAB=off: no real hosts")
	}
	l := newLab(b, 2)
	for i, user := range []string{"root", "deploy"} {
		s := newBenchHost(b, l, l.Hosts()[i], user)
		s.deploy(1)
		for _, op := range []hostdriver.Op{
			hostdriver.Precheck{NeedBytes: map[string]int64{"/etc": 1}, Units: s.query.Units}, s.stage, hostdriver.Switch{To: 1}, hostdriver.PutStep{},
			hostdriver.ClearStep{}, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: s.query.Units[0], Verb: hostdriver.VerbRestart, Generation: 1}}},
			hostdriver.Run{Line: "true"},
		} {
			b.Run(user+"/"+strings.ReplaceAll(hostdriver.OpName(op), " ", "-"), func(b *testing.B) {
				s.apply(op) // the first of a kind also brings its functions
				used := s.cpu()
				for b.Loop() {
					s.apply(op)
				}
				b.ReportMetric(float64((s.cpu()-used).Microseconds())/1000/float64(b.N), "host-cpu-ms")
			})
		}
	}
}

type benchHost struct {
	b      *testing.B
	driver *Driver
	host   *lab.Host
	stage  hostdriver.Stage
	query  hostdriver.Query
	floor  string
}

func newBenchHost(b *testing.B, l *lab.Lab, host *lab.Host, user string) *benchHost {
	s := &benchHost{b: b, driver: newLabDriver(b, l, user), host: host, query: hostdriver.Query{Salt: "salt", Users: []string{"root"}, Groups: []string{"root"}},
		stage: hostdriver.Stage{Manifest: hostdriver.Manifest{Generation: 1, Revision: "bench"}, Blobs: map[string]hostdriver.Content{}}}
	var units, files []string
	for i := range 3 {
		unit := fmt.Sprintf("bench%d.service", i)
		vars := map[string]string{"A": fmt.Sprint(i), "B": "foo", "C": "bar"}
		files = append(files, s.file("/etc/systemd/system/"+unit, fmt.Sprintf("[Service]\nEnvironmentFile=/etc/bench/%d.env\nExecStart=/bin/sleep 100000\n[Install]\nWantedBy=multi-user.target\n", i)),
			s.file(fmt.Sprintf("/etc/bench/%d.env", i), fmt.Sprintf("A=%d\nB=foo\nC=bar\n", i)), s.file(fmt.Sprintf("/etc/bench/%d.json", i), fmt.Sprint(i)))
		s.stage.Manifest.Entries = append(s.stage.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindUnit, Service: "s", Name: unit, Enabled: "yes", State: "started"})
		s.query.Units = append(s.query.Units, unit)
		s.query.Env = append(s.query.Env, hostdriver.EnvQuery{Unit: unit, Keys: []string{"A", "B", "C"}, Digest: hostdriver.EnvDigest("salt", vars)})
		units = append(units, unit)
	}
	r := releaseOf("/opt/bench/.releases/app", hostdriver.FormFile, slices.Repeat([]byte("release "), 1<<20))
	s.stage.Releases = []hostdriver.Release{r}
	s.stage.Manifest.Entries = append(s.stage.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindRelease, Service: "s", Name: r.Path, SHA256: r.SHA256},
		hostdriver.Entry{Kind: hostdriver.KindLink, Service: "s", Name: "/opt/bench/app", Target: r.Path})
	s.query.Paths = append(s.query.Paths, hostdriver.PathQuery{Path: r.Path, SHA256: r.SHA256}, hostdriver.PathQuery{Path: "/opt/bench/app"})
	s.floor = "systemctl show " + strings.Join(units, " ") + "; sha256sum " + strings.Join(files, " ") + "; stat " + strings.Join(files, " ") + " /opt/bench/app " + r.Path
	return s
}

// cpu is the CPU time that the host has used: other work on the machine blurs it less than
// it blurs the time that passes.
func (s *benchHost) cpu() time.Duration {
	text, err := s.host.ReadFile("/sys/fs/cgroup/cpu.stat")
	if err != nil {
		s.b.Fatal(err)
	}
	var us int64
	if _, err := fmt.Sscanf(string(text), "usage_usec %d", &us); err != nil {
		s.b.Fatal(err)
	}
	return time.Duration(us) * time.Microsecond
}

func (s *benchHost) file(path, text string) string {
	c := hostdriver.NewContent([]byte(text))
	s.stage.Blobs[c.SHA256()] = c
	s.stage.Manifest.Entries = append(s.stage.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindFile, Service: "s", Name: path, SHA256: c.SHA256(), Owner: "root", Group: "root", Mode: 0o644})
	s.query.Paths = append(s.query.Paths, hostdriver.PathQuery{Path: path, SHA256: c.SHA256(), MaxContent: 65536})
	return path
}

func (s *benchHost) apply(op hostdriver.Op) {
	if _, err := s.driver.Apply(context.Background(), labHost(s.host), hostdriver.Fence{Epoch: 1, Holder: "bench"}, op); err != nil {
		s.b.Fatal(err)
	}
}

func (s *benchHost) deploy(generation uint64) {
	s.apply(s.stage)
	s.apply(hostdriver.Switch{To: generation})
	var actions []hostdriver.UnitAction
	for _, u := range s.query.Units {
		actions = append(actions, hostdriver.UnitAction{Unit: u, Verb: hostdriver.VerbRestart, Generation: generation})
	}
	s.apply(hostdriver.UnitOps{Actions: actions})
}

// reading reports the median of readings, and how many times the floor's that is.
func (s *benchHost) reading(b *testing.B, kind string) {
	q := s.query
	if kind == "light" {
		q = hostdriver.Query{Light: true, Units: s.query.Units}
	}
	conn, err := s.driver.Pool().Conn(context.Background(), TargetFor(labHost(s.host)))
	if err != nil {
		b.Fatal(err)
	}
	line, err := conn.BecomeLine("/bin/sh", "-c", s.floor)
	if err != nil {
		b.Fatal(err)
	}
	var floors, readings []time.Duration
	var floorCPU, readingCPU time.Duration
	for b.Loop() {
		start := s.cpu()
		begun := time.Now()
		if r, err := conn.Exec(context.Background(), Command{Line: line}); err != nil || r.Exit != 0 {
			b.Fatalf("%v %s", err, r.Stderr)
		}
		floors = append(floors, time.Since(begun))
		between := s.cpu()
		begun = time.Now()
		if _, err := s.driver.Observe(context.Background(), labHost(s.host), q); err != nil {
			b.Fatal(err)
		}
		readings = append(readings, time.Since(begun))
		floorCPU, readingCPU = floorCPU+between-start, readingCPU+s.cpu()-between
	}
	slices.Sort(floors)
	slices.Sort(readings)
	floor, reading := floors[len(floors)/2], readings[len(readings)/2]
	b.ReportMetric(float64(floor.Microseconds())/1000, "floor-ms")
	b.ReportMetric(float64(reading.Microseconds())/1000, "reading-ms")
	b.ReportMetric(float64(reading)/float64(floor), "x-floor")
	b.ReportMetric(float64(readingCPU.Microseconds())/1000/float64(b.N), "host-cpu-ms")
	b.ReportMetric(float64(readingCPU)/float64(floorCPU), "x-floor-cpu")
}
