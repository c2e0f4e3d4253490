package drain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// commandLimit bounds one command. A command tells the balancer and ends; waiting
// for sessions is what `drained` and the drain's timeout are for.
const commandLimit = time.Minute

// command drains by command lines of the fleet repo, run on the instance's host, on
// another one or on the controller. Exit 0 is the confirmation; nothing tells whether the instance
// is in rotation. They must be harmless when repeated.
type command struct {
	spec  desired.CommandDrain
	host  inventory.Host
	on    inventory.Host // where the lines are run, unless on the controller
	deps  Deps
	where string
}

func newCommand(spec desired.CommandDrain, host inventory.Host, deps Deps) (*command, error) {
	c := &command{spec: spec, host: host, on: host, deps: deps, where: describeCommand(spec)}
	if spec.On != desired.OnController && (deps.Applier == nil || deps.Fence == nil) {
		return nil, errors.New("command: it cannot be run: there is no SSH connection to hosts here")
	}
	if name := spec.By(); name != "" {
		other, known := inventory.Host{}, false
		if deps.Host != nil {
			other, known = deps.Host(name)
		}
		if !known {
			return nil, fmt.Errorf("command: on is %q: set host, controller, or the name of a host of the inventory", peer.Line(name))
		}
		c.on = other
	}
	for name, line := range map[string]string{"drain": spec.Drain, "undrain": spec.Undrain} {
		if strings.TrimSpace(line) == "" {
			return nil, fmt.Errorf("command: %s is empty: a drain needs both drain and undrain", name)
		}
	}
	if strings.ContainsRune(spec.Drain+spec.Undrain+spec.Drained, 0) {
		return nil, errors.New("command: a line holds a zero byte")
	}
	return c, nil
}

// describeCommand names the program of the drain only: the rest may say too much.
func describeCommand(spec desired.CommandDrain) string {
	if spec.On == desired.OnController {
		return "command " + program(spec.Drain) + " on the controller"
	}
	if name := spec.By(); name != "" {
		return "command " + program(spec.Drain) + " on " + peer.Line(name)
	}
	return "command " + program(spec.Drain) + " on the host"
}

// program is what of a command line may be shown.
func program(line string) string {
	if name := peer.Program(line); name != "" {
		return name
	}
	return "…"
}

// Status runs `drained`, where there is one.
func (c *command) Status(ctx context.Context) (Status, error) {
	status := Status{Sessions: SessionsUnknown, Up: true, State: "not asked"}
	if strings.TrimSpace(c.spec.Drained) == "" {
		return status, nil
	}
	out, err := c.run(ctx, c.spec.Drained)
	if err == nil && (out.Exit == peer.ExitNotExec || out.Exit == peer.ExitNotFound || out.Exit == peer.ExitTimeout) {
		err = exitError(out)
	}
	if err != nil {
		return Status{}, fail(opStatus, c.host, c.where, fmt.Errorf("drained: %w", err))
	}
	status.State, status.Sessions = fmt.Sprintf("drained exits %d", out.Exit), 1
	if out.Exit == 0 {
		status.Sessions = 0
	}
	return status, nil
}

func (c *command) Drain(ctx context.Context) (ours bool, err error) {
	return true, c.do(ctx, opDrain, c.spec.Drain)
}

func (c *command) Undrain(ctx context.Context) error {
	return c.do(ctx, opUndrain, c.spec.Undrain)
}

func (c *command) do(ctx context.Context, op, line string) error {
	out, err := c.run(ctx, line)
	if err == nil && out.Exit != 0 {
		err = exitError(out)
	}
	return fail(op, c.host, c.where, err)
}

// exitError puts a failure into words: the exit status, and the first line of what
// the command printed.
func exitError(out peer.Output) error {
	said := peer.FirstLine(string(out.Text))
	if said != "" {
		said = ": " + said
	}
	switch out.Exit {
	case peer.ExitTimeout:
		return mend("a drain command tells the balancer and ends; let `drained` say when the sessions are gone",
			"it ran longer than %s%s", commandLimit, said)
	case peer.ExitNotExec, peer.ExitNotFound:
		return mend("is the program installed there, executable, and named by its whole path?", "exit status %d%s", out.Exit, said)
	}
	return fmt.Errorf("exit status %d%s", out.Exit, said)
}

func (c *command) run(ctx context.Context, line string) (peer.Output, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandLimit+commandLimit/4, errOwnLimit)
	defer cancel()
	if c.spec.On == desired.OnController {
		return c.deps.RunLocal(ctx, line, commandLimit)
	}
	return runOn(ctx, c.deps.Applier, c.on, c.deps.Fence(), line)
}

// runOn runs a command line on a host, as root. The error tells that it was not run,
// or that nobody knows; an exit status is not an error.
func runOn(ctx context.Context, applier hostdriver.Applier, host inventory.Host, fence hostdriver.Fence, line string) (peer.Output, error) {
	result, err := applier.Apply(ctx, host, fence, hostdriver.Run{Line: line, Timeout: commandLimit})
	out := peer.Output{Exit: result.Exit, Text: result.Output}
	// A host may call a command that fails a failure of its own.
	if hostdriver.KindOf(err) == hostdriver.Failed && out.Exit != 0 {
		return out, nil
	}
	return out, err
}
