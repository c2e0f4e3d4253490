package rollout

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

var update = flag.Bool("update", false, "write the transcripts of testdata anew")

// TestScripts replays testdata/*.txt: blocks of words to the engine, each with the
// transcript of what it answered. A block's first lines are words (see scripted.do),
// then ----, then the expected transcript up to an empty line. Lines with # are prose.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(data))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(data), got); diff != "" {
				t.Errorf("transcript (-want +got; go test -update writes it anew):\n%s", diff)
			}
		})
	}
}

func replay(t *testing.T, script string) string {
	s := &scripted{t: t, uncommanded: map[string]Command{}}
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimRight(script, "\n"), "\n\n") {
		words, _, has := strings.Cut(block+"\n", "----\n")
		out.WriteString(words)
		if !has {
			out.WriteString("\n")
			continue
		}
		s.log.Reset()
		for _, line := range strings.Split(strings.TrimSpace(words), "\n") {
			if !strings.HasPrefix(line, "#") {
				s.do(strings.Fields(line))
			}
		}
		out.WriteString("----\n" + s.log.String() + "\n")
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

type scripted struct {
	t           *testing.T
	plan        Plan
	state       State
	at          time.Duration
	log         strings.Builder
	uncommanded map[string]Command // the open command of each host, and of each look
}

// do obeys one line:
//
//	service NAME hosts=h1,h2 [after=a] [max=1|25%] [batches=1,25%] [soak=2s] [deadline=30s] [progress=60s] [drain=10s] [norevert]
//	        [promote=30s] [current=h3] [windows] [spread=h1:a,h2:b] [leader] [unreachable=skip]
//	window SERVICE open|closed [for=1h]
//	visit HOST SERVICE[,SERVICE] [quiet] [recover] [stale] [canary] [canary=SERVICE] [follows]
//	      [wentback] [once=HOOK]
//	begin | stop | replan | pause [WHY…] | resume | abort [WHY…] | promote [SERVICE] | block
//	look SERVICE [down=h2:reason,…] [definite] [idle] [gone=h2] [leads=h1,h2] [unsure=h3]
//	ok HOST [from=1] [to=2] [sessions=3] [forgot] [closed] [new|old|failed|activating] [restarts=2] [checks=bad]
//	through HOST
//	fail HOST REASON… | conflict HOST REASON… | unknown HOST
//	wait DURATION
func (s *scripted) do(w []string) {
	opt := map[string]string{}
	for _, x := range w {
		k, v, _ := strings.Cut(x, "=")
		opt[k] = v
	}
	has := func(k string) bool { _, ok := opt[k]; return ok }
	switch w[0] {
	case "service":
		s.service(w[1], opt)
	case "visit":
		s.visit(w[1], strings.Split(w[2], ","), opt, has)
	case "begin":
		s.state = New("r1", s.plan)
		s.step(Event{Kind: EventBegin})
	case "stop":
		s.step(Event{Kind: EventStop, Reason: "stopped by the operator"})
	case "replan":
		s.step(Event{Kind: EventReplan})
	case "promote":
		e := Event{Kind: EventPromote, By: "alice"}
		if len(w) > 1 {
			e.Service = w[1]
		}
		s.step(e)
	case "pause", "resume", "abort", "block":
		s.step(Event{Kind: EventKind(w[0]), By: "alice", Reason: strings.Join(w[1:], " ")})
	case "wait":
		d, err := time.ParseDuration(w[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.at += d
	case "window":
		s.window(w[1], w[2] == "open", opt["for"])
	case "look":
		s.look(w[1], opt)
	case "through": // to the end of the visit
		for _, open := s.uncommanded[w[1]]; open; _, open = s.uncommanded[w[1]] {
			s.result([]string{"ok", w[1]}, map[string]string{"from": "1", "to": "2", "new": ""})
		}
	case "ok", "fail", "conflict", "refused", "unknown":
		s.result(w, opt)
	default:
		s.t.Fatalf("script: unknown word %q", w[0])
	}
}

func (s *scripted) service(name string, opt map[string]string) {
	dur := func(k string, def time.Duration) time.Duration {
		if d, err := time.ParseDuration(opt[k]); err == nil {
			return d
		}
		return def
	}
	st := desired.Strategy{MaxUnavailable: desired.Count(1), MinHealthyTime: dur("soak", 2*time.Second), HealthyDeadline: dur("deadline", 30*time.Second),
		ProgressDeadline: dur("progress", time.Minute), DrainTimeout: dur("drain", 10*time.Second), AutoRevert: true}
	if _, ok := opt["norevert"]; ok {
		st.AutoRevert = false
	}
	if m, ok := opt["max"]; ok {
		st.MaxUnavailable = s.count(m)
	}
	for _, b := range strings.Split(opt["batches"], ",") {
		if b != "" {
			st.Batches = append(st.Batches, s.count(b))
		}
	}
	if d, ok := opt["promote"]; ok {
		st.Promote = desired.Promote{Set: true, Auto: true, After: dur("promote", 0)}
		if d == "0" {
			st.Promote.After = 0
		}
	}
	if _, ok := opt["windows"]; ok {
		st.Windows = desired.Windows{{Kind: desired.WindowAllow, Schedule: "0 22 * * *"}}
	}
	if _, ok := opt["leader"]; ok {
		st.LeaderLast = &desired.LeaderLast{Command: "is-leader"}
	}
	if u := opt["unreachable"]; u != "" {
		st.OnUnreachable = u
	}
	sp := ServicePlan{Service: name, Strategy: st, Canary: &CanaryPlan{}}
	if c := opt["current"]; c != "" {
		sp.Canary.Current = strings.Split(c, ",")
	}
	if p := opt["spread"]; p != "" {
		sp.Strategy.Spread, sp.Groups = "rack", map[string]string{}
		for _, x := range strings.Split(p, ",") {
			h, rack, _ := strings.Cut(x, ":")
			sp.Groups[h] = rack
		}
	}
	if a := opt["after"]; a != "" {
		sp.After = strings.Split(a, ",")
	}
	for _, h := range strings.Split(opt["hosts"], ",") {
		sp.Instances = append(sp.Instances, Instance{Host: h, Service: name, Up: true})
	}
	s.plan.Services = append(s.plan.Services, sp)
}

func (s *scripted) count(text string) desired.IntOrPercent {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil {
		s.t.Fatal(err)
	}
	return desired.IntOrPercent{Value: n, Percent: strings.HasSuffix(text, "%"), Set: true}
}

func (s *scripted) visit(host string, services []string, opt map[string]string, has func(string) bool) {
	v := Visit{ID: len(s.plan.Visits), Host: host, Services: services, Quiet: has("quiet"), Written: !has("stale"), Before: map[string]string{}}
	for _, name := range services {
		v.Watch = append(v.Watch, name+".service")
		v.Before[name+".service"] = "old"
		verb := hostdriver.VerbRestart
		if v.Quiet {
			verb = hostdriver.VerbStart
		} else {
			v.Disturbs, v.Drains = append(v.Disturbs, name), append(v.Drains, name)
		}
		v.Actions = append(v.Actions, UnitAction{Service: name, Unit: name + ".service", Verb: verb})
	}
	if id := opt["once"]; id != "" {
		v.Hooks = []HookRun{{Service: services[0], Name: id, ID: id, Once: true, Timeout: time.Minute}}
	}
	v.WentBack = has("wentback")
	if v.WentBack {
		v.Written, v.From, v.Actions = false, 1, nil
		v.Services, v.Proves, v.Disturbs, v.Drains = nil, services, nil, nil
	}
	if has("recover") {
		v.Recover, v.Recorded = true, true
		v.Drained = []hostdriver.DrainRecord{{Service: services[0], Adapter: "haproxy"}}
	}
	for i := range s.plan.Services {
		sp := &s.plan.Services[i]
		switch of := slices.Contains(services, sp.Service); {
		case of && has("canary") && (opt["canary"] == "" || opt["canary"] == sp.Service):
			v.Canary, sp.Canary.Hosts = append(v.Canary, sp.Service), append(sp.Canary.Hosts, host)
		case of && has("follows"):
			v.Follows, sp.Canary.Following = append(v.Follows, sp.Service), append(sp.Canary.Following, host)
		}
	}
	s.plan.Visits = append(s.plan.Visits, v)
	sizeBatches(&s.plan)
}

func (s *scripted) look(service string, opt map[string]string) {
	c, ok := s.uncommanded["look "+service]
	if !ok {
		s.t.Fatalf("script: nobody asked for a look at %s, after\n%s", service, s.log.String())
	}
	delete(s.uncommanded, "look "+service)
	s.at += c.After
	ss := s.state.service(service)
	is := append([]Instance(nil), ss.Instances...)
	_, definite := opt["definite"]
	_, idle := opt["idle"]
	for i := range is {
		is[i] = Instance{Host: is[i].Host, Service: is[i].Service, Up: true}
		switch {
		case ss.Strategy.LeaderLast == nil:
		case slices.Contains(strings.Split(opt["leads"], ","), is[i].Host):
			is[i].Lead.Is = LeadYes
		case slices.Contains(strings.Split(opt["unsure"], ","), is[i].Host):
			is[i].Lead = Lead{Is: LeadUnknown, Reason: "no answer"}
		default:
			is[i].Lead.Is = LeadNo
		}
		if slices.Contains(strings.Split(opt["gone"], ","), is[i].Host) {
			is[i].Up, is[i].Definite, is[i].Unreachable, is[i].Reason = false, true, true, "unreachable"
		}
		for _, d := range strings.Split(opt["down"], ",") {
			if h, reason, _ := strings.Cut(d, ":"); h == is[i].Host {
				is[i].Up, is[i].Definite, is[i].Idle, is[i].Reason = false, definite, idle, reason
			}
		}
	}
	s.step(Event{Kind: EventObserved, Service: service, Outcome: Success, Instances: is})
}

func (s *scripted) window(service string, open bool, lasts string) {
	c, ok := s.uncommanded["window "+service]
	if !ok {
		s.t.Fatalf("script: nobody asked for the windows of %s, after\n%s", service, s.log.String())
	}
	delete(s.uncommanded, "window "+service)
	s.at += c.After
	o := Opening{Opening: desired.Opening{Open: open}}
	if !open {
		o.Why = "outside of every allow window"
	}
	if d, err := time.ParseDuration(lasts); err == nil {
		o.For, o.Until = d, day1.Add(s.at+d)
	}
	s.step(Event{Kind: EventWindow, Service: service, Window: &o})
}

func (s *scripted) result(w []string, opt map[string]string) {
	c, ok := s.uncommanded[w[1]]
	if !ok {
		s.t.Fatalf("script: no command is under way on %s, after\n%s", w[1], s.log.String())
	}
	delete(s.uncommanded, w[1])
	s.at += c.After
	e := Event{Kind: EventResult, Visit: c.Visit, Attempt: c.Attempt, Command: c.Kind, Outcome: Success}
	num := func(k string) int { n, _ := strconv.Atoi(opt[k]); return n }
	has := func(k string) bool { _, ok := opt[k]; return ok }
	switch w[0] {
	case "fail", "conflict", "refused":
		e.Outcome, e.Reason, e.Conflict, e.Refused = Failure, strings.Join(w[2:], " "), w[0] == "conflict", w[0] == "refused"
	case "unknown":
		e.Outcome, e.Reason = Unknown, "no answer"
	default:
		v := s.state.Visits[c.Visit]
		e.From, e.To, e.Sessions, e.Forgot = uint64(num("from")), uint64(num("to")), num("sessions"), has("forgot")
		e.InRotation = has("rotating")
		if c.Kind == CmdPrecheck {
			if has("closed") {
				e.Closed = "prometheus: errors is 0.3, above max 0.01"
			}
			for _, d := range v.Drains {
				e.Drains = append(e.Drains, hostdriver.DrainRecord{Service: d, Adapter: "haproxy"})
			}
		}
		if c.Kind == CmdProbe {
			e.Sample = &Sample{Units: map[string]UnitSample{}, Checks: opt["checks"] != "bad", Reason: "status 503, want 200"}
			for _, u := range v.Watch {
				x := UnitSample{Active: "active", Sub: "running", Invocation: "new", PID: 2, Restarts: num("restarts"), Words: "exit status 1"}
				switch {
				case has("old"):
					x.Invocation = "old"
				case has("failed"):
					x.Active = "failed"
				case has("activating"):
					x.Active, x.Sub = "activating", "auto-restart"
				}
				e.Sample.Units[u] = x
			}
		}
	}
	s.step(e)
}

// stored is a state as it comes back from a store.
func stored(t *testing.T, s State) (back State) {
	data, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(data, &back)
	}
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// step runs the engine, by way of a store, and notes what it answered.
func (s *scripted) step(e Event) {
	e.At = s.at
	before := s.state
	state, cmds := Step(stored(s.t, s.state), e)
	s.state = state
	for i, v := range s.state.Visits {
		if i < len(before.Visits) && v.Phase == PhaseEnded && before.Visits[i].Phase != PhaseEnded {
			fmt.Fprintf(&s.log, "%s %s: %s", v.Host, strings.Join(v.Concerns(), "+"), v.Result)
			if v.Reason != "" {
				fmt.Fprintf(&s.log, ": %s", v.Reason)
			}
			if v.LeftDrained() {
				s.log.WriteString(" (left drained)")
			}
			s.log.WriteString("\n")
		}
		if i < len(before.Visits) && v.Phase == PhasePending && v.Reason != before.Visits[i].Reason {
			fmt.Fprintf(&s.log, "%s: %s\n", v.Host, v.Reason)
		}
	}
	for _, c := range cmds {
		key, text := c.Host, fmt.Sprintf("→ %s: %s", c.Host, c.Phase)
		switch c.Kind {
		case CmdObserve:
			key, text = "look "+c.Service, "→ look at "+c.Service
		case CmdWindow:
			key, text = "window "+c.Service, "→ are the windows of "+c.Service+" open?"
		}
		if c.After > 0 {
			text += fmt.Sprintf(" (in %s)", c.After)
		}
		s.uncommanded[key] = c
		s.log.WriteString(text + "\n")
	}
	if s.state.Halted != nil && before.Halted == nil {
		fmt.Fprintf(&s.log, "HALTED (%s): %s\n", s.state.Halted.Kind, s.state.Halted.Reason)
	}
	for i, ss := range s.state.Services {
		if i >= len(before.Services) {
			continue
		}
		text, was := ss.Canary.Words(ss.Service, s.at), before.Services[i].Canary.Words(ss.Service, s.at)
		if c := before.Services[i].Canary; text != was && (ss.Canary.Phase != c.Phase || ss.Canary.Said != c.Said || ss.Canary.Down != c.Down) {
			s.log.WriteString(text + "\n")
		}
	}
	for _, w := range s.state.Waits() {
		if !slices.Contains(before.Waits(), w) {
			fmt.Fprintf(&s.log, "WAITS for %s: %s\n", w.Kind, w.Reason)
		}
	}
	if p := s.state.Paused; p != nil && before.Paused == nil {
		fmt.Fprintf(&s.log, "%s\n", p)
	} else if p == nil && before.Paused != nil {
		s.log.WriteString("resumed\n")
	}
	if s.state.Done && !before.Done {
		fmt.Fprintf(&s.log, "DONE, %d of %d visits not done\n", len(s.state.NotDone()), len(s.state.Visits))
	}
}
