package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/drain"
)

// Result is what an apply amounts to, in a word.
type Result string

// The results, each with the exit code of the command line.
const (
	Converged   Result = "converged"   // 0: every host is as the revision wants it
	Errored     Result = "error"       // 1: evenkeel itself could not go on, or the repo has faults
	Stopped     Result = "stopped"     // 1: by the operator, with something left to do
	Failed      Result = "failed"      // 2: a host failed, or has a problem that keeps it from being changed
	Unreachable Result = "unreachable" // 4: a host does not answer
	Halted      Result = "halted"      // 5: by the budget
	Reverted    Result = "reverted"    // 6: a host went back to its previous generation
	Blocked     Result = "blocked"     // 7: another controller, or an admin's job, is there
)

var exits = map[Result]int{Converged: 0, Errored: 1, Stopped: 1, Failed: 2, Unreachable: 4, Halted: 5, Reverted: 6, Blocked: 7}

// Exit is the result's exit code.
func (r Result) Exit() int { return exits[r] }

// Ended is all that is known when an apply has ended.
type Ended struct {
	Plan  rollout.Plan  // of the last look
	State rollout.State // the last; zero where nothing was begun
	// Earlier are the visits of passes before the last one.
	Earlier []rollout.Visit
	// Skipped are hosts that were looked at for the budgets only.
	Skipped map[string]bool
	// Mends say, by unreachable host, what a person can do about it.
	Mends map[string]string
	// Faults are what is wrong in the repo and left services out.
	Faults []desired.Fault
	// Claims are hosts that another controller claims, by host: nothing was done.
	Claims map[string]string
	// Suspended tells that what is suspended, and differs, counts as not done.
	Suspended bool
	// Overtaken, where set, is who else is at work there: nothing was done.
	Overtaken *Overtaken
	// Stopped tells that the operator stopped it; Err why it could not go on.
	Stopped bool
	Err     error
	// Why, where nothing was begun although there was something to do, says why.
	Why string
}

// Outcome is what an apply amounts to, as it is reported.
type Outcome struct {
	Revision    string          `json:"revision"`
	Result      Result          `json:"result"`
	Exit        int             `json:"exit"`
	Visits      []rollout.Visit `json:"visits"`
	NotDone     []NotDone       `json:"notDone"`
	LeftDrained []LeftDrained   `json:"leftDrained"`
	Hosts       int             `json:"hosts"` // that it was asked for
	// Error is why evenkeel itself could not go on.
	Error string `json:"error,omitempty"`
	// WindowsIgnored are windows, in words, that were closed and did not count.
	WindowsIgnored []string `json:"windowsIgnored,omitempty"`
	// Undo tells that it was to go back, not to what the revision wants.
	Undo *rollout.Back `json:"undo,omitempty"`
}

// NotDone is something that is not as the revision wants it.
type NotDone struct {
	Host     string   `json:"host,omitempty"`
	Services []string `json:"services,omitempty"`
	Result   Result   `json:"result"`
	Reason   string   `json:"reason"`
	Mend     string   `json:"mend,omitempty"`
}

// LeftDrained is an instance that still gets no traffic through our doing.
type LeftDrained struct {
	Host    string `json:"host"`
	Service string `json:"service"`
	Where   string `json:"where"` // the balancer, in words
}

// OutcomeOf judges. Where several things went wrong, the exit code is the first of
// 1 (an error), 6, 2, 7, 5 and 4 that applies; a stop by the operator and faults in
// the repo count only where nothing else did go wrong.
func OutcomeOf(e Ended) Outcome {
	o := Outcome{Revision: e.Plan.Revision, WindowsIgnored: e.Plan.WindowsIgnored, Undo: e.Plan.Undo, NotDone: []NotDone{}, LeftDrained: []LeftDrained{}}
	if e.Err != nil {
		o.Error = e.Err.Error()
	}
	if e.State.ID == "" {
		e.State.Visits, e.State.Stopping = e.Plan.Visits, orWords(e.Why, "not begun")
	}
	o.Visits = append(slices.Clone(e.Earlier), e.State.Visits...)
	if o.Visits == nil {
		o.Visits = []rollout.Visit{}
	}
	for _, h := range e.Plan.Hosts {
		if !e.Skipped[h.Host] {
			o.Hosts++
		}
	}
	o.visits(e)
	o.hostsLeft(e)
	o.repo(e)
	o.Result = o.worst(e)
	o.Exit = o.Result.Exit()
	return o
}

// visits takes what was begun, or should have been.
func (o *Outcome) visits(e Ended) {
	for _, v := range e.State.Visits {
		if v.LeftDrained() {
			o.leftDrained(v)
		}
		if v.Result == rollout.ResultDone || v.Phase == rollout.PhasePending && e.Claims[v.Host] != "" {
			continue // hostsLeft tells of a host that belongs to somebody else
		}
		n := NotDone{Host: v.Host, Services: v.Services, Reason: v.Reason, Mend: v.Mend}
		switch {
		case v.Result == rollout.ResultReverted:
			n.Result = Reverted
		case v.Refused && (v.Result == rollout.ResultFailed || v.Result == rollout.ResultLost):
			n.Result = Blocked
		case v.Result == rollout.ResultLost:
			n.Result = Unreachable
		case v.Result == rollout.ResultFailed, v.Result == rollout.ResultConflict:
			n.Result = Failed
		case v.Active():
			n.Result, n.Reason = Errored, "left in the middle of "+string(v.Phase)
		case e.State.Halted != nil && e.State.Halted.Kind == rollout.HaltBlocked:
			n.Result, n.Reason, n.Mend = blocked(&e.State, &v)
		case e.State.Halted != nil:
			n.Result, n.Reason = Halted, haltWords(*e.State.Halted)
		default:
			n.Result, n.Reason = Stopped, orWords(e.State.Stopping, "not begun")
		}
		if (n.Result == Reverted || n.Result == Failed) && n.Mend == "" && len(v.Services) > 0 {
			n.Mend = "evenkeel explain " + v.Host + "/" + v.Services[0] + " tells more"
		}
		o.NotDone = append(o.NotDone, n)
	}
}

// blocked says for what outside word a visit was not begun, and how it is given.
func blocked(st *rollout.State, v *rollout.Visit) (r Result, reason, mend string) {
	w := st.WaitsFor(v)
	if w == nil {
		return Blocked, "comes after what is blocked: " + st.Halted.Reason, ""
	}
	return Blocked, w.Reason, waitMends[w.Kind]
}

var waitMends = map[rollout.WaitKind]string{
	rollout.WaitPromotion: "evenkeel apply --promote accepts the canary, and goes on",
	rollout.WaitWindow:    "run it again then; evenkeel apply --ignore-windows does not wait",
}

// leftDrained names the balancers that still hold an instance back.
func (o *Outcome) leftDrained(v rollout.Visit) {
	for _, r := range v.Drained {
		where := r.Adapter
		if spec, err := drain.SpecOf(r); err == nil {
			where = drain.Describe(spec)
		}
		o.LeftDrained = append(o.LeftDrained, LeftDrained{Host: v.Host, Service: r.Service, Where: where})
	}
}

// hostsLeft takes hosts to which nothing could be done at all.
func (o *Outcome) hostsLeft(e Ended) {
	for _, h := range e.Plan.Hosts {
		if e.Skipped[h.Host] {
			continue
		}
		if by, ok := e.Claims[h.Host]; ok {
			o.NotDone = append(o.NotDone, NotDone{Host: h.Host, Result: Blocked, Reason: "belongs to controller " + by,
				Mend: "let that controller do it, or say --take-over"})
			continue
		}
		if e.Overtaken != nil && e.Overtaken.Host == h.Host {
			o.NotDone = append(o.NotDone, NotDone{Host: h.Host, Result: Blocked, Reason: e.Overtaken.Error(),
				Mend: "wait until it has ended, and run apply again"})
			continue
		}
		if o.suspended(e, h); h.SuspendedWhy() != "" {
			continue
		}
		if !h.Reachable {
			o.NotDone = append(o.NotDone, NotDone{Host: h.Host, Result: Unreachable, Reason: h.Reason, Mend: e.Mends[h.Host]})
			continue
		}
		for _, p := range h.Problems {
			n := NotDone{Host: h.Host, Result: Failed, Reason: p.Words(), Mend: p.Mend}
			if p.Refused {
				n.Result = Reverted
			}
			if p.Service != "" {
				n.Services = []string{p.Service}
			}
			o.NotDone = append(o.NotDone, n)
		}
	}
}

// suspended takes what was left as it is although it differs, or is not known.
func (o *Outcome) suspended(e Ended, h rollout.HostPlan) {
	for _, s := range h.Suspended {
		if !e.Suspended || s.Changes == 0 && h.Reachable {
			continue
		}
		n := NotDone{Host: h.Host, Result: Blocked, Reason: s.Reason}
		if s.Service != "" {
			n.Services = []string{s.Service}
			n.Reason = s.Service + " is " + s.Reason
		}
		o.NotDone = append(o.NotDone, n)
	}
}

// repo takes services that their faults left out.
func (o *Outcome) repo(e Ended) {
	for _, f := range e.Faults {
		if f.Service != "" && f.IsError() {
			o.NotDone = append(o.NotDone, NotDone{Services: []string{f.Service}, Result: Errored, Reason: f.Pos.String() + ": " + f.Message, Mend: f.Mend})
		}
	}
}

// worst is the result by which the exit code is chosen.
func (o *Outcome) worst(e Ended) Result {
	if e.Err != nil {
		return Errored
	}
	has := func(r Result) bool {
		return slices.ContainsFunc(o.NotDone, func(n NotDone) bool { return n.Result == r })
	}
	halt := e.State.Halted
	switch {
	case has(Reverted):
		return Reverted
	case has(Failed):
		return Failed
	case has(Blocked):
		return Blocked
	case halt != nil && halt.Kind == rollout.HaltBudget:
		return Halted
	case has(Unreachable), halt != nil && halt.Kind == rollout.HaltLost:
		return Unreachable
	case (e.Stopped || e.State.Aborted) && len(o.NotDone) > 0:
		return Stopped
	case len(o.NotDone) > 0:
		return Errored
	}
	return Converged
}

// haltWords is why a visit was not begun. What went wrong on the host that is to
// blame stands with that host.
func haltWords(h rollout.Halt) string {
	switch {
	case h.Kind == rollout.HaltBudget:
		return "halted by the budget: " + h.Reason
	case h.Host == "":
		return "halted: " + h.Reason
	}
	what := map[rollout.HaltKind]string{rollout.HaltReverted: "was taken back", rollout.HaltFailed: "failed", rollout.HaltLost: "was lost"}[h.Kind]
	return fmt.Sprintf("halted: %s %s", h.Host, what)
}

func orWords(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// shownReasons is how many different reasons the last line gives.
const shownReasons = 4

// Words is the outcome in one line. It names what was not done, and what is left
// drained. It may hold words of hosts: clean it before it is printed.
//
//	converged: 5 hosts at 4f1c2d9
//	not done: web-3 (reverted: …); web-4, web-5 (halted: web-3 was taken back: …)
func (o Outcome) Words() string {
	var s string
	switch {
	case o.Result == Converged && o.Undo != nil:
		s = o.undone()
	case o.Result == Converged:
		s = fmt.Sprintf("converged: %s at %s", number(o.Hosts, "host"), rollout.ShortRevision(o.Revision))
	case len(o.NotDone) > 0:
		s = "not done: " + o.reasons()
	default:
		s = string(o.Result)
	}
	if o.Error != "" {
		s += "; " + o.Error
	}
	var left []string
	for _, l := range o.LeftDrained {
		left = append(left, fmt.Sprintf("%s %s at %s", l.Host, l.Service, l.Where))
	}
	if len(left) > 0 {
		s += "; LEFT DRAINED: " + strings.Join(left, ", ")
	}
	return s
}

// undone says who went back to what.
func (o Outcome) undone() string {
	to := map[string][]string{}
	for _, v := range o.Visits {
		if v.Undo != nil && v.Result == rollout.ResultDone {
			to[v.Undo.Revision] = append(to[v.Undo.Revision], v.Host)
		}
	}
	var parts []string
	for _, revision := range slices.Sorted(maps.Keys(to)) {
		parts = append(parts, fmt.Sprintf("%s back at %s", number(len(to[revision]), "host"), rollout.ShortRevision(revision)))
	}
	if len(parts) == 0 {
		return "nothing to undo"
	}
	return "undone: " + strings.Join(parts, ", ")
}

// reasons groups what was not done by why.
func (o Outcome) reasons() string {
	var order []string
	subjects := map[string][]string{}
	for _, n := range o.NotDone {
		why := n.why()
		if subjects[why] == nil {
			order = append(order, why)
		}
		who := n.Host
		if who == "" {
			who = "service " + strings.Join(n.Services, ", ")
		}
		if !slices.Contains(subjects[why], who) {
			subjects[why] = append(subjects[why], who)
		}
	}
	var parts []string
	for _, why := range order[:min(shownReasons, len(order))] {
		who := subjects[why]
		text := strings.Join(who[:min(8, len(who))], ", ")
		if len(who) > 8 {
			text += fmt.Sprintf(" and %d more", len(who)-8)
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", text, why))
	}
	if left := len(order) - shownReasons; left > 0 {
		parts = append(parts, fmt.Sprintf("and more for %s", number(left, "other reason")))
	}
	return strings.Join(parts, "; ")
}

func (n NotDone) why() string {
	switch {
	case n.Result == Halted || n.Result == Stopped || strings.HasPrefix(n.Reason, string(n.Result)) || strings.HasPrefix(n.Reason, "left in the middle"):
		return n.Reason
	case n.Reason == "":
		return string(n.Result)
	}
	return string(n.Result) + ": " + n.Reason
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
