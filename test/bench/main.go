package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// options are what the command line asks for.
type options struct {
	hosts     int
	simulated int // hosts of fleet
	rounds    int
	release   int      // MiB of the release of artifacts
	evenkeel  string   // the binary
	profile   string   // where fleet's processes write profiles; "": nowhere
	disks     string   // where the hosts' disks are kept; "": in memory
	names     []string // of what is to be measured
}

// allNames are what can be measured; the deployment always is, but beside watch and
// simulated alone.
var allNames = []string{"pass", "deploy", "rolling", "soaked", "drained", "rotation", "artifacts", "watch", "fleet", "loop"}

// helpers are what this program is as a process beside the one that measures.
var helpers = map[string]func(args []string) error{floorVerb: floorMain, watcherVerb: watcherMain, simVerb: simMain, lookVerb: lookMain, serveVerb: serveMain, bareVerb: bareMain}

// simulated are those that need no lab.
var simulated = []string{"fleet", "loop"}

// wantsBut tells whether anything is wanted beside those.
func (o options) wantsBut(names ...string) bool {
	return slices.ContainsFunc(o.names, func(name string) bool { return !slices.Contains(names, name) })
}

func (o options) wants(name string) bool { return slices.Contains(o.names, name) }

func main() {
	err := dispatch(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	if len(args) > 0 && helpers[args[0]] != nil {
		return helpers[args[0]](args[1:])
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, o)
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.hosts, "hosts", 20, "how many hosts")
	flags.IntVar(&o.simulated, "simulated", 10_000, "how many simulated hosts fleet has")
	flags.IntVar(&o.release, "release", 200, "how many MiB the release of artifacts has")
	flags.StringVar(&o.profile, "profile", "", "an existing folder into which the controller's processes of fleet write pprof profiles")
	flags.StringVar(&o.disks, "disks", "", "a folder in which the hosts' disks are kept, on its filesystem, instead of in memory")
	flags.IntVar(&o.rounds, "rounds", 3, "how often everything is measured; tables show medians")
	flags.StringVar(&o.evenkeel, "evenkeel", "bin/evenkeel", "the binary to measure")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: bench [flags] [%s]…\n", strings.Join(allNames, "|"))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.hosts < 1 || o.simulated < 1 || o.rounds < 1 || o.release < 1 {
		return o, fmt.Errorf("cannot measure %d hosts and %d simulated ones in %d rounds: at least one of each is needed", o.hosts, o.simulated, o.rounds)
	}
	for _, name := range flags.Args() {
		if !slices.Contains(allNames, name) {
			return o, fmt.Errorf("cannot measure %q: it is one of %s", name, strings.Join(allNames, ", "))
		}
		o.names = append(o.names, name)
	}
	if len(o.names) == 0 {
		o.names = allNames
	}
	return o, nil
}

// run makes the hosts, measures, prints the tables and takes the hosts down. When it is
// interrupted, or a round fails, it prints what it has.
func run(ctx context.Context, o options) error {
	m := describeMachine(ctx)
	m.load = loadAverages()
	var fleet *fleetFigures
	var err error
	if o.wants("fleet") || o.wants("loop") {
		m.others, err = besides(programsCPU, func() (err error) {
			fleet, err = measureFleet(ctx, o)
			return err
		})
	}
	if !o.wantsBut(simulated...) {
		return errors.Join(err, reportFleet(os.Stdout, m, o, fleet))
	}
	if err != nil {
		return err
	}
	return runLab(ctx, o, m, fleet)
}

// runLab is what is measured on lab hosts.
func runLab(ctx context.Context, o options, m machine, fleet *fleetFigures) error {
	s, err := setUp(ctx, o)
	if err != nil {
		return err
	}
	m.others, err = besides(s.ourCPU, func() error {
		if o.wantsBut(append(simulated, "watch", "artifacts")...) {
			for n := 1; n <= o.rounds; n++ {
				if err := s.round(ctx, n); err != nil {
					return err
				}
			}
		}
		for n := 1; n <= o.rounds && o.wants("artifacts"); n++ {
			if err := s.releases(ctx, n); err != nil {
				return err
			}
		}
		if o.wants("watch") {
			return s.watch(ctx)
		}
		return nil
	})
	s.results.fleet = fleet
	return errors.Join(err, s.report(os.Stdout, m), s.tearDown())
}
