package main

import (
	"slices"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// Hook is world.Watcher's: S12, a hook that runs once never runs twice at once, and never
// again once it has ended well.
func (s *simulation) Hook(h *world.Host, a *world.Actor, op hostdriver.Hook, stage world.HookStage) {
	if !op.Once {
		return
	}
	b := &s.books
	switch stage {
	case world.HookBegins:
		if other := b.migrating[op.ID]; other != nil {
			s.violated("S12", "hook %s of %s begins on %s while it runs on %s", op.Name, op.Service, h.Name, other.Name)
		}
		if b.migrated[op.ID] && !op.Retry { // with retry, a host that does not answer may have run it
			s.violated("S12", "hook %s of %s is run again, on %s", op.Name, op.Service, h.Name)
		}
		b.migrating[op.ID] = h
		s.stats.Hooks++
	case world.HookDone:
		delete(b.migrating, op.ID)
		b.migrated[op.ID] = true
	case world.HookCut:
		delete(b.migrating, op.ID)
		if !op.Retry { // a person finds out that nothing was done
			s.mends = append(s.mends, func() { delete(h.Hooks, op.Mark()) })
		}
	}
}

// checkMigrated is S12's other half: what a visit brings is never switched to before the
// hooks that run once for it have ended well.
func (s *simulation) checkMigrated(c *controller, h *world.Host, a *world.Actor) {
	if a.Back || a.Visit < 0 || c.state.Visits[a.Visit].Undo != nil {
		return
	}
	for _, inst := range c.hosts[h.Name].Desired.Instances {
		if !slices.Contains(c.state.Visits[a.Visit].Services, inst.Service) {
			continue
		}
		for _, x := range inst.Hooks {
			if !s.books.migrated[x.ID] {
				s.violated("S12", "%s on %s is switched, and its hook %s has not run", inst.Service, h.Name, x.Name)
			}
		}
	}
}
