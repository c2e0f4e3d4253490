package main

import (
	"fmt"
	"os"
	_ "time/tzdata" // for windows, where the machine has no zones
)

func main() { os.Exit(run(os.Args[1:], ownTerminal())) }

// run is one command line from its arguments to its exit code.
func run(args []string, t *terminal) (code int) {
	a := &app{terminal: t}
	defer func() {
		if bug := recover(); bug != nil {
			fmt.Fprintf(t.stderr, "evenkeel: cannot go on, which is a fault of evenkeel itself: %v\n  mend: please report it, with the command line and this message\n", bug)
			code = exitError
		}
	}()
	root := a.command()
	root.SetArgs(args)
	verb, err := root.ExecuteC()
	return a.end(verb, err)
}
