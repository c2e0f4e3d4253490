package progress

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/rollout"
)

// redrawEvery is how often the table is drawn.
const redrawEvery = 100 * time.Millisecond

// Live keeps a rollout's View in place on a terminal until Stop, which takes it
// away. It reads no input and handles no signal. Report, Say and Write may be called
// from any goroutine and return soon.
type Live struct {
	program *tea.Program
	ended   chan struct{}

	mu   sync.Mutex
	last snapshot
	part []byte // of a line that Write has not seen the end of
}

// snapshot is a state and when, by our clock, it was its own At.
type snapshot struct {
	state rollout.State
	began time.Time
	known bool
}

// NewLive begins to draw on out, which must be a terminal (or, with size given, may
// be anything). colour false leaves out all styling.
func NewLive(out io.Writer, colour bool, size Size) *Live {
	l := &Live{ended: make(chan struct{})}
	options := []tea.ProgramOption{tea.WithInput(nil), tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithFPS(30)}
	if size.Width > 0 {
		options = append(options, tea.WithWindowSize(size.Width, size.Height))
	}
	l.program = tea.NewProgram(model{live: l, colour: colour, size: size}, options...)
	go func() {
		defer close(l.ended)
		_, _ = l.program.Run() // without it there is no table; the rollout goes on
	}()
	return l
}

// Report takes the rollout's newest state.
func (l *Live) Report(st rollout.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = snapshot{state: st, began: time.Now().Add(-st.At), known: true}
}

// Say prints a line above the table, for good.
func (l *Live) Say(line string) { l.program.Println(line) }

// Write is for logs: each whole line is printed above the table.
func (l *Live) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.part = append(l.part, p...)
	var whole []string
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			break
		}
		whole = append(whole, string(l.part[:i]))
		l.part = l.part[i+1:]
	}
	l.mu.Unlock()
	if len(whole) > 0 {
		l.Say(strings.Join(whole, "\n"))
	}
	return len(p), nil
}

// Stop takes the table away and returns once the terminal is as it was.
func (l *Live) Stop() {
	l.program.Send(endMsg{})
	<-l.ended
}

func (l *Live) snapshot() snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// model is what the terminal library draws: the last snapshot, at each tick.
type model struct {
	live   *Live
	colour bool
	size   Size
	ending bool
}

type (
	tickMsg struct{}
	endMsg  struct{}
)

func tick() tea.Cmd { return tea.Tick(redrawEvery, func(time.Time) tea.Msg { return tickMsg{} }) }

func (m model) Init() tea.Cmd { return tick() }

func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.size = Size{msg.Width, msg.Height}
	case endMsg:
		m.ending = true
		return m, tea.Quit
	case tickMsg:
		return m, tick()
	}
	return m, nil
}

func (m model) View() tea.View {
	last := m.live.snapshot()
	if m.ending || !last.known || m.size.Width == 0 {
		return tea.NewView("")
	}
	text := View(last.state, time.Since(last.began), m.size)
	if !m.colour {
		text = show.Plain(text)
	}
	return tea.NewView(text)
}
