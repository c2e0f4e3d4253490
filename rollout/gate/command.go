package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// commandLimit is how long a command may take where its spec does not say.
const commandLimit = 30 * time.Second

// command runs a command line of the fleet repo on the controller; exit 0 is open. Its
// first line of output is shown as the reason, so it must not print a secret. It finds
// what it is asked about in GATE_HOST, GATE_SERVICE and GATE_REVISION.
type command struct {
	script, where string
	limit         time.Duration
	run           func(ctx context.Context, line string, limit time.Duration) (peer.Output, error)
}

func newCommand(spec desired.CommandGate, about Subject, deps Deps) (*command, error) {
	c := &command{where: "command " + program(spec.Run), run: deps.RunLocal}
	var err error
	c.limit, err = limit(spec.Timeout, commandLimit)
	switch {
	case err != nil:
	case strings.TrimSpace(spec.Run) == "":
		err = errors.New("run is empty")
	case strings.ContainsRune(spec.Run+about.Host+about.Service+about.Revision, 0):
		err = errors.New("run holds a zero byte")
	}
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	c.script = fmt.Sprintf("GATE_HOST=%s GATE_SERVICE=%s GATE_REVISION=%s\nexport GATE_HOST GATE_SERVICE GATE_REVISION\n%s",
		peer.Quote(about.Host), peer.Quote(about.Service), peer.Quote(about.Revision), spec.Run)
	return c, nil
}

// Ask takes every exit status but 0 for a no, except those with which a shell says
// that there was no command to ask.
func (c *command) Ask(ctx context.Context) (Answer, error) {
	out, err := c.run(ctx, c.script, c.limit)
	if err != nil {
		return Answer{}, &Error{Gate: c.where, Err: err}
	}
	said := peer.FirstLine(string(out.Text))
	if said != "" {
		said = ": " + said
	}
	switch out.Exit {
	case 0:
		if said == "" {
			said = ": exit status 0"
		}
		return Answer{Open: true, Reason: c.where + said}, nil
	case peer.ExitTimeout:
		return Answer{}, &Error{Gate: c.where, Mend: "give the gate a longer `timeout`, or see on the controller why it hangs",
			Err: fmt.Errorf("it ran longer than %s%s", c.limit, said)}
	case peer.ExitNotExec, peer.ExitNotFound:
		return Answer{}, &Error{Gate: c.where, Mend: "is the program installed on the controller, executable, and named by its whole path?",
			Err: fmt.Errorf("exit status %d%s", out.Exit, said)}
	}
	return Answer{Reason: fmt.Sprintf("%s: exit status %d%s", c.where, out.Exit, said)}, nil
}
