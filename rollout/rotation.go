package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// A rotation has no state of its own: what is done next follows from the two values that
// the fleet repo has and from what the processes of the fleet hold. So it goes on after any
// crash, from another controller and from a checkout, and what has been revoked on a host
// is never given to it again.
//
//	          verifier            signer      both
//	stage     current, previous   previous    previous, current
//	roll      current, previous   current     current, previous
//	verify    (nothing changes: until nobody uses the previous value, and keep is over)
//	revoke    current             current     current
//
// A signer of which it is not known what it uses, a new one for instance, is left as it is
// while what verifiers accept is not known.
//
// A step is taken only once every instance is known to be through with the one before,
// those on hosts that do not answer included.

// RotationPhase is how far a rotation is.
type RotationPhase string

// The phases.
const (
	RotationStage  RotationPhase = "stage"  // verifiers come to accept the value that is to stay
	RotationRoll   RotationPhase = "roll"   // signers come to use it
	RotationVerify RotationPhase = "verify" // waits, see Rotation.Waits
	RotationRevoke RotationPhase = "revoke" // verifiers stop accepting the one before
	RotationDone   RotationPhase = "done"
)

// Holding is what an instance's processes have of a secret that rotates.
type Holding struct {
	Secret  string       `json:"secret"`
	Service string       `json:"service"`
	Host    string       `json:"host"`
	Role    desired.Role `json:"role"`
	// Known tells that the rest is; else Reason says why not.
	Known  bool   `json:"known"`
	Reason string `json:"reason,omitempty"`
	// Fresh is an instance that is not there yet.
	Fresh bool `json:"fresh,omitempty"`
	// Of the values, what all processes use, and what any of them uses; what all accept,
	// and what any accepts.
	UsesCurrent   bool `json:"usesCurrent"`
	UsesPrevious  bool `json:"usesPrevious"`
	TakesCurrent  bool `json:"takesCurrent"`
	TakesPrevious bool `json:"takesPrevious"`
	// Since is when the last of its processes started, by the controller's clock.
	Since time.Time `json:"since,omitzero"`
}

// Words is what it has, for a person.
func (h Holding) Words() string {
	switch {
	case h.Fresh:
		return "not deployed"
	case !h.Known:
		return "unknown"
	case h.TakesCurrent && h.TakesPrevious && h.UsesPrevious && h.Role.Signs():
		return "both, uses the previous"
	case h.TakesCurrent && h.TakesPrevious:
		return "both"
	case h.TakesCurrent:
		return "current"
	case h.TakesPrevious:
		return "previous"
	}
	return "neither"
}

// Rotation is one secret's, as far as it is.
type Rotation struct {
	Secret   string        `json:"secret"`
	Phase    RotationPhase `json:"phase"`
	Holdings []Holding     `json:"holdings"`
	// Waits is why the previous value is not revoked, or the next step not taken; sorted by
	// host. It is empty where nothing but the rollout under way is in the way.
	Waits []string `json:"waits,omitempty"`
	// Settled is since when every process has had what it needs; zero where that is not so.
	Settled time.Time `json:"settled,omitzero"`
	// KeepUntil is when the previous value may be revoked, as far as its age is concerned.
	KeepUntil time.Time `json:"keepUntil,omitzero"`
	// Held are instances that are to be left as they are for now, for which of the values
	// they may use is not known.
	Held []Holding `json:"-"`
}

// Behind are the instances that are not through: those that do not accept or use the
// current value, accept the previous one still, or are not known.
func (r Rotation) Behind() []Holding {
	var out []Holding
	for _, h := range r.Holdings {
		if !h.Fresh && (!h.Known || !h.TakesCurrent || h.TakesPrevious || h.Role.Signs() && !h.UsesCurrent) {
			out = append(out, h)
		}
	}
	return out
}

// Rotate tells how far a secret's rotation is, from what all its instances hold, and puts
// into forms what each is to be given next. settled is since when all had what they need as
// far as was known before; zero where it was not so. A secret whose holdings are none is
// done.
func Rotate(secret string, holdings []Holding, keep time.Duration, settled, now time.Time, forms desired.Forms) Rotation {
	r := Rotation{Secret: secret, Holdings: holdings}
	staged, rolled, lost, behindStage, behindRoll := true, true, false, false, false
	revoked, signed, accepted := false, false, false // anywhere
	for _, h := range holdings {
		if h.Fresh {
			continue
		}
		if h.Role.Verifies() {
			staged = staged && h.Known && h.TakesCurrent
			lost = lost || !h.Known
			behindStage = behindStage || h.Known && !h.TakesCurrent
			revoked = revoked || h.Known && h.TakesCurrent && !h.TakesPrevious
			accepted = accepted || h.Known && h.TakesPrevious
		}
		if h.Role.Signs() {
			rolled = rolled && h.Known && h.UsesCurrent
			behindRoll = behindRoll || h.Known && !h.UsesCurrent
			signed = signed || !h.Known || h.UsesPrevious
		}
	}
	rolled = rolled && staged
	if rolled {
		r.Settled = settledAt(holdings, settled, now)
		r.KeepUntil = r.Settled.Add(keep)
	}
	revoke := rolled && !now.Before(r.KeepUntil)
	switch {
	case behindStage:
		r.Phase = RotationStage
	case behindRoll:
		r.Phase = RotationRoll
	case !revoke && (accepted || !rolled):
		r.Phase = RotationVerify
	case accepted:
		r.Phase = RotationRevoke
	default:
		r.Phase = RotationDone
	}
	for _, h := range holdings {
		forms[desired.FormKey{Secret: secret, Service: h.Service, Host: h.Host}] = h.next(staged, revoke, revoked && !signed)
		if lost && !staged && h.Role.Signs() && (!h.Known || h.Fresh) {
			r.Held = append(r.Held, h)
		}
		if !h.Known && !h.Fresh {
			r.Waits = append(r.Waits, fmt.Sprintf("%s on %s may hold the previous value: %s", h.Service, h.Host, h.Reason))
		}
	}
	slices.Sort(r.Waits)
	if r.Phase == RotationVerify && rolled {
		r.Waits = append(r.Waits, "both values are kept until "+r.KeepUntil.UTC().Format(time.RFC3339))
	}
	return r
}

// settledAt is since when every process has had what it needs: since the last of them
// started, unless it was known to be so before.
func settledAt(holdings []Holding, before, now time.Time) time.Time {
	var at time.Time
	for _, h := range holdings {
		if !h.Fresh && h.Since.After(at) {
			at = h.Since
		}
	}
	if at.IsZero() || at.After(now) {
		at = now
	}
	if !before.IsZero() && before.Before(at) {
		return before
	}
	return at
}

// next is the form that an instance is given next. staged tells that every verifier accepts
// the current value, revoke that nobody needs the previous one any more, and alone that it
// has been taken from somebody and nobody uses it. What an instance has is not taken back
// from it because another one is not known: neither a value that it accepts alone, nor one
// that it uses.
func (h Holding) next(staged, revoke, alone bool) desired.Form {
	deployed := h.Known && !h.Fresh
	switch {
	case revoke:
		return desired.FormCurrent
	case h.Role == desired.RoleSigner && (staged || deployed && h.UsesCurrent):
		return desired.FormCurrent
	case h.Role == desired.RoleSigner:
		return desired.FormPrevious
	case deployed && h.TakesCurrent && !h.TakesPrevious, !deployed && alone:
		return desired.FormCurrent
	case h.Role == desired.RoleBoth && !staged && !(deployed && h.UsesCurrent):
		return desired.FormPreviousFirst
	case h.Role == desired.RoleVerifier && deployed && h.TakesCurrent && h.UsesPrevious:
		return desired.FormPreviousFirst // it accepts both: their order is nothing to restart for
	}
	return desired.FormCurrentFirst
}

// Progress is the rotation in one line.
func (r Rotation) Progress() string {
	behind := r.Behind()
	if len(behind) == 0 {
		return string(r.Phase)
	}
	names := make([]string, 0, len(behind))
	for _, h := range behind {
		names = append(names, h.Service+" on "+h.Host)
	}
	const most = 3
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(behind)-most))
	}
	return fmt.Sprintf("%s, %d of %d instances behind (%s)", r.Phase, len(behind), len(r.Holdings), strings.Join(names, ", "))
}
