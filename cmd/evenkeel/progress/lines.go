package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/rollout"
)

// What a phase waits for is told when it lasts longer than tellAfter, and then again
// where it changes, at most every repeatEvery.
const (
	tellAfter   = time.Second
	repeatEvery = 5 * time.Second
)

// Lines turns the successive states of one rollout into lines. Its zero value is
// ready; it is not safe for concurrent use.
type Lines struct {
	visits   map[int]lastLine
	waiting  map[string]string              // by service: the budget's arithmetic last told
	canaries map[string]rollout.CanaryState // by service, as last told
	closed   map[string]bool                // by service: its windows, as last told
	leads    map[string]string              // by service
	paused   bool
	stopped  string
	halted   string
}

// lastLine is what was last told of a visit.
type lastLine struct {
	phase   rollout.Phase
	reason  string
	failing string
	at      time.Duration
}

// Of are the lines that st has to tell beyond the states before it.
func (l *Lines) Of(st rollout.State) []string {
	if l.visits == nil {
		l.closed = map[string]bool{}
		l.leads = map[string]string{}
		l.visits, l.waiting, l.canaries = map[int]lastLine{}, map[string]string{}, map[string]rollout.CanaryState{}
	}
	var out []string
	for _, v := range st.Visits {
		if text := l.visit(st, v); text != "" {
			out = append(out, text)
		}
	}
	for _, s := range st.Services {
		if text := l.canary(s, st.At); text != "" {
			out = append(out, show.Clean(text))
		}
		if w := s.Window; w.Known && w.Open == l.closed[s.Service] {
			if l.closed[s.Service] = !w.Open; !w.Open {
				out = append(out, show.Clean(w.Words(s.Service))+" → waits")
			} else {
				out = append(out, show.Clean(s.Service)+": windows open")
			}
		}
		if text := rollout.LeadWords(s.Instances); text != l.leads[s.Service] {
			l.leads[s.Service] = text
			out = append(out, show.Clean(s.Service+": "+text))
		}
		if s.Sum != "" && s.Sum != l.waiting[s.Service] {
			l.waiting[s.Service] = s.Sum
			out = append(out, show.Clean(s.Sum)+" → waits")
		}
	}
	if paused := st.Paused != nil; paused != l.paused {
		l.paused = paused
		text := "resumed"
		if paused {
			text = show.Clean(st.Paused.String())
		}
		out = append(out, text)
	}
	if st.Stopping != l.stopped {
		l.stopped = st.Stopping
		out = append(out, "no further host is begun: "+show.Clean(st.Stopping))
	}
	if h := st.Halted; h != nil && h.Reason != l.halted {
		l.halted = h.Reason
		out = append(out, show.Clean(strings.TrimPrefix("halted: "+orNothing(h.Host, ": ")+h.Reason, " ")))
	}
	return out
}

// canary tells where a service's canaries stand, where that is another place than before.
func (l *Lines) canary(s rollout.ServiceState, at time.Duration) string {
	last, now := l.canaries[s.Service], s.Canary
	if last.Phase == now.Phase && last.Down == now.Down && last.Said == now.Said {
		return ""
	}
	l.canaries[s.Service] = now
	return now.Words(s.Service, at)
}

func orNothing(s, sep string) string {
	if s == "" {
		return ""
	}
	return s + sep
}

func (l *Lines) visit(st rollout.State, v rollout.Visit) string {
	last, known := l.visits[v.ID]
	who := show.Clean(v.Host)
	if len(v.Services) > 0 {
		who += " " + show.Clean(strings.Join(v.Services, ", "))
	}
	text := ""
	switch {
	case v.Phase == last.phase && v.Active():
		pause := repeatEvery
		if last.reason == "" {
			pause = tellAfter
		}
		if v.Reason == "" || v.Reason == last.reason || st.At-last.at < pause {
			return ""
		}
		text = fmt.Sprintf("%s: %s (%s)", who, v.Phase, show.Clean(v.Reason))
	case v.Phase == last.phase:
		return ""
	case v.Phase == rollout.PhaseEnded:
		text = fmt.Sprintf("%s: %s after %s", who, v.Result, show.Duration(v.Since-v.Began))
		if v.Result != rollout.ResultDone && v.Reason != "" {
			text += ": " + show.Clean(v.Reason)
		}
	case !known:
		text = fmt.Sprintf("%s: %s", who, v.Phase)
	default:
		text = fmt.Sprintf("%s: %s → %s", who, last.phase, v.Phase)
		if why := whyNow(v); why != "" && why != last.failing {
			text += " (" + show.Clean(why) + ")"
		}
	}
	l.visits[v.ID] = lastLine{v.Phase, v.Reason, v.Failing, st.At}
	return text
}

// whyNow is what there is to say of a visit beside its phase. What one that has not
// begun waits for is its service's to tell.
func whyNow(v rollout.Visit) string {
	switch {
	case v.Phase == rollout.PhasePending:
		return ""
	case v.Failing != "":
		return v.Failing
	}
	return v.Reason
}
