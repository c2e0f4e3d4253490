package lint

import (
	"context"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/desired"
)

// Linter looks at the hosts of one Revision. What is the same on many hosts is looked at
// once. It is safe for concurrent use.
type Linter struct {
	rev      *desired.Revision
	services map[string]*desired.Service

	mu   sync.Mutex
	seen map[string][]desired.Fault // by what was looked at
}

// New returns a Linter of rev.
func New(rev *desired.Revision) *Linter {
	l := &Linter{rev: rev, services: map[string]*desired.Service{}, seen: map[string][]desired.Fault{}}
	for i := range rev.Services {
		l.services[rev.Services[i].Name] = &rev.Services[i]
	}
	return l
}

// Check is the desired.Check of all rules.
func (l *Linter) Check(_ context.Context, st desired.HostState) []desired.Fault {
	var found []desired.Fault
	for i := range st.Instances {
		found = append(found, l.instance(&st.Instances[i])...)
	}
	return found
}

// instance looks at one instance, unless one like it has been.
func (l *Linter) instance(in *desired.Instance) []desired.Fault {
	svc := l.services[in.Service]
	if svc == nil {
		return nil
	}
	key := likeness(in)
	l.mu.Lock()
	found, ok := l.seen[key]
	l.mu.Unlock()
	if ok {
		return found
	}
	c := &check{svc: svc, in: in, levels: l.rev.Levels(svc.Spec)}
	c.all()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[key] = c.found
	return c.found
}

// likeness is the same for instances on which every rule finds the same: rules look at
// files and at how the service is drained, and a file's content has its digest.
func likeness(in *desired.Instance) string {
	var b strings.Builder
	b.WriteString(in.Service)
	for i := range in.Files {
		b.WriteString("\n" + in.Files[i].SHA256)
	}
	for _, d := range in.Drain {
		b.WriteString("\n" + d.WaitAtMost().String())
	}
	return b.String()
}

// check is one instance being looked at.
type check struct {
	svc    *desired.Service
	in     *desired.Instance
	levels func(rule string) desired.Level
	found  []desired.Fault
}

func (c *check) all() {
	for i := range c.in.Units {
		u := &c.in.Units[i]
		if len(u.Text.Directives) == 0 || strings.Contains(u.Name, "@.") && c.hasInstance(u) {
			continue
		}
		c.unit(&unit{Unit: u, check: c})
	}
	c.environment()
	c.files()
}

// hasInstance tells whether an instance of a template is looked at itself.
func (c *check) hasInstance(template *desired.Unit) bool {
	for i := range c.in.Units {
		if u := &c.in.Units[i]; u != template && u.File == template.File && u.File != "" {
			return true
		}
	}
	return false
}

// say adds a finding, unless the rule is off.
func (c *check) say(pos desired.Position, rule, message, mend string) {
	level := c.levels(rule)
	if level == desired.LevelOff {
		return
	}
	severity := desired.SeverityWarning
	if level == desired.LevelError {
		severity = desired.SeverityError
	}
	c.found = append(c.found, desired.Fault{Pos: pos, Severity: severity, Rule: rule, Service: c.in.Service, Message: message, Mend: mend})
}

// drained tells whether a balancer sends the instance its traffic, and how long taking it
// out of that may last.
func (c *check) drained() (balanced bool) {
	for _, d := range c.in.Drain {
		balanced = balanced || d.HAProxy != nil || d.Nginx != nil
	}
	return balanced
}
