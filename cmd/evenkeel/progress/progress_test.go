package progress

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// transcript compares with testdata/NAME.txt; delete the file to have it written anew.
func transcript(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	want, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s was not there and is written: look at it", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s; got\n%s", file, got)
	}
}

func TestLinesOfARollout(t *testing.T) {
	for name, sick := range map[string]map[string]bool{"lines": nil, "lines_reverted": {"web-2": true}} {
		var lines Lines
		var text strings.Builder
		end := play(twoHosts(), sick, func(st rollout.State) {
			for _, l := range lines.Of(st) {
				fmt.Fprintf(&text, "%4s %s\n", st.At, l)
			}
		})
		if !end.Done {
			t.Fatalf("%s: the rollout does not end", name)
		}
		if again := lines.Of(end); again != nil {
			t.Errorf("%s: the same state is told twice: %v", name, again)
		}
		transcript(t, name, text.String())
	}
}

func TestLinesTellOperatorsWords(t *testing.T) {
	var lines Lines
	st := twoHosts()
	var text strings.Builder
	tell := func(e rollout.Event) {
		st, _ = rollout.Step(st, e)
		for _, l := range lines.Of(st) {
			fmt.Fprintln(&text, l)
		}
	}
	tell(rollout.Event{Kind: rollout.EventPause, By: "alice", Reason: "error rate"})
	fmt.Fprintln(&text, show.Plain(View(st, time.Minute, Size{72, 24})))
	tell(rollout.Event{Kind: rollout.EventResume, By: "bob"})
	tell(rollout.Event{Kind: rollout.EventAbort, By: "bob", Reason: "wrong version"})
	transcript(t, "words", text.String())
}

func TestLinesTellWhatIsWaitedFor(t *testing.T) {
	var lines Lines
	var text strings.Builder
	st := twoHosts()
	tell := func(change func(*rollout.ServiceState)) {
		st.Services = slices.Clone(st.Services)
		change(&st.Services[0])
		for _, l := range lines.Of(st) {
			fmt.Fprintln(&text, l)
		}
		st.At += 10 * time.Second
	}
	canary := func(c rollout.CanaryState) func(*rollout.ServiceState) {
		c.Hosts = []string{"web-1"}
		return func(s *rollout.ServiceState) { s.Canary = c }
	}
	until := time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC)
	tell(func(s *rollout.ServiceState) {
		s.Window = rollout.WindowState{Known: true, Opening: rollout.Opening{Opening: desired.Opening{Until: until, Why: "outside of every allow window"}}}
	})
	fmt.Fprintln(&text, show.Plain(View(st, st.At, Size{110, 24})))
	tell(func(s *rollout.ServiceState) { s.Window.Open = true })
	tell(canary(rollout.CanaryState{Phase: rollout.CanaryRolling}))
	tell(canary(rollout.CanaryState{Phase: rollout.CanaryWaiting, Until: 10 * time.Minute}))
	fmt.Fprintln(&text, show.Plain(View(st, st.At, Size{110, 24})))
	tell(canary(rollout.CanaryState{Phase: rollout.CanaryWaiting, Until: 10 * time.Minute})) // nothing new
	tell(canary(rollout.CanaryState{Phase: rollout.CanaryWaiting, Down: "web-1 is down: status 503"}))
	tell(canary(rollout.CanaryState{Phase: rollout.CanaryWaiting, Said: true, By: "alice"}))
	tell(canary(rollout.CanaryState{Phase: rollout.CanaryPromoted, Said: true, By: "alice"}))
	transcript(t, "waits", text.String())
}

func TestViewAtSomeMoments(t *testing.T) {
	var text strings.Builder
	n := 0
	play(twoHosts(), map[string]bool{"web-2": true}, func(st rollout.State) {
		if n++; n%9 == 0 || st.Done {
			fmt.Fprintf(&text, "--- at %s\n%s\n", st.At, show.Plain(View(st, st.At+500*time.Millisecond, Size{72, 24})))
		}
	})
	transcript(t, "view", text.String())
}

func TestViewFitsEveryTerminal(t *testing.T) {
	big := twoHosts()
	for i := range 300 {
		v := big.Visits[0]
		v.ID, v.Host = i+2, fmt.Sprintf("host-with-a-very-long-name-%d.example.com", i)
		switch i % 4 {
		case 1:
			v.Phase, v.Reason = rollout.PhaseWait, "3 sessions left\x1b[2J\nand more ünïcode ✔ 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"
		case 2:
			v.Phase, v.Result, v.Reason = rollout.PhaseEnded, rollout.ResultFailed, strings.Repeat("long ", 100)
		case 3:
			v.Phase, v.Result = rollout.PhaseEnded, rollout.ResultDone
		}
		big.Visits = append(big.Visits, v)
	}
	big.Services[0].Sum = strings.Repeat("gateway: 5 hosts, 1 down ", 20)
	for _, st := range []rollout.State{{}, twoHosts(), big} {
		for _, width := range []int{1, 2, 10, 40, 80, 200, 500} {
			for _, height := range []int{1, 2, 3, 4, 10, 24, 100} {
				lines := strings.Split(View(st, time.Minute, Size{width, height}), "\n")
				if len(lines) > max(1, height-1) {
					t.Errorf("%d visits in %dx%d: %d lines", len(st.Visits), width, height, len(lines))
				}
				for _, l := range lines {
					if w := ansi.StringWidth(l); w > width {
						t.Errorf("%dx%d: a line of %d cells: %q", width, height, w, l)
					}
				}
			}
		}
	}
}

func TestViewKeepsWhatMatters(t *testing.T) {
	st := twoHosts()
	for i := range 50 {
		v := st.Visits[0]
		v.ID, v.Host, v.Phase, v.Result = i+2, fmt.Sprintf("done-%d", i), rollout.PhaseEnded, rollout.ResultDone
		st.Visits = append(st.Visits, v)
	}
	active, bad := st.Visits[0], st.Visits[0]
	active.ID, active.Host, active.Phase = 52, "active", rollout.PhaseHealthy
	bad.ID, bad.Host, bad.Phase, bad.Result = 53, "bad", rollout.PhaseEnded, rollout.ResultReverted
	st.Visits = append(st.Visits, active, bad)
	text := show.Plain(View(st, time.Second, Size{80, 8}))
	for _, want := range []string{"active", "bad", "web-1", "web-2", "50 of 54 done, 1 in hand, 1 not done"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
}

func TestLiveDrawsAndGoesAway(t *testing.T) {
	var out lockedBuffer
	l := NewLive(&out, false, Size{80, 24})
	st := twoHosts()
	st.Visits[0].Phase, st.Visits[0].Reason = rollout.PhaseWait, "3 sessions left"
	l.Report(st)
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(out.String(), "3 sessions left") && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := io.WriteString(l, "a log line\nhalf"); err != nil {
		t.Fatal(err)
	}
	l.Say("finishing web-1")
	for !strings.Contains(out.String(), "finishing web-1") && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	l.Stop()
	for _, want := range []string{"3 sessions left", "a log line", "finishing web-1", "0 of 2 done, 1 in hand"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not drawn:\n%q", want, out.String())
		}
	}
	l.Report(st) // harmless after the end
}

// lockedBuffer is a bytes.Buffer for two goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
