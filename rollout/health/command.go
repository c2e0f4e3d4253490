package health

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

// grace is what a host is given beyond a command's timeout to say how it ended.
const grace = 5 * time.Second

// commandCheck runs a command on the host; exit 0 is healthy. The first line that it
// prints is shown as the reason when it fails, so it must not print a secret.
type commandCheck struct {
	spec    desired.CommandHealth
	host    inventory.Host
	applier hostdriver.Applier
	fence   func() hostdriver.Fence
	timeout time.Duration
}

func newCommand(spec desired.CommandHealth, host inventory.Host, deps Deps) (*commandCheck, error) {
	limit, err := timeout(spec.Timeout)
	switch {
	case err != nil:
	case strings.TrimSpace(spec.Run) == "":
		err = errors.New("run is empty")
	case strings.ContainsRune(spec.Run, 0):
		err = errors.New("run holds a zero byte")
	case deps.Applier == nil || deps.Fence == nil:
		err = errors.New("there is no SSH connection to hosts here")
	}
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return &commandCheck{spec: spec, host: host, applier: deps.Applier, fence: deps.Fence, timeout: limit}, nil
}

func (c *commandCheck) Check(ctx context.Context) Result {
	return look(ctx, c.timeout+grace, c.once)
}

func (c *commandCheck) once(ctx context.Context) Result {
	result, err := c.applier.Apply(ctx, c.host, c.fence(), hostdriver.Run{Line: c.spec.Run, User: c.spec.User, Timeout: c.timeout})
	// A host may call a command that fails a failure of its own.
	if err != nil && (hostdriver.KindOf(err) != hostdriver.Failed || result.Exit == 0) {
		return Result{
			Unknown: hostdriver.KindOf(err) != hostdriver.Failed,
			Reason:  program(c.spec.Run) + ": " + peer.Line(err.Error()),
			Mend:    hostdriver.MendOf(err),
		}
	}
	said := peer.FirstLine(string(result.Output))
	if said != "" {
		said = ": " + said
	}
	r := Result{OK: result.Exit == 0, Reason: fmt.Sprintf("%s exits %d", program(c.spec.Run), result.Exit)}
	switch result.Exit {
	case 0:
		return r // what it prints when all is well is nobody's concern
	case 124: // timeout(1)
		r.Reason = fmt.Sprintf("%s ran longer than %s", program(c.spec.Run), c.timeout)
	case 126, 127: // POSIX, Shell Command Language, 2.8.2
		r.Mend = "is the program installed on the host, executable, and named by its whole path?"
	}
	r.Reason += said
	return r
}

// program is what of a command line may be shown.
func program(line string) string {
	if name := peer.Program(line); name != "" {
		return name
	}
	return "the command"
}
