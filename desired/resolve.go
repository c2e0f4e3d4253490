package desired

import (
	"context"
	"reflect"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/inventory"
)

// Resolve renders everything the Revision wants on one host: the services whose
// selector matches it. It is a pure function of the two; it may fetch artifacts
// into the ArtifactStore and opens SOPS files, each once a Revision.
//
// A host that was resolved without a fault is not resolved again: what Resolve returns is
// shared with those who ask later, and not to be written to.
//
// Where a service cannot be resolved the error is Faults, and the HostState is
// still whole for the other services: it names the one among Held. A done ctx is
// the only other error.
func (r *Revision) Resolve(ctx context.Context, host inventory.Host) (HostState, error) {
	if err := ctx.Err(); err != nil {
		return HostState{}, err
	}
	if st, ok := r.state.resolved.get(&host); ok {
		return st, nil
	}
	st, faults, err := r.resolve(ctx, host)
	if err != nil {
		return HostState{}, err
	}
	if len(faults.Errors()) == 0 {
		r.state.resolved.put(st)
	}
	return st, faults.Err()
}

// resolvedHosts are what was resolved, by the host's name.
type resolvedHosts struct {
	mu sync.RWMutex
	of map[string]HostState
}

// get returns what the very same host was resolved to.
func (c *resolvedHosts) get(h *inventory.Host) (HostState, bool) {
	c.mu.RLock()
	st, ok := c.of[h.Name]
	c.mu.RUnlock()
	return st, ok && sameHost(&st.Host, h)
}

func (c *resolvedHosts) put(st HostState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]HostState{}
	}
	c.of[st.Host.Name] = st
}

// sameHost tells whether two are one host's value: their maps are not compared, but must be
// the same ones.
func sameHost(a, b *inventory.Host) bool {
	same := func(x, y any) bool { return reflect.ValueOf(x).Pointer() == reflect.ValueOf(y).Pointer() }
	return a.Name == b.Name && a.Address == b.Address && a.Port == b.Port && a.User == b.User && a.Jump == b.Jump && a.Suspend == b.Suspend &&
		same(a.Labels, b.Labels) && same(a.Vars, b.Vars) && slices.Equal(a.Groups, b.Groups)
}

// resolve is Resolve with warnings among the faults.
func (r *Revision) resolve(ctx context.Context, host inventory.Host) (HostState, Faults, error) {
	st := HostState{Host: host, Revision: r.ID}
	sc := &scope{rev: r, host: &host}
	var all Faults
	for _, c := range r.state.services {
		if err := ctx.Err(); err != nil {
			return HostState{}, nil, err
		}
		if !c.svc.Spec.Selector.Matches(host.Labels) {
			continue
		}
		in, faults := r.instance(ctx, c, sc)
		all = append(all, faults...)
		if errs := faults.Errors(); len(errs) > 0 {
			st.Held = append(st.Held, c.svc.Name)
			st.Faults = append(st.Faults, errs...)
			continue
		}
		st.Instances = append(st.Instances, in)
		if st.Fingerprints.Len() == 0 && slices.ContainsFunc(in.Files, func(f File) bool { return f.Secret }) {
			st.Fingerprints = r.state.sources.fingerprints()
		}
	}
	st.Instances = slices.Clip(slices.Clone(st.Instances)) // it is kept, for each host of a fleet
	st.Held = append(st.Held, r.HeldBack()...)
	slices.Sort(st.Held)
	return st, all, nil
}

// ResolveAll resolves every host, in the order of the inventory. The error is all
// Faults; the states are as whole as Resolve's.
func (r *Revision) ResolveAll(ctx context.Context) ([]HostState, error) {
	states := make([]HostState, len(r.Inventory.Hosts))
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < len(states); i += workers {
				var err error
				states[i], err = r.Resolve(ctx, r.Inventory.Hosts[i])
				if cause := ctx.Err(); err != nil && cause != nil {
					return cause
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var faults Faults
	for _, st := range states {
		faults = append(faults, st.Faults...)
	}
	return states, faults.Merge().Err()
}

// instance makes one service for one host, with secrets in the form they have there.
func (r *Revision) instance(ctx context.Context, c *compiled, sc *scope) (Instance, Faults) {
	in, faults := r.plainInstance(ctx, c, sc)
	return r.formed(in, &faults), faults
}

// plainInstance makes one service for one host as the fleet repo has it.
func (r *Revision) plainInstance(ctx context.Context, c *compiled, sc *scope) (Instance, Faults) {
	sc.service = c.svc
	in := Instance{
		Service: c.svc.Name, Host: sc.host.Name, After: c.svc.Spec.After, Suspend: c.svc.Spec.Suspend.Why(),
		Users: c.svc.Spec.Users, Directories: c.directories, Strategy: c.strategy,
	}
	p, faults := c.parts(ctx, r, sc)
	if !c.static {
		faults = on(faults, sc.host.Name)
	}
	in.Files, in.Units, in.Artifacts, in.Images = p.files, p.units, p.artifacts, p.images
	in.Hooks = hooksOf(c.svc, in.Artifacts)
	drain, fromDrain := c.drain.render(sc)
	health, fromHealth := c.health.render(sc)
	in.Drain, in.Health = drain, health
	rendered := append(fromDrain, fromHealth...)
	if len(c.drain.templates)+len(c.health.templates) > 0 {
		rendered = append(rendered, r.checkRendered(c.svc, drain, health)...)
	}
	return in, ownedBy(append(faults, on(rendered, sc.host.Name)...), c.svc.Name)
}

// on is the faults as found on one host; the list may be shared, so it is copied.
func on(faults Faults, host string) Faults {
	out := slices.Clone(faults)
	for i := range out {
		out[i].Host = host
	}
	return out
}

// checkRendered checks drain and health again once their templates are filled in.
func (r *Revision) checkRendered(svc *Service, drain []DrainSpec, health []HealthSpec) Faults {
	var faults Faults
	problems := checkService("", ServiceSpec{Drain: drain, Health: health})
	for _, p := range append(problems, checkBalancers(drain, r.Inventory)...) {
		faults = append(faults, p.At(svc.At(p.Path), svc.Name))
	}
	return faults
}

// ownedBy is the faults with the service's name; the list may be shared, so it is
// copied.
func ownedBy(faults Faults, service string) Faults {
	if len(faults) == 0 {
		return nil
	}
	out := slices.Clone(faults)
	for i := range out {
		out[i].Service = service
	}
	return out
}

// parts are the service's files, units and artifacts on one host.
func (c *compiled) parts(ctx context.Context, r *Revision, sc *scope) (parts, Faults) {
	if !c.static {
		return c.assemble(ctx, r, sc)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared != nil {
		return *c.shared, nil
	}
	p, faults := c.assemble(ctx, r, sc)
	if len(faults.Errors()) == 0 {
		c.shared = &p
	}
	return p, faults
}

func (c *compiled) assemble(ctx context.Context, r *Revision, sc *scope) (parts, Faults) {
	files := make([]made, 0, len(c.files))
	var faults Faults
	for _, f := range c.files {
		m, fs := f.of(c, r.state.sources, sc)
		faults = append(faults, fs...)
		files = append(files, m)
	}
	var arts []Artifact
	for _, a := range c.artifacts {
		art, f := a.of(ctx, r.state.artifacts, sc)
		if f != nil {
			faults = append(faults, *f)
			continue
		}
		arts = append(arts, art)
	}
	return c.join(files, arts, faults)
}

func (c *compiled) join(files []made, arts []Artifact, faults Faults) (parts, Faults) {
	units, fs := c.deriveOnce(files, arts, len(faults.Errors()) > 0)
	faults = append(faults, fs...)
	p := parts{units: units, artifacts: arts, files: make([]File, len(files)), images: images(units, files)}
	for i := range files {
		p.files[i] = files[i].File
	}
	return p, faults
}

// scope is what templates of one host see.
type scope struct {
	rev     *Revision
	host    *inventory.Host
	service *Service
	data    map[string]any
	of      *Service
}

// vars are the data of a template: .Host, .Service, .Fleet and .Vars (the fleet's,
// under the groups', under the host's). Templates do not write to it.
func (s *scope) vars() map[string]any {
	if s.data == nil {
		vars := make(map[string]any, len(s.rev.Fleet.Spec.Vars)+len(s.host.Vars))
		for k, v := range s.rev.Fleet.Spec.Vars {
			vars[k] = v
		}
		for k, v := range s.host.Vars {
			vars[k] = v
		}
		s.data = map[string]any{
			"Host": map[string]any{
				"Name": s.host.Name, "Address": s.host.Address, "Port": s.host.Port, "User": s.host.User,
				"Labels": s.host.Labels, "Groups": s.host.Groups, "Vars": s.host.Vars,
			},
			"Fleet": map[string]any{"Name": s.rev.Fleet.Name},
			"Vars":  vars,
		}
	}
	if s.of != s.service {
		s.data["Service"] = map[string]any{"Name": s.service.Name}
		s.of = s.service
	}
	return s.data
}
