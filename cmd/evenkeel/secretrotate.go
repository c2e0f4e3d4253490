package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/secrets"
	"github.com/evenkeel/evenkeel/rollout"
)

const rotateHelp = `Give a secret that the fleet declares in spec.secrets a new value: it is written beside the
present one into every SOPS file that has it, and committed, signed where git is
configured so. Nothing else is needed: the controller (or evenkeel apply) then takes the
fleet from one to the other. Verifiers come to accept both, signers come to use the new
one, and once no process needs the old one any more, it is revoked, each by a rollout of its
own. evenkeel secret status shows how far that is.

The new value is made as the declaration's generate says; where it says nothing, it is
asked for without echo, or read from stdin. It is never shown.

--abort goes back while a rotation is under way: the two values change places in git.
--finish takes the value before out of the files, once the rotation is done. --due rotates
all secrets that are due, declared automatic and within their windows, by one commit: for a
job that has a key of its own to push with. The controller never writes to git.`

type rotateOptions struct {
	abort, finish, due, patch, push, yes, force bool
}

func (a *app) secretRotateCommand() *cobra.Command {
	var o rotateOptions
	cmd := &cobra.Command{
		Use: "rotate NAME…", Short: "Give a secret a new value, by a commit, from which the fleet goes over to it", Long: rotateHelp,
		Example: `  evenkeel secret rotate metrics-token
  evenkeel secret rotate metrics-token session-key --push
  evenkeel secret rotate metrics-token --abort
  evenkeel secret rotate --due --push --yes      for a job`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.due && (len(args) > 0 || o.abort || o.finish):
				return mendable("leave names, --abort and --finish out", "%s --due finds out itself what is due", cmd.CommandPath())
			case o.abort && o.finish:
				return mendable("say one of them", "--abort and --finish exclude each other")
			case !o.due && len(args) == 0:
				return mendable("such as: "+firstExample(cmd), "%s takes the names of secrets", cmd.CommandPath())
			}
			return nil
		},
	}
	repoFlag(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.abort, "abort", false, "go back to the value before")
	f.BoolVar(&o.finish, "finish", false, "take the value before out of the files, once no process holds it")
	f.BoolVar(&o.due, "due", false, "rotate all that are due, automatic and within their windows")
	f.BoolVar(&o.patch, "patch", false, "print the change instead of making it")
	f.BoolVar(&o.push, "push", false, "git push, once it is committed")
	f.BoolVarP(&o.yes, "yes", "y", false, "run the commands that make new values without asking")
	f.BoolVar(&o.force, "force", false, "do not look whether the last rotation is over")
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.secretRotate(cmd, args, o) }
	return cmd
}

// rotating is one secret rotate under way.
type rotating struct {
	*app
	cmd      *cobra.Command
	options  rotateOptions
	checkout *checkout
	revision desired.Revision
	uses     map[string][]desired.SecretUse // by secret
	status   []controller.SecretStatus      // once looked at
	edit     repoEdit
	now      time.Time
}

func (a *app) secretRotate(cmd *cobra.Command, names []string, o rotateOptions) error {
	c, err := openCheckout(a.settings.Repo)
	if err != nil {
		return err
	}
	defer c.close()
	r := &rotating{app: a, cmd: cmd, options: o, checkout: c, now: time.Now().UTC().Truncate(time.Second), edit: repoEdit{checkout: c}}
	if r.revision, err = c.load(cmd.Context(), a.settings, false); err != nil {
		return err
	}
	if err := r.find(cmd.Context()); err != nil {
		return err
	}
	if o.due {
		if names, err = r.due(); err != nil {
			return err
		}
		if len(names) == 0 {
			return a.tellRotated(rotated{Secrets: []string{}})
		}
	}
	for _, name := range names {
		spec, ok := r.revision.Fleet.Spec.Secret(name)
		if !ok {
			return mendable("evenkeel secret status lists them; declare it in spec.secrets of fleet.yaml", "the fleet declares no secret %q", name)
		}
		if err := r.change(cmd.Context(), spec); err != nil {
			return err
		}
	}
	return r.carryOut(names)
}

// find collects where the fleet repo has its secrets.
func (r *rotating) find(ctx context.Context) error {
	r.uses = map[string][]desired.SecretUse{}
	for _, h := range r.revision.Inventory.Hosts {
		uses, err := r.revision.SecretUses(ctx, h)
		if err != nil {
			return err
		}
		for _, u := range uses {
			r.uses[u.Secret] = append(r.uses[u.Secret], u)
		}
	}
	return nil
}

// due are the secrets that a job may rotate now.
func (r *rotating) due() ([]string, error) {
	var names []string
	for _, spec := range r.revision.Fleet.Spec.Secrets {
		made := r.revision.Rotated[spec.Name]
		if !spec.Automatic || r.now.Before(made.AddDate(0, 0, spec.EveryDays)) {
			continue
		}
		if open := spec.Windows.At(r.now); !open.Open {
			continue
		}
		if _, active, err := r.under(spec); err != nil {
			return nil, err
		} else if active {
			continue // the last one is not over yet
		}
		names = append(names, spec.Name)
	}
	return names, nil
}

// under tells whether the fleet repo has a rotation of a secret, and whether the fleet is
// not through with it.
func (r *rotating) under(spec desired.SecretSpec) (rotates, active bool, err error) {
	fault, rotates := desired.AgreeOnSecret(r.uses[spec.Name])
	if fault != "" {
		return false, false, mendable("write the same value everywhere, with evenkeel secret set", "cannot rotate it: %s", fault)
	}
	if !rotates || r.options.force {
		return rotates, false, nil
	}
	if r.status == nil {
		if r.status, err = r.secretsNow(r.cmd); err != nil {
			return false, false, fmt.Errorf("cannot tell whether the last rotation of %s is over: %w", spec.Name, err)
		}
	}
	for _, s := range r.status {
		if s.Secret == spec.Name {
			known := s.Rotates && s.Made.Equal(r.revision.Rotated[spec.Name]) // the controller may not have fetched yet
			return true, !known || s.Active(), nil
		}
	}
	return true, true, nil
}

// change puts one secret's new values into the files, in memory.
func (r *rotating) change(ctx context.Context, spec desired.SecretSpec) error {
	places, err := r.places(spec)
	if err != nil {
		return err
	}
	rotates, active, err := r.under(spec)
	if err != nil {
		return err
	}
	cur, old := places[0].Current.Bytes(), places[0].Before.Bytes()
	var first, second secrets.Secret
	switch {
	case r.options.abort && !rotates:
		return mendable("evenkeel secret status "+spec.Name, "there is nothing to abort: no rotation of %s is under way", spec.Name)
	case r.options.abort && !active && !r.options.force:
		return mendable("rotate it again, or say --force to go back to the value before all the same", "the rotation of %s is over, and the value before was revoked", spec.Name)
	case r.options.abort:
		first, second = secrets.New(old), secrets.New(cur)
	case r.options.finish && !rotates:
		return mendable("evenkeel secret status "+spec.Name, "there is nothing to finish: the fleet repo has no value of %s before the present one", spec.Name)
	case active:
		return mendable("evenkeel secret status "+spec.Name+" tells what it waits for; --abort goes back", "the rotation of %s is not over: processes may still hold the value before", spec.Name)
	case r.options.finish:
		first = secrets.New(cur)
	default:
		if first, err = r.newValue(ctx, spec); err != nil {
			return err
		}
		second = secrets.New(cur)
		if string(first.Reveal()) == string(cur) {
			return mendable("give it another", "the new value of %s is the present one", spec.Name)
		}
	}
	for _, p := range places {
		if err := r.write(p, first, second); err != nil {
			return err
		}
	}
	if !r.options.finish {
		return r.edit.note(r.revision.Rotated, spec.Name, r.now)
	}
	return nil
}

// places are the files and variables of a secret, each once.
func (r *rotating) places(spec desired.SecretSpec) ([]desired.SecretUse, error) {
	var out []desired.SecretUse
	for _, u := range r.uses[spec.Name] {
		if u.Source == "" {
			return nil, mendable("evenkeel validate tells more", "cannot rotate %s: %s", spec.Name, u.Fault)
		}
		if !slices.ContainsFunc(out, func(o desired.SecretUse) bool { return o.Source == u.Source && o.Key == u.Key }) {
			out = append(out, u)
		}
	}
	for _, p := range spec.Parts() {
		if !slices.ContainsFunc(r.uses[spec.Name], func(u desired.SecretUse) bool { return u.Service == p.Service }) {
			return nil, mendable("evenkeel validate tells of faults; a service without a host is not to be in the declaration yet",
				"cannot rotate %s: %s has faults or runs on no host, so its files are not known", spec.Name, p.Service)
		}
	}
	return out, nil
}

// write gives the variables of one place their values.
func (r *rotating) write(p desired.SecretUse, first, second secrets.Secret) error {
	if p.Separator == "" {
		return errors.Join(r.edit.set(r.app, p.Source, p.Key, first), r.edit.set(r.app, p.Source, p.Previous, second))
	}
	list := first.Reveal()
	if len(second.Reveal()) > 0 {
		list = slices.Concat(list, []byte(p.Separator), second.Reveal())
	}
	if strings.Contains(string(first.Reveal()), p.Separator) {
		return mendable("generate values without it, or use previous instead of separator", "the value of %s has the separator %q in it", p.Secret, p.Separator)
	}
	return r.edit.set(r.app, p.Source, p.Key, secrets.New(list))
}

// newValue makes a value as the declaration says, or asks for it.
func (r *rotating) newValue(ctx context.Context, spec desired.SecretSpec) (secrets.Secret, error) {
	g := spec.Generate
	switch {
	case g == nil:
		return r.secretValue(spec.Name, true)
	case g.Command == "":
		b := make([]byte, g.Random)
		_, _ = rand.Read(b) // which never fails
		defer clear(b)
		return secrets.New([]byte(encode(b, g.Encoding))), nil
	}
	if !r.options.yes {
		if !r.asks {
			return secrets.Secret{}, mendable("say --yes", "cannot ask whether to run the command that makes %s: there is no terminal", spec.Name)
		}
		r.say("the fleet repo says how " + show.Clean(spec.Name) + " is made: " + show.Clean(g.Command))
		if ok, err := r.confirm(ctx, "Run it? [y/N] "); err != nil || !ok {
			return secrets.Secret{}, mendable("nothing was changed", "no value was made for %s", spec.Name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "sh", "-c", g.Command)
	run.Dir, run.Stderr = r.checkout.top, r.stderr
	out, err := run.Output()
	if err != nil {
		return secrets.Secret{}, mendable("run it yourself: "+g.Command, "cannot make a value for %s: %w", spec.Name, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(out), "\n"), "\r")
	const least = 8
	if len(value) < least {
		return secrets.Secret{}, mendable("run it yourself: "+g.Command, "the command that makes %s printed fewer than %d characters", spec.Name, least)
	}
	return secrets.New([]byte(value)), nil
}

func encode(b []byte, encoding string) string {
	switch encoding {
	case "hex":
		return hex.EncodeToString(b)
	case "base64":
		return base64.StdEncoding.EncodeToString(b)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// carryOut prints the change, or writes and commits it.
func (r *rotating) carryOut(names []string) error {
	if r.options.patch {
		return r.print(r.edit.diff())
	}
	did := rotated{Secrets: names, Files: r.edit.files(), Phase: rollout.RotationStage}
	verb := "rotate "
	switch {
	case r.options.abort:
		verb = "abort the rotation of "
	case r.options.finish:
		verb, did.Phase = "forget the value before of ", rollout.RotationDone
	}
	commit, err := r.edit.commit(r.cmd.Context(), r.app, verb+strings.Join(names, ", "))
	if err != nil {
		return err
	}
	did.Commit = commit
	if r.options.push {
		if err := r.edit.push(r.cmd.Context(), r.app); err != nil {
			return err
		}
		did.Pushed = true
	}
	return r.tellRotated(did)
}

// rotated is what secret rotate did, as JSON.
type rotated struct {
	Secrets []string              `json:"secrets"`
	Files   []string              `json:"files"`
	Commit  string                `json:"commit,omitempty"`
	Pushed  bool                  `json:"pushed"`
	Phase   rollout.RotationPhase `json:"phase,omitempty"` // what comes next
}

func (a *app) tellRotated(did rotated) error {
	if a.asJSON() {
		return a.json(did)
	}
	if len(did.Secrets) == 0 {
		return a.print("nothing is due\n")
	}
	words := show.Names(did.Secrets) + ": written to " + show.Names(did.Files)
	next := "commit that"
	if did.Commit != "" {
		words += ", commit " + show.Revision(did.Commit)
		next = "git push"
	}
	if did.Pushed {
		words, next = words+", pushed", ""
	}
	if next != "" {
		next += " for the controller, or run evenkeel apply; "
	}
	if did.Phase == rollout.RotationDone {
		return a.print(words + "\n" + strings.TrimSuffix(next, "; ") + "\n")
	}
	return a.print(words + "\n" + next + "evenkeel secret status shows how far it is\n")
}
