package health

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

const (
	// journalHead and journalTail cap what is read of a journal, in bytes: together
	// with the newline between them they are what a host gives back of a command.
	journalHead = 32 << 10
	journalTail = 28 << 10
)

//go:embed journal.sh
var journalScript string

// journalCheck holds what a unit's processes have logged, since the unit was started
// this time, against patterns, line by line. Of a long journal it sees the beginning,
// where a service says that it is ready, and the end. What journald has dropped or not
// kept is not there (RateLimitBurst=, Storage=; journald.conf(5)).
//
// Lines may hold secrets, so that no Result ever shows any part of one.
type journalCheck struct {
	unit         string
	want, refuse *regexp.Regexp // nil where not given
	host         inventory.Host
	deps         Deps
	timeout      time.Duration
}

func newJournal(spec desired.JournalHealth, host inventory.Host, deps Deps) (*journalCheck, error) {
	c := &journalCheck{unit: spec.Unit, host: host, deps: deps}
	var err error
	c.timeout, err = timeout(spec.Timeout)
	switch {
	case err != nil:
	case spec.Unit == "":
		err = errors.New("unit is empty")
	case spec.Want == "" && spec.Refuse == "":
		err = errors.New("it looks for nothing: set want, refuse or both")
	case deps.Unit == nil || deps.Applier == nil || deps.Fence == nil:
		err = errors.New("there is no SSH connection to hosts here")
	}
	for _, p := range []struct {
		key, pattern string
		re           **regexp.Regexp
	}{{"want", spec.Want, &c.want}, {"refuse", spec.Refuse, &c.refuse}} {
		if err != nil || p.pattern == "" {
			continue
		}
		if *p.re, err = desired.CompilePattern(p.pattern); err != nil {
			err = fmt.Errorf("%s: %w", p.key, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return c, nil
}

func (c *journalCheck) Check(ctx context.Context) Result {
	return look(ctx, c.timeout+grace, c.once)
}

func (c *journalCheck) once(ctx context.Context) Result {
	u, err := c.deps.Unit(ctx, c.unit)
	switch {
	case err != nil:
		return Result{Unknown: true, Reason: peer.Line(c.unit + ": " + err.Error()), Mend: hostdriver.MendOf(err)}
	case u.Load != "loaded":
		return Result{Reason: peer.Line(c.unit + " is " + u.Load)}
	case u.InvocationID == "":
		return Result{Reason: peer.Line(c.unit + " has not been started")}
	case !isInvocation(u.InvocationID):
		return Result{Unknown: true, Reason: peer.Line(c.unit + ": the host tells an invocation that cannot be one")}
	}
	line := fmt.Sprintf("ID=%s\nHEAD=%d\nTAIL=%d\n%s", u.InvocationID, journalHead, journalTail, journalScript)
	result, err := c.deps.Applier.Apply(ctx, c.host, c.deps.Fence(), hostdriver.Run{Line: line, Timeout: c.timeout})
	switch {
	// A host may call a command that fails a failure of its own.
	case err != nil && (hostdriver.KindOf(err) != hostdriver.Failed || result.Exit == 0):
		return Result{Unknown: true, Reason: peer.Line("the journal of " + c.unit + ": " + err.Error()), Mend: hostdriver.MendOf(err)}
	case result.Exit == 124: // timeout(1)
		return Result{Unknown: true, Reason: fmt.Sprintf("the journal of %s was not read within %s", peer.Line(c.unit), c.timeout),
			Mend: "give the check a longer `timeout`, or the journal less to keep (SystemMaxUse= in journald.conf)"}
	case result.Exit == 127:
		return Result{Unknown: true, Reason: "the host has no journalctl", Mend: "use another check there"}
	case result.Exit != 0:
		return Result{Unknown: true, Reason: "journalctl fails on the host", Mend: "see what it says there: journalctl -u " + peer.Line(c.unit)}
	}
	return c.judge(result.Output)
}

// judge says what the patterns say of what was read.
func (c *journalCheck) judge(output []byte) Result {
	lines, cut := journalLines(output)
	named := "the journal of " + peer.Line(c.unit)
	mend := "see it on the host: journalctl -u " + peer.Line(c.unit)
	switch {
	case c.refuse != nil && anyLine(lines, c.refuse):
		return Result{Reason: fmt.Sprintf("%s has a line that matches refuse \"%s\"", named, peer.Line(c.refuse.String())), Mend: mend}
	case c.want == nil:
		return Result{OK: true, Reason: fmt.Sprintf("no line of %s matches refuse \"%s\"", named, peer.Line(c.refuse.String()))}
	case anyLine(lines, c.want):
		return Result{OK: true, Reason: fmt.Sprintf("%s has a line that matches want \"%s\"", named, peer.Line(c.want.String()))}
	case len(lines) == 0:
		return Result{Reason: named + " has nothing since it was started",
			Mend: "does the unit log to the journal (StandardOutput=), and does journald keep it (Storage=)?"}
	}
	reason := fmt.Sprintf("no line of %s since it was started matches want \"%s\"", named, peer.Line(c.want.String()))
	if cut {
		reason += fmt.Sprintf(" (of its first %d KiB and its last %d)", journalHead>>10, journalTail>>10)
	}
	return Result{Reason: reason, Mend: mend}
}

// journalLines are the whole lines of what journal.sh printed. cut tells that there
// were more between them.
func journalLines(output []byte) (lines [][]byte, cut bool) {
	head, tail := output, []byte(nil)
	if len(output) >= journalHead {
		cut = true
		head, tail = output[:journalHead], output[journalHead:]
		head = head[:bytes.LastIndexByte(head, '\n')+1] // what follows may be half a line
		if len(tail) > journalTail {                    // its newline, and a tail that was cut
			_, tail, _ = bytes.Cut(tail[1:], []byte("\n"))
		}
	}
	for _, part := range [][]byte{head, tail} {
		for line := range bytes.Lines(part) {
			if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
				lines = append(lines, line)
			}
		}
	}
	return lines, cut
}

func anyLine(lines [][]byte, re *regexp.Regexp) bool {
	for _, l := range lines {
		if re.Match(l) {
			return true
		}
	}
	return false
}

// isInvocation tells an ID as systemd writes them: 128 bits in hex (sd-id128(3)).
func isInvocation(id string) bool {
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return len(id) == 32
}
