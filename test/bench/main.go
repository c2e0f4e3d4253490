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
	hosts    int
	rounds   int
	evenkeel string   // the binary
	names    []string // of what is to be measured
}

// allNames are what can be measured; the deployment always is, but beside watch alone.
var allNames = []string{"pass", "deploy", "rolling", "drained", "watch"}

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
	if len(args) > 0 && args[0] == floorVerb {
		return floorMain(args[1:])
	}
	if len(args) > 0 && args[0] == watcherVerb {
		return watcherMain(args[1:])
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
	flags.IntVar(&o.rounds, "rounds", 3, "how often everything is measured; tables show medians")
	flags.StringVar(&o.evenkeel, "evenkeel", "bin/evenkeel", "the binary to measure")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: bench [flags] [%s]…\n", strings.Join(allNames, "|"))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.hosts < 1 || o.rounds < 1 {
		return o, fmt.Errorf("cannot measure %d hosts in %d rounds: at least one of each is needed", o.hosts, o.rounds)
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
	load := loadAverages()
	s, err := setUp(ctx, o)
	if err != nil {
		return err
	}
	m := describeMachine(ctx)
	m.load = load
	noise, err := s.startNoise()
	if !slices.Equal(o.names, []string{"watch"}) {
		for n := 1; n <= o.rounds && err == nil; n++ {
			err = s.round(ctx, n)
		}
	}
	if err == nil && o.wants("watch") {
		err = s.watch(ctx)
	}
	if share, noiseErr := noise.share(s); noiseErr == nil {
		m.others = share
	} else {
		err = errors.Join(err, noiseErr)
	}
	return errors.Join(err, s.report(os.Stdout, m), s.tearDown())
}
