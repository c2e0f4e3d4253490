package main

import (
	"context"
	"errors"
	"net/http"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/progress"
	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/client"
)

// How often a rollout that is waited for is asked for; how long it is waited that one
// begins, or turns out not to; and how long a controller that does not answer is asked again.
const (
	askEvery    = 250 * time.Millisecond
	beginsSoon  = 20 * time.Second
	silentAtEnd = 2 * time.Minute
)

func (a *app) rolloutStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [ID]", Short: "Show the rollout under way, the last one, or one of the history", Args: atMost(1, "one rollout's ID, or nothing"), Long: rolloutStatusHelp,
		Example: `  evenkeel rollout status
  evenkeel rollout status --wait
  evenkeel rollout status 20270131T150405.123Z       one of evenkeel history`,
	}
	serverFlags(cmd)
	wait := cmd.Flags().Bool("wait", false, "follow the rollout until it ends")
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.server(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		id := api.CurrentRollout
		if len(args) == 1 {
			id = args[0]
		}
		if *wait {
			return a.waitFor(cmd.Context(), c, rolloutWait{id: id, newest: len(args) == 0})
		}
		r, err := c.Rollout(cmd.Context(), id)
		if err != nil {
			return err
		}
		return a.showRollout(r)
	}
	return cmd
}

// showRollout shows one rollout as it stands.
func (a *app) showRollout(r controller.RolloutStatus) error {
	if a.asJSON() {
		return a.json(r)
	}
	text := show.RolloutHead(r, time.Now())
	if r.Outcome != nil {
		text += "\n\n" + show.Outcome(*r.Outcome)
	} else {
		text += "\n\n" + progress.View(r.State, max(r.State.At, time.Since(r.Began)), progress.Size{Height: 2*len(r.State.Visits) + 20}) + "\n"
	}
	return a.print(text)
}

// steer says one word about the rollout and, if asked to, waits for what comes of it.
func (a *app) steer(cmd *cobra.Command, c *client.Client, verb controller.Verb, req api.ActionRequest, wait bool) error {
	defer c.Close()
	before := ""
	if wait && begins(verb) {
		r, err := c.Rollout(cmd.Context(), api.CurrentRollout)
		if err != nil && !isMissing(err) {
			return err
		}
		before = r.State.ID
	}
	done, err := c.Act(cmd.Context(), verb, req)
	switch {
	case err != nil:
		return err
	case !wait && a.asJSON():
		return a.json(api.ActionAnswer{Done: done})
	case !wait:
		return a.print(show.Clean(done) + "\n")
	}
	a.say(show.Clean(done))
	return a.waitFor(cmd.Context(), c, rolloutWait{id: api.CurrentRollout, not: before})
}

// begins tells whether a word makes another rollout begin.
func begins(verb controller.Verb) bool {
	return verb == controller.VerbUndo || verb == controller.VerbRetry
}

// isMissing tells that the controller has no such rollout.
func isMissing(err error) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

// waitFor follows a rollout until it ends, and ends with apply's exit code.
func (a *app) waitFor(ctx context.Context, c *client.Client, w rolloutWait) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w.app, w.client, w.began, w.answered = a, c, time.Now(), time.Now()
	r, err := w.run(ctx)
	if errors.Is(err, context.Canceled) {
		return mendable("evenkeel rollout status --wait follows it again, evenkeel rollout pause pauses it", "interrupted; the rollout goes on")
	}
	if err != nil {
		return err
	}
	refused := w.refused(ctx)
	if refused != nil && !w.followed {
		return refused // no rollout is of the revision that is asked about
	}
	if w.ended != nil {
		err = a.endRollout(*w.ended)
	} else {
		err = a.endWith(r)
	}
	if refused != nil {
		var code exitCode
		if errors.As(err, &code) {
			a.tell(refused)
			return code
		}
		return errors.Join(err, refused)
	}
	return err
}

// endWith ends with how a rollout ended.
func (a *app) endWith(r controller.RolloutStatus) error {
	if err := a.showRollout(r); err != nil {
		return err
	}
	if r.Outcome == nil {
		return mendable("evenkeel events tells more", "rollout %s ended without an outcome", show.Clean(r.State.ID))
	}
	if code := exitCode(r.Outcome.Result.Exit()); code != 0 {
		return code
	}
	return nil
}

// endRollout ends with what the history says of a rollout.
func (a *app) endRollout(r controller.RolloutEntry) error {
	err := error(nil)
	if a.asJSON() {
		err = a.json(r)
	} else {
		err = a.print(show.Clean(r.Words) + "\n")
	}
	if code := exitCode(r.Result.Exit()); err == nil && code != 0 {
		return code
	}
	return err
}

// rolloutWait is one rollout that is waited for.
type rolloutWait struct {
	*app
	client   *client.Client
	id       string
	not      string // the rollout that was there before: it is waited for another one
	newest   bool   // what is asked about is the newest commit, and not one rollout
	followed bool   // it was seen under way
	began    time.Time
	answered time.Time // when the controller last answered
	shown    watching
	last     controller.RolloutStatus
	ended    *controller.RolloutEntry // where another one has taken its place already
}

// run asks until the rollout has ended.
func (w *rolloutWait) run(ctx context.Context) (controller.RolloutStatus, error) {
	defer func() {
		if w.shown != nil {
			w.shown.end()
		}
	}()
	for {
		asked := time.Now()
		r, err := w.client.Rollout(ctx, w.id)
		switch wait, err := w.judge(ctx, r, err); {
		case err != nil:
			return r, err
		case !wait && (!r.Ended.IsZero() || w.ended != nil):
			return r, nil
		case !wait:
			w.followed = true
			w.show(r)
		}
		select {
		case <-time.After(max(askEvery, 5*time.Since(asked))):
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
}

// judge tells whether an answer is yet to be waited for.
func (w *rolloutWait) judge(ctx context.Context, r controller.RolloutStatus, err error) (wait bool, _ error) {
	var reach *client.Error
	var p *api.Problem
	late := time.Since(w.began) > beginsSoon
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.As(err, &reach), errors.As(err, &p) && p.Status >= http.StatusInternalServerError:
		// It may be restarting: it takes the rollout up where it was.
		if time.Since(w.answered) > silentAtEnd {
			return false, err
		}
		return true, nil
	case err == nil && w.not != "" && r.State.ID == w.not, isMissing(err) && w.id == api.CurrentRollout:
		w.answered = time.Now()
		if err := w.refused(ctx); err != nil {
			return false, err
		}
		if late {
			return false, mendable("evenkeel status tells what it waits for, or that there is nothing to do", "no rollout began within %s", show.Duration(beginsSoon))
		}
		return true, nil
	case err == nil && w.id == api.CurrentRollout && !r.Ended.IsZero() && !late && w.earlier(ctx, r):
		w.answered = time.Now()
		return true, nil
	case isMissing(err) && w.gone(ctx):
		return false, nil
	case err != nil:
		return false, err
	}
	w.answered = time.Now()
	if w.id == api.CurrentRollout {
		w.id = r.State.ID // and not the one after it
	}
	return false, nil
}

// earlier tells whether a rollout that has ended is not the one that is meant: the
// controller was asked to fetch and look, and what comes of that is not known yet.
func (w *rolloutWait) earlier(ctx context.Context, r controller.RolloutStatus) bool {
	s, err := w.client.Snapshot(ctx)
	return err == nil && (s.Asked || s.Rollout != nil && s.Rollout.State.ID != r.State.ID)
}

// refused is why the newest commit does not become the revision, so that no rollout comes of
// it; nil where it does, or where that is not known yet.
func (w *rolloutWait) refused(ctx context.Context) error {
	if !w.newest {
		return nil
	}
	s, err := w.client.Snapshot(ctx)
	if err != nil || s.Asked || s.Source.Refused == "" || s.Source.Refused != s.Source.Tip {
		return nil
	}
	mend := s.Source.Mend
	if mend == "" {
		mend = "evenkeel status tells more"
	}
	return mendable(mend, "revision %s is refused, and %s stays in force: %s", show.Revision(s.Source.Refused), orNone(show.Revision(s.Source.Revision)), show.Clean(s.Source.Error))
}

// orNone names a revision where there may be none.
func orNone(revision string) string {
	if revision == "" {
		return "none"
	}
	return revision
}

// gone looks for the rollout in the history: the controller does not keep very old or
// very large ones whole.
func (w *rolloutWait) gone(ctx context.Context) bool {
	list, err := w.client.Rollouts(ctx, 100)
	if err != nil {
		return false
	}
	for _, r := range list {
		if r.ID == w.id && !r.Ended.IsZero() {
			w.ended = &r
			return true
		}
	}
	return false
}

// show shows what has changed.
func (w *rolloutWait) show(r controller.RolloutStatus) {
	if w.shown == nil {
		w.say(show.RolloutHead(r, time.Now()))
		w.shown = w.watch()
	} else if reflect.DeepEqual(r.State, w.last.State) {
		return
	}
	w.last = r
	// Its clock runs on between events.
	r.State.At = max(r.State.At, time.Since(r.Began))
	w.shown.report(r.State)
}
