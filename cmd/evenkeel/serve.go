package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/memory"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/boltstore"
	"github.com/evenkeel/evenkeel/controller/store/memstore"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/secrets"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func (a *app) serveCommand() *cobra.Command {
	var takeOver bool
	cmd := &cobra.Command{
		Use: "serve", Short: "The controller: keep the fleet as git wants it", GroupID: groupChange, Args: takes(0, "no arguments"),
		Long: `serve is the controller: it fetches the fleet repo, keeps every host as its branch
wants it, watches the hosts, and answers the API, webhooks and metrics. It runs until
SIGTERM or Ctrl-C, finishes the hosts in hand, and ends. SIGHUP reads the configuration
again. docs/controller.md has a configuration and a systemd unit.`,
		Example:     "  evenkeel serve --config /etc/evenkeel/evenkeel.yaml",
		Annotations: map[string]string{logLevel: "info"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.serve(cmd, takeOver) },
	}
	cmd.Flags().BoolVar(&takeOver, "take-over", false, "also change hosts that belong to another controller")
	return cmd
}

// serve runs controllers one after the other: SIGHUP ends one and begins the next with
// the configuration as it is then. One that is no good leaves the old one in force.
func (a *app) serve(cmd *cobra.Command, takeOver bool) error {
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	go memory.Keep(ctx)
	signals := newServeSignals()
	defer signals.stop()
	settings := a.settings
	for {
		again, err := a.serveOnce(settings, takeOver, signals)
		if err != nil || !again {
			return err
		}
		next, warnings, err := loadSettings(cmd.Flags(), a.getenv, a.environ())
		if err == nil {
			err = next.checkServe()
		}
		if err != nil {
			a.log.Error().Err(err).Msg("the configuration was read again and is refused; the former one stays in force")
			continue
		}
		for _, w := range warnings {
			a.log.Warn().Msg(w)
		}
		settings, a.settings = next, next
		a.openLog()
	}
}

// served is one controller with what belongs to it.
type served struct {
	*app
	set      Settings
	store    store.Store
	readOnly string
	driver   *sshdriver.Driver
	inv      atomic.Pointer[inventory.Inventory]
	git      controller.Git
	closers  []func()
}

// serveOnce runs one controller until a signal. again tells that it was SIGHUP.
func (a *app) serveOnce(set Settings, takeOver bool, signals *serveSignals) (again bool, err error) {
	if err := set.checkServe(); err != nil {
		return false, err
	}
	s := &served{app: a, set: set}
	defer s.close()
	if err := s.open(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	opt := s.options()
	opt.TakeOver = takeOver
	c, err := controller.New(ctx, opt)
	if err != nil {
		return false, mendable("evenkeel store --help tells how to look at it and restore it", "cannot start the controller: %w", err)
	}
	front, err := api.New(s.apiOptions(c))
	if err != nil {
		return false, err
	}
	listeners, err := front.Listen()
	if err != nil {
		return false, err
	}
	life := newLife(a.log)
	var g errgroup.Group
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	g.Go(func() error { return listeners.Serve(serving) })
	g.Go(func() error { life.watch(serving, c.Alive); return nil })
	g.Go(func() error {
		defer stopServing()
		return c.Run(ctx)
	})
	for _, on := range listeners.Addrs() {
		a.log.Info().Str("address", on.String()).Msg("listening")
	}
	life.ready("keeping " + set.Git.URL)
	g.Go(func() error {
		again = signals.wait(serving)
		life.stopping(again)
		cancel()
		return nil
	})
	return again, g.Wait()
}

func (s *served) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// open opens the store, the repository and the way to hosts.
func (s *served) open() error {
	if err := s.openStore(); err != nil {
		return err
	}
	git, err := openGit(s.set.Git, s.set.SSH, filepath.Join(filepath.Dir(s.set.Store.Path), "repo.git"))
	if err != nil {
		return err
	}
	s.git = git
	s.closers = append(s.closers, git.close)
	opt := s.set.SSH.options(s.set.SSH.Become != nil && *s.set.SSH.Become, func(name string) (sshdriver.Target, bool) {
		inv := s.inv.Load()
		if inv == nil {
			return sshdriver.Target{}, false
		}
		h, ok := inv.Find(name)
		return sshdriver.TargetFor(h), ok
	})
	if s.driver, err = sshdriver.New(opt); err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = s.driver.Close() })
	return nil
}

// openStore opens the store. One that is there and cannot be read is not overwritten:
// the controller then looks and changes nothing.
func (s *served) openStore() error {
	if err := os.MkdirAll(filepath.Dir(s.set.Store.Path), 0o700); err != nil {
		return mendable("make it, for the user that evenkeel runs as, or set store.path", "cannot make the store's folder: %w", err)
	}
	db, err := boltstore.Open(s.set.Store.Path)
	switch {
	case err == nil:
		s.store = db
	case store.KindOf(err).Unreadable():
		s.readOnly = err.Error() + " (" + store.MendOf(err) + ")"
		s.log.Error().Err(err).Str("mend", store.MendOf(err)).Msg("the store cannot be read: hosts are looked at, and nothing is changed")
		s.store = &memstore.Store{}
	default:
		return mendable(store.MendOf(err), "%w", err)
	}
	s.closers = append(s.closers, func() { _ = s.store.Close() })
	return nil
}

func (s *served) options() controller.Options {
	set := s.set
	watch := set.Drift.Watch == nil || *set.Drift.Watch
	opt := controller.Options{Name: set.controllerName(), Git: s.git, Load: s.load, Adopt: s.adopt, Driver: s.driver, Store: s.store, Log: s.log,
		Poll: set.Git.Poll, Concurrency: set.SSH.Concurrency, StopWithin: set.StopWithin, ReadOnly: s.readOnly,
		Drift: controller.DriftOptions{Report: set.Drift.Mode == "report", Schedule: set.Drift.Schedule, Ignore: set.Drift.Ignore}}
	if watch {
		opt.Watcher = s.driver
	}
	return opt
}

// load decodes a commit. Inventories that are programs are faults: nothing that comes
// out of a repository is run on the controller.
func (s *served) load(ctx context.Context, files fs.FS, commit string) (desired.Revision, error) {
	artifacts, err := artifactStore(s.set, s.artifactCache())
	if err != nil {
		return desired.Revision{}, err
	}
	return desired.Load(ctx, files, desired.LoadOptions{Dir: s.set.Git.Path, ID: commit, Artifacts: artifacts,
		Decrypter: secrets.NewDecrypter(secrets.Options{IdentityFile: s.set.Secrets.AgeIdentity, KeyServices: s.set.Secrets.KeyServices})})
}

// artifactCache is where the settings say, or beside the store.
func (s *served) artifactCache() string {
	if s.set.Artifacts.Cache != "" {
		return s.set.Artifacts.Cache
	}
	return filepath.Join(filepath.Dir(s.set.Store.Path), "artifacts")
}

// adopt lays the settings under those of the hosts, before any is contacted.
func (s *served) adopt(rev *desired.Revision) {
	sshDefaults(rev)
	inv := rev.Inventory
	s.inv.Store(&inv)
	if d := rev.Fleet.Spec.SSH.Become; d != nil && s.set.SSH.Become == nil && *d {
		s.log.Warn().Msg("the fleet asks for ssh.become: set it in the controller's configuration, too")
	}
}

var errNoGit = errors.New("git.url is not set")

// checkServe refuses settings without which there is no controller.
func (s Settings) checkServe() error {
	switch {
	case s.Git.URL == "":
		return mendable("write git: {url: …, branch: main} into evenkeel.yaml, and name the file with --config", "cannot serve: %w", errNoGit)
	case s.Drift.Mode != "correct" && s.Drift.Mode != "report":
		return mendable("use correct or report", "cannot use drift.mode %q", s.Drift.Mode)
	case s.Store.Path == "":
		return mendable("write store: {path: /var/lib/evenkeel/evenkeel.db}", "cannot serve: store.path is not set")
	}
	return nil
}

// controllerName is the settings', or says on which machine it is.
func (s Settings) controllerName() string {
	if s.Name != "" {
		return s.Name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "somewhere"
	}
	return "evenkeel@" + host
}
