package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/client"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/drain"
)

// exitError is the exit code of verbs that do not say otherwise by errorExit.
const exitError = 1

// errorExit is the annotation by which a verb gives its errors another exit code.
const errorExit = "error-exit"

// exitCode ends a verb with a code other than 0 when all that is to be said has been.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// mended is an error with what a person can do about it.
type mended struct {
	err  error
	mend string
}

func (m *mended) Error() string { return m.err.Error() }
func (m *mended) Unwrap() error { return m.err }

// mendable makes an error of a text and a mend.
func mendable(mend, format string, args ...any) error {
	return &mended{err: fmt.Errorf(format, args...), mend: mend}
}

// end tells the error, if there is one, and returns the exit code.
func (a *app) end(verb *cobra.Command, err error) int {
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	exit := exitError
	if verb != nil && verb.Annotations[errorExit] == "2" {
		exit = 2
	}
	a.tell(err)
	return exit
}

// tell writes an error as one line, and its mend as another.
func (a *app) tell(err error) {
	var faults desired.Faults
	if errors.As(err, &faults) {
		if len(faults) == 1 && faults[0].Pos.String() == "" { // such as that there is no fleet.yaml
			a.line(faults[0].Message, faults[0].Mend)
			return
		}
		fmt.Fprint(a.stderr, a.styled(a.stderrColour, show.Faults(faults)))
		a.line("cannot use the fleet repo: it has faults", "evenkeel validate shows them all")
		return
	}
	if errors.Is(err, context.Canceled) {
		a.line("interrupted", "")
		return
	}
	a.line(err.Error(), mendOf(err))
}

func (a *app) line(text, mend string) {
	fmt.Fprintf(a.stderr, "evenkeel: %s\n", oneLine(text))
	if mend != "" {
		fmt.Fprintf(a.stderr, "  mend: %s\n", oneLine(mend))
	}
}

// oneLine joins lines, for libraries' errors have several, and escapes the rest.
func oneLine(text string) string {
	var parts []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			parts = append(parts, l)
		}
	}
	return show.Clean(strings.Join(parts, ": "))
}

func mendOf(err error) string {
	var m *mended
	if errors.As(err, &m) {
		return m.mend
	}
	var answered *api.Problem
	if errors.As(err, &answered) {
		return answered.Mend
	}
	var reach *client.Error
	if errors.As(err, &reach) {
		return reach.Mend()
	}
	return drain.MendOf(err)
}
