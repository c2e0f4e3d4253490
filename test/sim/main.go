package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// errViolated ends the command with 1.
var errViolated = errors.New("an invariant was violated")

func main() {
	debug.SetGCPercent(1600) // many short lives
	if err := command(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

type options struct {
	seed, seeds, from uint64
	schedule          string
	boundaries        bool
	trace, print      bool
	workers           int
}

func command(args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 0, "run the scenario of this seed")
	flags.StringVar(&o.schedule, "schedule", "", "run the scenario in this JSON `file`")
	flags.Uint64Var(&o.seeds, "seeds", 0, "run the scenarios of so many seeds")
	flags.Uint64Var(&o.from, "from", 1, "the first of the seeds")
	flags.BoolVar(&o.boundaries, "boundaries", false, "run small scenarios with every boundary of every effect")
	flags.BoolVar(&o.trace, "trace", false, "say what happens, of one scenario")
	flags.BoolVar(&o.print, "print", false, "print the scenario as JSON instead of running it")
	flags.IntVar(&o.workers, "workers", 0, "how many run at once; 0: one a processor")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case o.schedule != "":
		data, err := os.ReadFile(o.schedule)
		if err != nil {
			return err
		}
		sc, err := ReadScenario(data)
		if err != nil {
			return err
		}
		return one(sc, o, out)
	case o.seed != 0:
		return one(Generate(o.seed), o, out)
	case o.boundaries:
		return many(campaign(everyBoundary, o.workers, 0), out)
	case o.seeds != 0:
		return many(campaign(seeds(o.from, o.seeds), o.workers, 0), out)
	}
	flags.Usage()
	return errors.New("say which scenarios: -seed, -seeds, -schedule or -boundaries")
}

// one runs one scenario and, if it fails, shrinks it.
func one(sc *Scenario, o options, out io.Writer) error {
	if o.print {
		return printScenario(out, sc)
	}
	var trace io.Writer
	if o.trace {
		trace = out
	}
	v, st := Run(sc, trace)
	fmt.Fprintf(out, "%s: %d events, %d effects, %s simulated\n", sc, st.Events, st.Effects, st.Virtual)
	if v == nil {
		return nil
	}
	fmt.Fprintln(out, v)
	if o.trace {
		return errViolated
	}
	small := Shrink(sc, failsAs(v.Code))
	again, _ := Run(small, nil)
	fmt.Fprintf(out, "the smallest that fails likewise (save it and run it with -schedule FILE -trace): %s\n", again)
	if err := printScenario(out, small); err != nil {
		return err
	}
	return errViolated
}

func printScenario(out io.Writer, sc *Scenario) error {
	b, err := json.MarshalIndent(sc, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return err
}

// shown is how many failures of a campaign are named.
const shown = 20

func many(t Tally, out io.Writer) error {
	t.write(out)
	for _, f := range t.Failures[:min(shown, len(t.Failures))] {
		fmt.Fprintf(out, "%s (%s)\n    %s\n", f.Name, f.Scenario, f.Violation)
	}
	if len(t.Failures) > 0 {
		return errViolated
	}
	return nil
}
