package controller

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// Options are what a Controller is made of. What has no default must be given.
type Options struct {
	// Name is how hosts know the controller: it stands in their claims, so it must stay
	// the same over restarts, and be no other controller's.
	Name string
	Git  Git
	// Load decodes a commit's files.
	Load func(ctx context.Context, files fs.FS, commit string) (desired.Revision, error)
	// Adopt is told of each Revision before any host of it is contacted, and may lay
	// settings under those of its hosts. May be nil.
	Adopt  func(*desired.Revision)
	Driver hostdriver.Driver
	// Watcher sees changes on hosts at once; nil: they are polled.
	Watcher hostdriver.Watcher
	Store   store.Store
	Log     zerolog.Logger

	Poll        time.Duration // how often git is asked; default 1m
	Concurrency int           // hosts talked to at once; default 64
	Drift       DriftOptions
	HealthEvery time.Duration // how often health checks and balancers are asked while nothing is done; default 15s
	PollHosts   time.Duration // how often a host that is not watched is looked at; default 30s
	// StopWithin is how long the hosts in hand may take to be finished once Run is to
	// end; default 2m. What is not finished then is resumed at the next start.
	StopWithin time.Duration
	// TakeOver lets it change hosts that another controller claims.
	TakeOver bool
	// ReadOnly, where set, is why nothing may be changed: a store that cannot be read.
	ReadOnly  string
	Retention Retention
}

// DriftOptions are what is done about drift, and when.
type DriftOptions struct {
	// Report changes nothing: drift is shown only. A new revision is still rolled out.
	Report   bool
	Schedule string           // cron; default every 5 minutes
	Ignore   []rollout.Ignore // differences that are left as they are
}

// Retention is how much history is kept.
type Retention struct {
	Events, Revisions, Rollouts int // defaults 10000, 1000, 1000
	// RolloutBytes is how much room the rollouts of the past may take that are kept whole,
	// packed; default 32 MiB. Of older ones, what came of them is known.
	RolloutBytes int
}

// Git is the source of revisions: a bare repository that is fetched.
type Git interface {
	// Fetch asks the server for the branch's newest commit. An error leaves all as it was.
	Fetch(ctx context.Context) (tip string, err error)
	// Verify tells who signed a commit; an error where nobody did whom signers name.
	// Where no signers are set, signer is "" and all is well.
	Verify(ctx context.Context, commit string) (signer string, err error)
	// Descends tells whether to is from, or comes after it.
	Descends(ctx context.Context, from, to string) (bool, error)
	Describe(ctx context.Context, commit string) (CommitInfo, error)
	Files(ctx context.Context, commit string) (fs.FS, error)
	URL() string // without any password
	Branch() string
}

// CommitInfo is what a commit says of itself.
type CommitInfo struct {
	Subject, Author string
	Committed       time.Time
	ID              string `json:",omitempty"` // short, where it is not known otherwise
}

func (o *Options) defaults() error {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&o.Poll, time.Minute)
	set(&o.HealthEvery, 15*time.Second)
	set(&o.PollHosts, 30*time.Second)
	set(&o.StopWithin, 2*time.Minute)
	if o.Concurrency <= 0 {
		o.Concurrency = 64
	}
	if o.Drift.Schedule == "" {
		o.Drift.Schedule = "*/5 * * * *"
	}
	if o.Retention.Events <= 0 {
		o.Retention.Events = 10000
	}
	if o.Retention.Revisions <= 0 {
		o.Retention.Revisions = 1000
	}
	if o.Retention.Rollouts <= 0 {
		o.Retention.Rollouts = 1000
	}
	if o.Retention.RolloutBytes <= 0 {
		o.Retention.RolloutBytes = 32 << 20
	}
	if o.Name == "" {
		return fmt.Errorf("the controller has no name")
	}
	_, err := cron.ParseStandard(o.Drift.Schedule)
	if err != nil {
		return fmt.Errorf("drift.schedule %q is no cron expression: %w", o.Drift.Schedule, err)
	}
	return nil
}
