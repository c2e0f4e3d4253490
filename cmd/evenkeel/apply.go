package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// maxPasses is how often an apply looks and plans anew because hosts changed under it.
const maxPasses = 3

// rotationPasses is how often it looks for what follows in the rotation of secrets.
const rotationPasses = 6

const applyHelp = `Make the fleet as the fleet repo wants it. The plan is shown first, and a question asked.
What disturbs nothing goes to all hosts at once; services are then restarted or
reloaded host by host within their budgets: drain, switch, restart, prove healthy,
undrain. A host that does not turn healthy goes back to what it had, and no other is
touched. What an earlier apply left unfinished is finished or undone first.

Ctrl-C once finishes the hosts in hand and begins no other; twice stops at once and
says what is left. Running apply again goes on, or brings back what was left.

What its windows would have wait is not begun: apply ends with exit 7 and says when they
open. Where a service has canaries, they are visited first. On a terminal you are then asked
whether they are promoted; elsewhere apply ends there, and apply --promote goes on.

What a host went back from is not tried again until it is changed in git; --retry tries
it all the same.

Exit codes: 0 converged, 1 an error (or stopped), 2 a host failed, 4 a host is
unreachable, 5 halted by a budget, 6 a host was reverted, 7 blocked: by another
controller, by a window, as suspended, or for want of a promotion. The last line says
what was not done.`

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use: "apply", Short: "Carry the plan out, host by host, after asking", GroupID: groupChange, Args: takes(0, ""), Long: applyHelp,
		Example: `  evenkeel apply                     shows the plan, asks, applies
  evenkeel apply --yes -o json       for scripts
  evenkeel apply --service gateway   one service`,
	}
	repoFlag(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	filterFlags(cmd)
	size := diffFlag(cmd, show.DiffShort)
	cmd.Flags().BoolVar(&o.retry, "retry", false, "also bring what a host refuses because it was reverted or undone there")
	cmd.Flags().BoolVar(&o.promote, "promote", false, "accept canaries once they are healthy, and go on with the other hosts")
	cmd.Flags().BoolVar(&o.ignoreWindows, "ignore-windows", false, "begin also what the windows would have wait; the output records it")
	cmd.Flags().BoolVar(&o.takeOver, "take-over", false, "also change hosts that belong to a controller")
	cmd.Flags().BoolVar(&o.pruneAll, "prune-all", false, "mean it when the fleet repo wants nothing anywhere: take everything away")
	hostFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkDiff(*size); err != nil {
			return err
		}
		o.size = show.DiffSize(*size)
		return a.apply(cmd.Context(), o)
	}
	return cmd
}

type applyOptions struct {
	yes, promote, ignoreWindows, takeOver, pruneAll, retry bool

	size show.DiffSize
	undo *rollout.Back // where set, it goes back
}

func (a *app) apply(ctx context.Context, o applyOptions) error {
	if !o.yes && !a.asks {
		if o.undo != nil {
			return mendable("say --yes", "cannot ask whether to go back: there is no terminal")
		}
		return mendable("say --yes; evenkeel plan shows what it would do", "cannot ask whether to apply: there is no terminal")
	}
	stop := newStopper(ctx)
	defer stop.close()
	a.applies = true
	f, done, err := a.openFleet(stop.ctx)
	if err != nil {
		return err
	}
	defer done()
	f.TakeOver, f.PruneAll, f.IgnoreWindows = o.takeOver, o.pruneAll, o.ignoreWindows
	f.Retry, f.Undo = o.retry, o.undo
	r := &applying{app: a, fleet: f, options: o, stop: stop}
	err = r.run()
	if err != nil && r.view == nil {
		return err // nothing was even looked at
	}
	return r.report(err)
}

// applying is one apply under way.
type applying struct {
	*app
	fleet   *controller.Fleet
	options applyOptions
	stop    *stopper

	view    *controller.View // the last look
	state   rollout.State    // of the last pass
	earlier []rollout.Visit
	why     string // nothing was begun
	declined,
	refused bool
	overtaken *controller.Overtaken
}

// errDeclined ends an apply to which the operator said no.
var errDeclined = errors.New("declined")

// run looks, asks, and carries out until nothing is left to plan anew.
func (r *applying) run() error {
	if err := r.look(); err != nil {
		return err
	}
	r.showPlan()
	if r.claimed() {
		return nil
	}
	if !r.due() {
		return nil
	}
	if err := r.ask(); err != nil {
		return err
	}
	var was *controller.View
	for pass := 1; r.due(); pass++ {
		if err := r.seize(was); err != nil {
			return err
		}
		if len(r.view.Cut()) > 0 {
			if err := r.repair(); err != nil {
				return err
			}
		}
		if len(r.view.Plan.Visits) == 0 {
			return nil
		}
		if err := r.pass(); err != nil {
			return err
		}
		again, err := r.again(pass)
		if err != nil || !again {
			return err
		}
		r.keep()
		was = r.view
		if err := r.look(); err != nil {
			return err
		}
	}
	return nil
}

// again tells whether another pass is to follow: hosts changed under the last one, or
// its canaries are now promoted.
func (r *applying) again(pass int) (bool, error) {
	switch {
	case r.stop.stopping():
		return false, nil
	case r.state.Replan && r.state.Halted == nil && pass < maxPasses:
		r.say(show.Yellow("! " + show.Clean(r.state.Stopping) + ": looking again"))
		return true, nil
	case r.options.undo == nil && r.state.Halted == nil && pass < maxPasses+rotationPasses && controller.RotationWords(r.secrets) != "":
		r.say(show.Clean(controller.RotationWords(r.secrets)) + ": looking what follows")
		return true, nil
	case r.options.undo != nil && r.state.Halted == nil && pass < maxPasses && slices.ContainsFunc(r.state.Visits, func(v rollout.Visit) bool { return v.Recover }):
		return true, nil // what was left there is finished; now it goes back
	case r.unpromoted() && r.asks && !r.options.yes:
		r.say(show.Clean(r.state.Halted.Reason))
		ok, err := r.confirm(r.stop.ctx, "Promote? [y/N] ")
		if err != nil {
			return false, errDeclined
		}
		r.options.promote = ok
		return ok, nil
	}
	return false, nil
}

// keep puts what the last pass did aside, before the next one.
func (r *applying) keep() {
	for _, v := range r.state.Visits {
		if v.Phase != rollout.PhasePending {
			r.earlier = append(r.earlier, v)
		}
	}
	for name := range r.state.Promoted() {
		if r.fleet.Promoted == nil {
			r.fleet.Promoted = map[string]bool{}
		}
		r.fleet.Promoted[name] = true
	}
	r.state = rollout.State{}
}

// unpromoted tells whether the last pass ended because nobody had accepted its canaries.
func (r *applying) unpromoted() bool {
	h := r.state.Halted
	return h != nil && h.Kind == rollout.HaltBlocked && slices.ContainsFunc(r.state.Visits, func(v rollout.Visit) bool {
		w := r.state.WaitsFor(&v)
		return w != nil && w.Kind == rollout.WaitPromotion
	})
}

// answer gives the rollout the word that it waits for, or tells it that nobody will.
func (r *applying) answer(st rollout.State) {
	waits := st.Waits()
	switch {
	case len(waits) == 0:
	case r.options.promote && slices.ContainsFunc(waits, func(w rollout.Wait) bool { return w.Kind == rollout.WaitPromotion }):
		r.stop.tell(rollout.Event{Kind: rollout.EventPromote})
	default:
		r.stop.tell(rollout.Event{Kind: rollout.EventBlock})
	}
}

func (r *applying) look() error {
	v, err := r.app.look(r.stop.ctx, r.fleet)
	if err == nil {
		r.view = v
	}
	return err
}

// due tells whether there is anything to be done.
func (r *applying) due() bool { return len(r.view.Plan.Visits) > 0 || len(r.view.Cut()) > 0 }

// claimed refuses, as the hosts themselves would, what another controller claims.
func (r *applying) claimed() bool {
	claims := r.view.Claims(r.fleet.Holder)
	if r.options.takeOver || len(claims) == 0 {
		return false
	}
	for _, h := range r.view.Plan.Hosts {
		if by, ok := claims[h.Host]; ok {
			r.refused, r.why = true, fmt.Sprintf("not begun: %s belongs to controller %s", h.Host, by)
			break
		}
	}
	return r.refused
}

// showPlan writes the plan to stdout, or to stderr where stdout is for JSON.
func (r *applying) showPlan() {
	text := show.Plan(r.view.Plan, viewed(r.fleet, r.view, planOptions(r.options.size)))
	if r.asJSON() {
		fmt.Fprint(r.stderr, r.styled(r.stderrColour, text))
		return
	}
	_ = r.print(text)
}

func (r *applying) ask() error {
	if r.options.yes {
		return nil
	}
	question := "Apply? [y/N] "
	if r.options.undo != nil {
		question = "Undo? [y/N] "
	}
	ok, err := r.confirm(r.stop.ctx, question)
	if err != nil || !ok {
		r.declined, r.why = true, "not begun: declined"
		return errDeclined
	}
	return nil
}

// errOvertaken ends an apply that found another one at work.
var errOvertaken = errors.New("overtaken")

// seize takes the hosts over; was is the View that was carried out before. What another
// one did since the plan was shown may have changed it: then it is shown again.
func (r *applying) seize(was *controller.View) error {
	v, err := r.fleet.Seize(r.stop.ctx, was, r.view)
	if errors.As(err, &r.overtaken) {
		r.why = "not begun: " + r.overtaken.Error()
		return errOvertaken
	}
	if err != nil {
		return err
	}
	same := controller.SamePlan(r.view.Plan, v.Plan)
	r.view = v
	if same || len(v.Cut()) > 0 { // what is cut is taken back first
		return nil
	}
	return r.replanned()
}

// repair takes back switches that were cut in the middle, and plans anew.
func (r *applying) repair() error {
	r.say("taking back what was cut in the middle on " + show.Names(r.view.Cut()))
	if _, err := r.fleet.Repair(r.stop.ctx, r.view); err != nil {
		return fmt.Errorf("cannot take back a switch that was cut: %w", err)
	}
	v, err := r.fleet.LookAgain(r.stop.ctx, r.view)
	if err != nil {
		return err
	}
	r.view = v
	return r.replanned()
}

// replanned shows a plan that is another than the one agreed to, and asks again.
func (r *applying) replanned() error {
	r.say(show.Yellow("! the hosts have changed meanwhile"))
	r.showPlan()
	if len(r.view.Plan.Visits) == 0 {
		return nil
	}
	return r.ask()
}

// pass carries one plan out, with its progress shown.
func (r *applying) pass() error {
	shown := r.watch()
	defer shown.end()
	words := r.stop.arm(shown.say)
	defer r.stop.disarm()
	st, err := r.fleet.Apply(r.stop.ctx, words, r.view, func(st controller.State, _ rollout.Event, _ []rollout.Command) {
		r.stop.saw(st)
		shown.report(st)
		r.answer(st)
	})
	r.state = st
	if errors.Is(err, errStoppedAtOnce) || err != nil && r.stop.ctx.Err() != nil {
		return errStoppedAtOnce
	}
	return err
}

// report says how it ended, and gives the exit code.
func (r *applying) report(err error) error {
	e := controller.Ended{Plan: r.view.Plan, State: r.state, Earlier: r.earlier, Skipped: r.view.Skipped(), Mends: r.view.Mends(),
		Faults: r.fleet.Revision.Quarantined, Suspended: true, Stopped: r.declined || r.stop.stopping(), Why: r.why, Overtaken: r.overtaken}
	if r.refused {
		e.Claims = r.view.Claims(r.fleet.Holder)
	}
	if err != nil && !errors.Is(err, errDeclined) && !errors.Is(err, errOvertaken) {
		e.Err = err
		if m := mendOf(err); m != "" {
			r.say("  mend: " + show.Clean(m))
		}
	}
	o := controller.OutcomeOf(e)
	for _, s := range r.secrets {
		if s.Active() && r.options.undo == nil {
			r.say(show.Yellow("! the rotation of " + show.Clean(s.Secret) + " is not over: " + show.Clean(s.Progress()) + waitsFor(s.Waits) + "; evenkeel apply goes on with it"))
		}
	}
	if r.asJSON() {
		err = r.json(o)
	} else {
		err = r.print("\n" + show.Outcome(o))
	}
	if o.Exit != 0 {
		return exitCode(o.Exit) // whoever could not read it learns it from this
	}
	return err
}

// waitsFor is the first thing that is waited for, in words.
func waitsFor(waits []string) string {
	if len(waits) == 0 {
		return ""
	}
	return "; " + show.Clean(waits[0])
}

// confirm asks on the terminal; anything but y or yes is no.
func (t *terminal) confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(t.stderr, "\n"+question)
	answer := make(chan string, 1)
	go func() {
		line, _ := readLine(t.stdin)
		answer <- line
	}()
	select {
	case line := <-answer:
		line = strings.ToLower(strings.TrimSpace(line))
		return line == "y" || line == "yes", nil
	case <-ctx.Done():
		fmt.Fprintln(t.stderr)
		return false, context.Cause(ctx)
	}
}
