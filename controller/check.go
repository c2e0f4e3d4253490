package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// HostCheck is what was found on the way to one host, and there.
type HostCheck struct {
	Host      string    `json:"host"`
	Items     []Checked `json:"items"`
	Balancers []Checked `json:"balancers"`
}

// OK tells whether nothing is bad; warnings may be left.
func (h HostCheck) OK() bool {
	for _, c := range append(append([]Checked{}, h.Items...), h.Balancers...) {
		if c.Verdict == Bad {
			return false
		}
	}
	return true
}

// Checked is one thing that was looked at.
type Checked struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail,omitempty"`
	Mend    string  `json:"mend,omitempty"`
}

// Verdict is what came of a check.
type Verdict string

// The verdicts. NotKnown is of what could not be looked at, for something before it
// was bad.
const (
	Good     Verdict = "ok"
	Warn     Verdict = "warning"
	Bad      Verdict = "bad"
	NotKnown Verdict = "unknown"
)

// CheckNames are the checks of a host, in the order in which each needs those before.
var CheckNames = []string{"reach", "host key", "login", "become", "systemd", "disk", "clock"}

// onTheWay is how many of them are about the way to the host.
const onTheWay = 4

// failedAt tells which check an error of the driver is about.
var failedAt = map[hostdriver.ErrorKind]int{
	hostdriver.Unreachable: 0, hostdriver.HostKey: 1, hostdriver.Unauthorized: 2, hostdriver.Become: 3,
	hostdriver.Failed: 4, hostdriver.Unknown: 4, hostdriver.Refused: 4,
}

// Limits of what is well.
const (
	warnRoom    = 1 << 30 // bytes
	leastRoom   = 64 << 20
	leastInodes = 1000
	warnSkew    = 5 * time.Second
)

var checkedDirs = []string{"/var/lib", "/opt"}

// Check goes to every host that was asked for, at once, and tells what is in the
// way of working there. It changes nothing.
func (f *Fleet) Check(ctx context.Context) ([]HostCheck, error) {
	var hosts []inventory.Host
	for _, h := range f.hosts() {
		if matches(f.Hosts, h.Name) {
			hosts = append(hosts, h)
		}
	}
	out := make([]HostCheck, len(hosts))
	var g errgroup.Group
	g.SetLimit(f.concurrency())
	for i, h := range hosts {
		g.Go(func() error {
			out[i] = f.checkHost(ctx, h)
			return nil
		})
	}
	_ = g.Wait()
	return out, context.Cause(ctx)
}

func (f *Fleet) checkHost(ctx context.Context, h inventory.Host) HostCheck {
	c := HostCheck{Host: h.Name, Balancers: []Checked{}}
	limited, cancel := context.WithTimeout(ctx, f.observeTimeout())
	defer cancel()
	o, err := f.Driver.Observe(limited, h, hostdriver.Query{Disk: checkedDirs})
	if err != nil {
		c.Items = failedItems(err, h)
	} else {
		c.Items = observedItems(o)
	}
	hs, _ := f.Revision.Resolve(ctx, h) // what cannot be resolved is validate's to tell
	for i := range hs.Instances {
		if !matches(f.Services, hs.Instances[i].Service) {
			continue
		}
		for _, spec := range hs.Instances[i].Drain {
			if spec.None == nil {
				c.Balancers = append(c.Balancers, f.checkBalancer(ctx, spec, h, onlooker(o)))
			}
		}
	}
	return c
}

// failedItems are the checks up to the one that failed. Its name tells the kind of the
// error, as far as the way to the host goes.
func failedItems(err error, h inventory.Host) []Checked {
	at := failedAt[hostdriver.KindOf(err)]
	var he *hostdriver.Error
	tried := !errors.As(err, &he) || !he.Here
	detail := reasonOf(err)
	if he != nil && at < onTheWay {
		detail = he.Err.Error()
	}
	items := make([]Checked, len(CheckNames))
	for i, name := range CheckNames {
		items[i] = Checked{Name: name, Verdict: NotKnown}
		if i < at && tried {
			items[i].Verdict = Good
		}
	}
	items[at].Verdict, items[at].Detail, items[at].Mend = Bad, detail, mendFor(err, h)
	return items
}

func observedItems(o hostdriver.Observation) []Checked {
	items := make([]Checked, 0, len(CheckNames))
	for _, name := range CheckNames[:onTheWay] {
		items = append(items, Checked{Name: name, Verdict: Good})
	}
	systemd := Checked{Name: CheckNames[4], Verdict: Good, Detail: o.Systemd}
	if o.Systemd == "" {
		systemd.Verdict, systemd.Detail, systemd.Mend = Bad, "the host did not name a version of systemd", "does systemctl --version work there? evenkeel needs systemd as PID 1"
	}
	return append(items, systemd, checkDisk(o), checkClock(o))
}

// checkDisk judges the worse of the places that evenkeel and artifacts need.
func checkDisk(o hostdriver.Observation) Checked {
	worst, least := Checked{Name: CheckNames[5], Verdict: NotKnown}, int64(0)
	for _, dir := range checkedDirs {
		d, ok := o.Disk[dir]
		if !ok {
			continue
		}
		c := judgeRoom(dir, d)
		c.Name = worst.Name
		if by := weight[c.Verdict] - weight[worst.Verdict]; by > 0 || by == 0 && d.FreeBytes < least {
			worst, least = c, d.FreeBytes
		}
	}
	return worst
}

var weight = map[Verdict]int{NotKnown: 0, Good: 1, Warn: 2, Bad: 3}

func judgeRoom(dir string, d hostdriver.DiskState) Checked {
	room := fmt.Sprintf("%s free in %s", bytesWords(d.FreeBytes), dir)
	switch {
	case d.ReadOnly:
		return Checked{Verdict: Bad, Detail: dir + " is on a filesystem that is mounted read-only", Mend: "dmesg | tail; then mount -o remount,rw its filesystem"}
	case d.FreeBytes < leastRoom:
		return Checked{Verdict: Bad, Detail: room, Mend: "make room there: du -xh --max-depth=2 " + dir + " | sort -h | tail"}
	case d.FreeInodes >= 0 && d.FreeInodes < leastInodes:
		return Checked{Verdict: Bad, Detail: fmt.Sprintf("%d inodes free in %s", d.FreeInodes, dir), Mend: "remove files there: df -i " + dir}
	case d.FreeBytes < warnRoom:
		return Checked{Verdict: Warn, Detail: room}
	}
	return Checked{Verdict: Good, Detail: bytesWords(d.FreeBytes) + " free"}
}

func bytesWords(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// checkClock compares the host's clock with ours, at the middle of the reading.
func checkClock(o hostdriver.Observation) Checked {
	c := Checked{Name: CheckNames[6], Verdict: Good}
	if o.Clock.IsZero() {
		c.Verdict = NotKnown
		return c
	}
	skew := o.Clock.Sub(o.At.Add(-o.Took / 2))
	if skew.Abs() <= max(warnSkew, o.Took) {
		return c
	}
	c.Verdict, c.Detail = Warn, fmt.Sprintf("%s ahead of this machine's clock", skew.Round(time.Second))
	if skew < 0 {
		c.Detail = fmt.Sprintf("%s behind this machine's clock", (-skew).Round(time.Second))
	}
	c.Mend = "timedatectl on both; which of them is not synchronised?"
	return c
}

func (f *Fleet) checkBalancer(ctx context.Context, spec desired.DrainSpec, h inventory.Host, fence hostdriver.Fence) Checked {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	t := f.balancer(ctx, spec, h, fence)
	c := Checked{Name: t.Balancer, Verdict: Good, Detail: t.State, Mend: t.Mend}
	switch {
	case t.Err != nil:
		c.Verdict, c.Detail = Bad, t.Err.Error()
		c.Mend = cmp.Or(c.Mend, "is what the service says under drain right, and does the balancer answer there?")
	case !t.OK:
		c.Verdict = Warn
	}
	return c
}
