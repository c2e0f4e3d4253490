package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// Scenario is a run as data: the fleet, what is pushed, and what befalls it. The same
// Scenario always runs the same way.
type Scenario struct {
	Seed uint64 `json:"seed"` // of delays on the network, and nothing else
	// Profile names what kinds of faults there are; see generate.go.
	Profile  string    `json:"profile"`
	Hosts    int       `json:"hosts"`
	Fresh    bool      `json:"fresh,omitempty"`   // nothing is deployed at first
	Racks    int       `json:"racks,omitempty"`   // hosts are spread over so many; 0: no host has the label
	Patient  bool      `json:"patient,omitempty"` // the operator waits until windows open
	Services []Service `json:"services"`
	// Revisions are pushed one after another: the first is what runs at the beginning.
	Revisions []Revision `json:"revisions"`
	Faults    []Fault    `json:"faults"`
}

// Service is one service's shape, the same in every Revision.
type Service struct {
	Name     string   `json:"name"`
	Hosts    []int    `json:"hosts"`
	After    []string `json:"after,omitempty"`
	Balanced bool     `json:"balanced"` // behind the balancer
	Notify   bool     `json:"notify,omitempty"`
	Worker   bool     `json:"worker,omitempty"` // a second unit
	Reloads  bool     `json:"reloads,omitempty"`
	Migrates bool     `json:"migrates,omitempty"` // each program but the first brings a hook that runs once
	Again    bool     `json:"again,omitempty"`    // that hook may be run again
	Sessions int      `json:"sessions,omitempty"` // open on each instance at any time
	Lasting  int      `json:"lasting,omitempty"`  // seconds that the longest of them goes on
	Strategy Strategy `json:"strategy"`
}

// Strategy is desired.Strategy in short.
type Strategy struct {
	MaxUnavailable   string   `json:"maxUnavailable"`
	MinHealthy       string   `json:"minHealthy,omitempty"`
	Batches          []string `json:"batches,omitempty"`
	MinHealthyTime   int      `json:"minHealthyTime"` // in seconds, as all of these
	HealthyDeadline  int      `json:"healthyDeadline"`
	ProgressDeadline int      `json:"progressDeadline"`
	DrainTimeout     int      `json:"drainTimeout"`
	AutoRevert       bool     `json:"autoRevert"`
	Order            string   `json:"order,omitempty"`
	OnUnreachable    string   `json:"onUnreachable,omitempty"`
	Canary           string   `json:"canary,omitempty"`
	Promote          string   `json:"promote,omitempty"`      // of canaries: see the constants
	PromoteAfter     int      `json:"promoteAfter,omitempty"` // that long after they were found healthy
	Spread           bool     `json:"spread,omitempty"`       // over the racks
	Windows          []Window `json:"windows,omitempty"`
}

// How canaries are promoted.
const (
	promoteItself = ""        // by themselves
	promoteByHand = "by hand" // by the operator
	promoteNever  = "never"   // the operator gives up, as long as faults happen
)

// rackLabel is the label of hosts over which services are spread.
const rackLabel = "rack"

// Revision is one commit.
type Revision struct {
	Services []Content `json:"services"` // by the service's place in Scenario.Services
	// Empty wants nothing anywhere.
	Empty bool `json:"empty,omitempty"`
}

// Content is what a Revision has of one service, by version numbers.
type Content struct {
	Unit    int `json:"unit"`
	Env     int `json:"env"`
	Config  int `json:"config"`
	Program int `json:"program"`
	// Gone: the service is not wanted (any more).
	Gone      bool `json:"gone,omitempty"`
	Suspended bool `json:"suspended,omitempty"`
	// Bad is how its process behaves; it comes with the element named by BadIn ("unit",
	// "env", "config", "program").
	Bad   *world.Conduct `json:"bad,omitempty"`
	BadIn string         `json:"badIn,omitempty"`
}

// rack is that of a host, "" where there are none.
func (sc *Scenario) rack(host int) string {
	if sc.Racks == 0 {
		return ""
	}
	return "rack-" + strconv.Itoa(host%sc.Racks+1)
}

// conduct is how a bad process behaves.
type conduct = world.Conduct

func hostName(i int) string { return "h" + strconv.Itoa(i+1) }

func revisionID(i int) string { return fmt.Sprintf("r%d", i+1) }

// revisionNumber is the place of a revision in history, or -1.
func revisionNumber(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "r"))
	if err != nil {
		return -1
	}
	return n - 1
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// count reads "2" and "25%".
func count(s string) desired.IntOrPercent {
	digits, percent := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return desired.IntOrPercent{}
	}
	return desired.IntOrPercent{Value: n, Percent: percent, Set: true}
}

func (s Strategy) desired() desired.Strategy {
	d := desired.Strategy{
		MaxUnavailable: count(s.MaxUnavailable), MinHealthy: count(s.MinHealthy),
		MinHealthyTime: seconds(s.MinHealthyTime), HealthyDeadline: seconds(s.HealthyDeadline),
		ProgressDeadline: seconds(s.ProgressDeadline), DrainTimeout: seconds(s.DrainTimeout),
		AutoRevert: s.AutoRevert, Order: s.Order, OnUnreachable: s.OnUnreachable,
	}
	if d.Order == "" {
		d.Order = "unhealthy-first"
	}
	if d.OnUnreachable == "" {
		d.OnUnreachable = "count"
	}
	for _, b := range s.Batches {
		d.Batches = append(d.Batches, count(b))
	}
	if s.Canary != "" {
		d.Canary = count(s.Canary)
		d.Promote = desired.Promote{Set: true}
		if s.Promote == promoteItself {
			d.Promote.Auto, d.Promote.After = true, seconds(s.PromoteAfter)
		}
	}
	if s.Spread {
		d.Spread = rackLabel
	}
	for _, w := range s.Windows {
		d.Windows = append(d.Windows, w.desired())
	}
	return d
}

// allowed is how many of total instances may be down at once, reckoned apart from the
// engine: maxUnavailable, percentages rounded down but at least 1; never below
// minHealthy, percentages rounded up.
func (s Strategy) allowed(total int) int {
	n := 1
	if c := count(s.MaxUnavailable); c.Set {
		n = c.Value
		if c.Percent {
			n = c.Value * total / 100
		}
		n = max(1, n)
	}
	if c := count(s.MinHealthy); c.Set {
		floor := c.Value
		if c.Percent {
			floor = (c.Value*total + 99) / 100
		}
		n = min(n, total-floor)
	}
	return n
}
