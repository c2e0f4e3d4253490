package rollout

import (
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// HoldingQuery is what must be read from a host to tell what it has of secrets. salt keys
// the digests.
func HoldingQuery(uses []desired.SecretUse, salt string) hostdriver.Query {
	q := hostdriver.Query{Salt: salt}
	keys, paths := map[string]map[string]bool{}, map[string]bool{}
	for i := range uses {
		u := &uses[i]
		if u.Fault != "" {
			continue
		}
		paths[u.Path] = true
		for _, unit := range u.Units {
			if keys[unit] == nil {
				keys[unit] = map[string]bool{}
			}
			keys[unit][u.Key] = true
			if u.Previous != "" {
				keys[unit][u.Previous] = true
			}
		}
	}
	for _, p := range sortedKeys(paths) {
		q.Paths = append(q.Paths, hostdriver.PathQuery{Path: p, MaxContent: maxContent})
	}
	for _, unit := range sortedKeys(keys) {
		q.Units = append(q.Units, unit)
		q.Env = append(q.Env, hostdriver.EnvQuery{Unit: unit, Keys: sortedKeys(keys[unit])}) // no digest: each key's is wanted
	}
	return q
}

// HoldingOf is what one instance has of a secret, from an observation that HoldingQuery
// asked for. o is nil where the host did not answer, and reason says why.
//
// What counts is what processes have, read from themselves. Of one that does not show it
// (it has overwritten its environment, or is in a container) what counts is the file that it
// was started with by us, where that is still on disk; of a unit that does not run, what it
// will read when it starts.
func HoldingOf(u desired.SecretUse, o *hostdriver.Observation, salt, reason string) Holding {
	h := Holding{Secret: u.Secret, Service: u.Service, Host: u.Host, Role: u.Role}
	switch {
	case o == nil:
		h.Reason = orElse(reason, "the host does not answer")
		return h
	case u.Fault != "":
		h.Reason = u.Fault
		return h
	}
	running := false
	for _, unit := range u.Units {
		running = running || o.Units[unit].Running()
	}
	file := o.Paths[u.Path]
	if !running && file.Type == hostdriver.PathAbsent {
		h.Known, h.Fresh = true, true
		return h
	}
	uses, takes := values{}, values{}
	for i, unit := range u.Units {
		has, since, why := unitHolds(&u, o, unit, salt)
		if why != "" {
			h.Reason = why
			return h
		}
		if i == 0 {
			uses, takes = has.uses(), has.takes()
		} else {
			uses, takes = uses.and(has.uses()), takes.and(has.takes())
		}
		if at := o.At.Add(since.Sub(o.Clock)); !since.IsZero() && !o.Clock.IsZero() && at.After(h.Since) {
			h.Since = at
		}
	}
	h.Known = true
	h.UsesCurrent, h.UsesPrevious, h.TakesCurrent, h.TakesPrevious = uses.current, uses.previous, takes.current, takes.previous
	return h
}

// unitHolds is what one unit's process has, and since when by the host's clock; or why that
// cannot be told.
func unitHolds(u *desired.SecretUse, o *hostdriver.Observation, unit, salt string) (has pair, since time.Time, why string) {
	got, file := o.Units[unit], o.Paths[u.Path]
	if !got.Running() {
		if has, ok := onDisk(u, file); ok {
			return has, file.Changed, ""
		}
		return pair{}, since, "what " + unit + " will read from " + u.Path + " is not known"
	}
	since = got.Started
	if since.IsZero() {
		since = got.ActiveSince
	}
	p := o.Processes[unit]
	if p.Env == hostdriver.EnvDiffers && p.Digests[u.Key] != "" {
		return pairOf(u, func(key, v string) bool {
			return p.Digests[key] == hostdriver.EnvDigest(salt, map[string]string{key: v})
		}), since, ""
	}
	if rec, ok := o.Started[unit]; ok && rec.InvocationID != "" && rec.InvocationID == got.InvocationID {
		if has, ok := onDisk(u, file); ok && rec.Inputs[u.Path] == varsDigest(diskVars(file)) {
			return has, since, ""
		}
	}
	if p.Env == hostdriver.EnvDiffers {
		return pair{}, since, "" // it has no such variable
	}
	return pair{}, since, "the process of " + unit + " does not show its environment"
}

// pair is which values stand in a secret's place: the one to be used, and the one to be
// accepted beside.
type pair struct{ first, second value }

// value is one of a secret's values.
type value int

const (
	isOther value = iota // or none
	isCurrent
	isPrevious
)

// values are those that something is true of: of all processes for the current one, of any
// for the previous one.
type values struct{ current, previous bool }

func (v values) and(o values) values { return values{v.current && o.current, v.previous || o.previous} }

func (p pair) uses() values { return values{p.first == isCurrent, p.first == isPrevious} }

func (p pair) takes() values {
	return values{p.first == isCurrent || p.second == isCurrent, p.first == isPrevious || p.second == isPrevious}
}

// forms are all there are, with what they give.
var forms = map[desired.Form]pair{
	desired.FormPrevious: {first: isPrevious}, desired.FormPreviousFirst: {isPrevious, isCurrent},
	desired.FormCurrentFirst: {isCurrent, isPrevious}, desired.FormCurrent: {first: isCurrent},
}

// pairOf finds the values by asking which variable has which.
func pairOf(u *desired.SecretUse, has func(key, value string) bool) pair {
	if u.Separator != "" {
		for form, p := range forms {
			if list, _, _ := u.Form(form); has(u.Key, list) {
				return p
			}
		}
		return pair{}
	}
	which := func(key string) value {
		switch {
		case key == "":
		case has(key, string(u.Current.Bytes())):
			return isCurrent
		case u.Before.Len() > 0 && has(key, string(u.Before.Bytes())):
			return isPrevious
		}
		return isOther
	}
	p := pair{first: which(u.Key)}
	if u.Role.Verifies() {
		p.second = which(u.Previous)
	}
	return p
}

// onDisk is what the env file on the host has; false where it cannot be read.
func onDisk(u *desired.SecretUse, file hostdriver.PathState) (pair, bool) {
	if file.Content == nil {
		return pair{}, false
	}
	vars := map[string]string{}
	for _, v := range diskVars(file) {
		vars[v.Key] = string(v.Value.Bytes())
	}
	return pairOf(u, func(key, value string) bool {
		v, ok := vars[key]
		return ok && v == value
	}), true
}

// diskVars are the variables of an env file on the host.
func diskVars(file hostdriver.PathState) []desired.EnvVar {
	assignments, _ := desired.ParseEnv(file.Content.Bytes())
	vars := make([]desired.EnvVar, 0, len(assignments))
	for _, a := range assignments {
		vars = append(vars, desired.EnvVar{Key: a.Key, Value: hostdriver.NewContent([]byte(a.Value))})
	}
	return vars
}
