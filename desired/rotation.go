package desired

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// Form is which of a secret's two values an instance is given, and in which order: the
// first is the one to be used.
type Form string

// The forms. Current is the value that is to stay, Previous the one before it.
const (
	FormPrevious      Form = "previous"
	FormPreviousFirst Form = "previous, current"
	FormCurrentFirst  Form = "current, previous" // as the fleet repo has it
	FormCurrent       Form = "current"
)

// FormKey is one secret's place in one instance.
type FormKey struct{ Secret, Service, Host string }

// Forms are what instances are given of secrets that rotate. Where nothing is said, it is
// what the fleet repo has.
type Forms map[FormKey]Form

// WithForms is the Revision with secrets in these forms. It shares with r all that does
// not depend on them; forms is not to be changed afterwards.
func (r *Revision) WithForms(forms Forms) *Revision {
	if maps.Equal(forms, r.state.forms) {
		return r
	}
	out := *r
	out.state = &revisionState{services: r.state.services, sources: r.state.sources, artifacts: r.state.artifacts, forms: forms}
	return &out
}

// Forms are what WithForms was told.
func (r *Revision) Forms() Forms { return r.state.forms }

// SecretUse is one instance's part in a secret, with the values that the fleet repo has.
type SecretUse struct {
	Secret string
	Host   string
	SecretPart
	Path    string   // the env file
	Source  string   // in the fleet repo, of the variable
	Units   []string // that read it
	Current hostdriver.Content
	// Before is the value before; Rotates tells whether there is one, and another.
	Before  hostdriver.Content
	Rotates bool
	// Fault is why nothing more than the names is known: the instance could not be
	// resolved, or has no such variable.
	Fault string
}

// Form returns the values of the two variables in a form: key's, and previous' where it
// is there at all.
func (u *SecretUse) Form(f Form) (key string, previous string, has bool) {
	cur, old := string(u.Current.Bytes()), string(u.Before.Bytes())
	first, second := cur, ""
	switch f {
	case FormPrevious:
		first = old
	case FormPreviousFirst:
		first, second, has = old, cur, true
	case FormCurrentFirst:
		second, has = old, true
	}
	if u.Separator != "" && has {
		return first + u.Separator + second, "", false
	}
	return first, second, has
}

// SecretUses are the parts of one host's instances in the fleet's secrets. Only a done ctx
// is an error.
func (r *Revision) SecretUses(ctx context.Context, host inventory.Host) ([]SecretUse, error) {
	if len(r.Fleet.Spec.Secrets) == 0 {
		return nil, ctx.Err()
	}
	sc := &scope{rev: r, host: &host}
	var out []SecretUse
	for _, c := range r.state.services {
		parts := r.partsOf(c.svc.Name)
		if len(parts) == 0 || !c.svc.Spec.Selector.Matches(host.Labels) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		in, faults := r.plainInstance(ctx, c, sc)
		for _, p := range parts {
			u := in.secretUse(p.secret, p.SecretPart)
			if errs := faults.Errors(); len(errs) > 0 {
				u.Fault, u.Rotates = errs[0].Message, false
			}
			u.Host = host.Name
			out = append(out, u)
		}
	}
	return out, nil
}

type namedPart struct {
	secret string
	SecretPart
}

// partsOf are a service's parts in the fleet's secrets.
func (r *Revision) partsOf(service string) []namedPart {
	var out []namedPart
	for _, s := range r.Fleet.Spec.Secrets {
		for _, p := range s.Parts() {
			if p.Service == service {
				out = append(out, namedPart{s.Name, p})
			}
		}
	}
	return out
}

// secretUse finds the variables of a part in an instance as the fleet repo has it.
func (in *Instance) secretUse(secret string, p SecretPart) SecretUse {
	u := SecretUse{Secret: secret, SecretPart: p, Host: in.Host}
	for i := range in.Files {
		f := &in.Files[i]
		v, ok := f.variable(p.Key)
		if !ok {
			continue
		}
		u.Path, u.Current, u.Source = f.Path, v.Value, v.Source
		old, hasOld := f.variable(p.Previous)
		if p.Separator != "" {
			cur, old, _ := strings.Cut(string(v.Value.Bytes()), p.Separator)
			u.Current, u.Before = hostdriver.NewContent([]byte(cur)), hostdriver.NewContent([]byte(old))
		} else if hasOld {
			u.Before = old.Value
		}
		u.Rotates = u.Before.Len() > 0 && u.Before.SHA256() != u.Current.SHA256()
		for _, unit := range in.Units {
			if slices.Contains(unit.EnvFiles, f.Path) {
				u.Units = append(u.Units, unit.Name)
			}
		}
		if len(u.Units) == 0 {
			u.Fault, u.Rotates = "no unit of "+p.Service+" reads "+f.Path+" with EnvironmentFile=", false
		}
		return u
	}
	u.Fault = "no env file of " + p.Service + " has " + p.Key
	return u
}

// variable is what an env file gives a variable.
func (f *File) variable(key string) (EnvVar, bool) {
	if f.Kind != FileEnv || key == "" {
		return EnvVar{}, false
	}
	for i := range f.Vars {
		if f.Vars[i].Key == key {
			return f.Vars[i], true
		}
	}
	return EnvVar{}, false
}

// formed is an instance with its secrets in the forms that they have there. What it is
// made from may be shared, and is copied.
func (r *Revision) formed(in Instance, faults *Faults) Instance {
	for _, p := range r.partsOf(in.Service) {
		u := in.secretUse(p.secret, p.SecretPart)
		if u.Fault != "" && len(faults.Errors()) == 0 {
			*faults = append(*faults, Fault{Pos: r.Fleet.At("secrets"), Severity: SeverityWarning, Rule: "no-such-variable", Service: in.Service,
				Message: "secret " + p.secret + ": " + u.Fault, Mend: "name the variable with key"})
		}
		form := r.state.forms[FormKey{p.secret, in.Service, in.Host}]
		if !u.Rotates && u.Fault == "" {
			form = FormCurrent // a value before that is empty is none
		}
		if form == "" || form == FormCurrentFirst && u.Role.Verifies() {
			continue
		}
		in.Files = slices.Clone(in.Files)
		for i := range in.Files {
			if _, ok := in.Files[i].variable(p.Key); !ok || in.Files[i].has(&u, form) {
				continue
			}
			if err := in.Files[i].give(&u, form); err != nil {
				*faults = append(*faults, Fault{Pos: r.Fleet.At("secrets"), Rule: "env-syntax", Service: in.Service, Message: err.Error()})
			}
		}
	}
	return in
}

// has tells whether an env file has the secret in a form already.
func (f *File) has(u *SecretUse, form Form) bool {
	key, previous, both := u.Form(form)
	k, _ := f.variable(u.Key)
	p, ok := f.variable(u.Previous)
	return string(k.Value.Bytes()) == key && ok == both && string(p.Value.Bytes()) == previous
}

// give writes an env file anew with the secret in a form.
func (f *File) give(u *SecretUse, form Form) error {
	key, previous, has := u.Form(form)
	vars := make([]EnvVar, 0, len(f.Vars))
	for _, v := range f.Vars {
		switch {
		case v.Key == u.Key:
			v.Value = hostdriver.NewContent([]byte(key))
		case v.Key != u.Previous || u.Previous == "":
		case has:
			v.Value = hostdriver.NewContent([]byte(previous))
		default:
			continue
		}
		vars = append(vars, v)
	}
	var assignments []EnvAssignment
	for _, v := range vars {
		assignments = append(assignments, EnvAssignment{Key: v.Key, Value: string(v.Value.Bytes())})
	}
	content, err := WriteEnv(assignments)
	if err != nil {
		return fmt.Errorf("secret %s: %w", u.Secret, err)
	}
	f.Vars = vars
	f.Content = hostdriver.NewContent(append(envHeader(f.Sources), content...))
	f.SHA256 = f.Content.SHA256()
	return nil
}

// envHeader is the first line of an env file that was put together here.
func envHeader(sources []string) []byte {
	names := make([]string, 0, len(sources))
	for _, s := range sources {
		names = append(names, path.Base(s))
	}
	return []byte("# Written by evenkeel from " + strings.Join(names, ", ") + ". Edit it there.\n")
}

// AgreeOnSecret tells whether a secret rotates, by all its uses. The values must be the same
// wherever the fleet repo has them, or a fault says who differs.
func AgreeOnSecret(uses []SecretUse) (fault string, rotates bool) {
	var first *SecretUse
	for i := range uses {
		u := &uses[i]
		if u.Path == "" || u.Fault != "" {
			continue
		}
		rotates = rotates || u.Rotates
		if first == nil {
			first = u
			continue
		}
		if u.Current.SHA256() != first.Current.SHA256() || u.Rotates != first.Rotates || u.Rotates && u.Before.SHA256() != first.Before.SHA256() {
			return fmt.Sprintf("secret %s: the fleet repo has other values for %s on %s than for %s on %s", u.Secret, u.Service, u.Host, first.Service, first.Host), rotates
		}
	}
	return "", rotates
}
