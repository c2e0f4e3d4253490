package drivertest

import (
	"maps"
	"path"
	"slices"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// hook runs a hook by the host's Commands (see FakeHost.Commands), which find the folder
// that it runs in as PWD.
func (h *FakeHost) hook(f hostdriver.Fence, op hostdriver.Hook) (hostdriver.Result, error) {
	if err := op.Check(); err != nil {
		return hostdriver.Result{}, failure(hostdriver.Refused, "correct the fleet repo", "%w", err)
	}
	mark, was := hostdriver.HookMark{Service: op.Service, Name: op.Name, Holder: f.Holder}, h.hooks[op.Mark()]
	remember := func(done bool) {
		mark.Done = done
		h.hooks[op.Mark()] = mark
	}
	switch {
	case was.Done:
		return hostdriver.Result{}, nil
	case op.Elsewhere:
		remember(true)
		return hostdriver.Result{}, nil
	case was.Service != "" && op.Once && !op.Retry:
		return hostdriver.Result{}, failure(hostdriver.Failed, "find out", "it was begun there before, and cut: what it has done is not known")
	}
	dir := "/"
	if op.Release != "" {
		n := h.nodes[op.Release]
		switch {
		case n == nil:
			return hostdriver.Result{}, failure(hostdriver.Failed, "stage it again", "the release %s is not there", op.Release)
		case n.kind == hostdriver.PathDir:
			dir = op.Release
		default:
			dir = path.Dir(op.Release)
		}
	}
	if op.User != "" && !h.users[op.User].Exists {
		g := h.generations[op.Generation]
		if g == nil || !slices.ContainsFunc(g.manifest.Entries, func(e hostdriver.Entry) bool { return e.Kind == hostdriver.KindUser && e.Name == op.User }) {
			return hostdriver.Result{}, failure(hostdriver.Failed, "make it, or name another", "there is no user %s", op.User)
		}
		h.users[op.User] = hostdriver.UserState{Exists: true, Group: op.User, Home: "/"}
	}
	if op.Once {
		remember(false)
	}
	res := hostdriver.Result{Ran: true}
	if h.commands != nil {
		env := map[string]string{"PWD": dir}
		maps.Copy(env, op.Env)
		res.Output, res.Exit = h.commands(hostdriver.Run{Line: op.Line, User: op.User, Env: env, Timeout: op.Timeout})
	}
	switch {
	case res.Exit == 0:
		remember(true)
	case op.Once && res.Exit < 128 && res.Exit != 124:
		delete(h.hooks, op.Mark())
	}
	res.Output = slices.Clone(res.Output)
	return res, nil
}
