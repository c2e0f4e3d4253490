package world

import (
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Library knows every content there is, by digest, and what a process that has read
// it is like.
type Library struct{ items map[string]*Item }

// Item is one content.
type Item struct {
	SHA256  string
	Content hostdriver.Content
	Vars    map[string]string // of an env file
	Conduct *Conduct          // nil: nothing out of the ordinary
}

// Conduct is how a process behaves that has read something.
type Conduct struct {
	Ready        time.Duration `json:"ready,omitempty"`        // from its start until its health check passes
	Sick         bool          `json:"sick,omitempty"`         // its health check never passes
	Dies         time.Duration `json:"dies,omitempty"`         // so long after its start; 0: it lives
	DiesSpread   time.Duration `json:"diesSpread,omitempty"`   // more than that, at most
	CannotStart  bool          `json:"cannotStart,omitempty"`  // exec itself fails
	NeverStarted bool          `json:"neverStarted,omitempty"` // Type=notify: never says that it is ready
}

// NewLibrary is an empty one.
func NewLibrary() *Library { return &Library{items: map[string]*Item{}} }

// Add makes a content known and returns its Item; one that is known already keeps
// its Conduct.
func (l *Library) Add(content string, env bool, conduct *Conduct) *Item {
	c := hostdriver.NewContent([]byte(content))
	sum := c.SHA256()
	if it, ok := l.items[sum]; ok {
		return it
	}
	it := &Item{SHA256: sum, Content: c, Conduct: conduct}
	if env {
		it.Vars = assignments(content)
	}
	l.items[sum] = it
	return it
}

// Get returns the Item of a digest, or nil.
func (l *Library) Get(sum string) *Item { return l.items[sum] }

// assignments reads KEY=VALUE lines; the files of this world have no others.
func assignments(content string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(content) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			m[k] = v
		}
	}
	return m
}

// together is how a process behaves that has read all of items: the worst of each.
func together(items []*Item) Conduct {
	var c Conduct
	for _, it := range items {
		if it == nil || it.Conduct == nil {
			continue
		}
		x := it.Conduct
		c.Ready = max(c.Ready, x.Ready)
		c.Sick = c.Sick || x.Sick
		c.CannotStart = c.CannotStart || x.CannotStart
		c.NeverStarted = c.NeverStarted || x.NeverStarted
		if x.Dies > 0 && (c.Dies == 0 || x.Dies < c.Dies) {
			c.Dies, c.DiesSpread = x.Dies, x.DiesSpread
		}
	}
	return c
}
