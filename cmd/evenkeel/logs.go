package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/client"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// logFlags are those of logs.
type logFlags struct {
	priority, grep, since, until string
	lines                        int
	follow                       bool
}

func (a *app) logsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logs SERVICE", Short: "Show a service's journals of all hosts, merged by time", GroupID: groupLook, Args: takes(1, "SERVICE"),
		Long: long(`Read the journals of all hosts that a service runs on, over SSH, and merge them by
time, oldest first: what its units' processes log, and what systemd says of them. Times
are the hosts' own clocks, shown in UTC. Without --since the last 100 entries are shown;
with -n, the last of all hosts together. With --follow, entries are shown as they are
written.

A host that does not answer is named on stderr, and the others go on; followed, it is
tried again and goes on where it was. Control characters in what services log are shown
escaped, and a secret of the fleet repo as [redacted]. With -o json each entry is a line.

Times are a duration back from now (90s, 15m, 2h, 3d), today, yesterday, a date, a date
and time of this machine's time zone, or RFC 3339.

A controller needs a token with scope logs. It reads at most 128 hosts' journals at once,
each for at most two who ask, shows 10000 lines with -n at most, and leaves out of what
--grep finds the lines that hold a secret.

Exit codes: 0 all hosts answered, 1 it could not be read, 4 a host did not answer.`),
		Example: `  evenkeel logs gateway
  evenkeel logs gateway --follow --priority warning
  evenkeel logs gateway --host 'web-*' --since 2h --grep 'timed? out'
  evenkeel logs gateway --follow --server https://evenkeel.example.com
  evenkeel logs gateway --since '2026-05-01 13:00' --until '2026-05-01 13:05' -o json | jq -r .message`,
	}
	var o logFlags
	f := cmd.Flags()
	repoFlag(cmd)
	f.StringArray("host", nil, "only hosts whose names match `GLOB`; may be repeated")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on as entries are written")
	f.StringVarP(&o.priority, "priority", "p", "", "only this `LEVEL` and worse (err, warning, info …, 0 to 7), or A..B")
	f.StringVarP(&o.grep, "grep", "g", "", "only messages that match `PATTERN` (PCRE2), matched on the hosts")
	f.StringVarP(&o.since, "since", "S", "", "only from `TIME` on")
	f.StringVarP(&o.until, "until", "U", "", "only up to `TIME`")
	f.IntVarP(&o.lines, "lines", "n", 0, "only the last `N` (default 100 without --since, else all)")
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := o.query(args[0], cmd.Flags().Changed("lines"), time.Now())
		if err != nil {
			return err
		}
		c, err := a.asked(cmd)
		if err != nil {
			return err
		}
		if c != nil {
			defer c.Close()
			return a.serverLogs(cmd.Context(), c, q)
		}
		return a.logs(cmd.Context(), q)
	}
	return cmd
}

// maxLogLines is how many entries -n may hold back in memory.
const maxLogLines = 100000

// query is what the flags ask for. given tells that -n is among them.
func (o logFlags) query(service string, given bool, now time.Time) (controller.LogQuery, error) {
	q := controller.LogQuery{Service: service, Priority: o.priority, Grep: o.grep, Lines: o.lines, Follow: o.follow}
	var err error
	if q.Since, err = logTime("since", o.since, now); err != nil {
		return q, err
	}
	if q.Until, err = logTime("until", o.until, now); err != nil {
		return q, err
	}
	switch {
	case given && (o.lines < 1 || o.lines > maxLogLines):
		return q, mendable(fmt.Sprintf("use 1 to %d, or --since for all from a time on", maxLogLines), "cannot show %d entries", o.lines)
	case o.follow && o.until != "":
		return q, mendable("leave one of them out", "--follow and --until do not go together")
	case !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until):
		return q, mendable("--since must be earlier", "--since %s is not before --until %s", fault.Quote(o.since), fault.Quote(o.until))
	case !given && o.since == "":
		q.Lines = 100
	}
	if err := (hostdriver.JournalQuery{Units: []string{"x.service"}, Priority: q.Priority, Grep: q.Grep}).Check(); err != nil {
		return q, mendable("see evenkeel logs --help", "cannot ask for that: %w", err)
	}
	return q, nil
}

var logBack = regexp.MustCompile(`^-?(\d+)d$`)

// logTime reads a time as --since and --until have it; "" is none.
func logTime(flag, text string, now time.Time) (time.Time, error) {
	day := func(back int) time.Time {
		y, m, d := now.Date()
		return time.Date(y, m, d-back, 0, 0, 0, 0, now.Location())
	}
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today":
		return day(0), nil
	case "yesterday":
		return day(1), nil
	}
	if m := logBack.FindStringSubmatch(text); m != nil {
		if days, err := strconv.Atoi(m[1]); err == nil && days < 100000 {
			return now.AddDate(0, 0, -days), nil
		}
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, mendable("such as 15m, 2h, 3d, today, 2026-05-01, '2026-05-01 13:00' or 2026-05-01T13:00:00Z", "cannot understand --%s %s", flag, fault.Quote(text))
}

func (a *app) logs(ctx context.Context, q controller.LogQuery) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	f, done, err := a.openFleet(ctx)
	if err != nil {
		return err
	}
	defer done()
	if names := serviceNames(&f.Revision); !slices.Contains(names, q.Service) {
		return nothingNamed("service", q.Service, names)
	}
	view := show.NewLog(nil)
	lost := 0
	_, err = f.Logs(ctx, q, controller.LogSink{
		Hosts: func(names []string) error { view = show.NewLog(names); return nil },
		Entry: func(e controller.LogEntry) error { return a.logEntry(view, api.LogEntryOf(q.Service, e)) },
		Lost: func(host string, err error) {
			lost++
			a.line(err.Error(), mendOf(err))
		},
		Back: func(host string) { a.say(show.Clean(host) + " answers again") },
	})
	return logsEnd(err, q.Follow, lost)
}

// serverLogs shows what the controller reads of its hosts.
func (a *app) serverLogs(ctx context.Context, c *client.Client, q controller.LogQuery) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	view := show.NewLog(nil)
	lost := 0
	err := c.Logs(ctx, a.settings.Hosts, q, client.LogSink{
		Hosts: func(names []string) { view = show.NewLog(names) },
		Entry: func(e api.LogEntry) error { return a.logEntry(view, e) },
		Lost: func(_, reason, mend string) {
			lost++
			a.line(show.Clean(reason), show.Clean(mend))
		},
		Back:   func(host string) { a.say(show.Clean(host) + " answers again") },
		Broken: func(err error) { a.log.Warn().Err(err).Msg("the stream of logs broke; trying again") },
	})
	return logsEnd(err, q.Follow, lost)
}

// logsEnd is how the command ends, with so many hosts that did not answer.
func logsEnd(err error, follow bool, lost int) error {
	switch {
	case errors.Is(err, context.Canceled) && follow:
		return nil
	case err != nil:
		return err
	case lost > 0:
		return exitCode(4)
	}
	return nil
}

// logEntry writes one entry.
func (a *app) logEntry(view *show.Log, e api.LogEntry) error {
	if !a.asJSON() {
		return a.print(view.Entry(e.Entry()))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return err
	}
	_, err := a.stdout.Write(show.CleanJSON(b.Bytes()))
	return err
}

func serviceNames(rev *desired.Revision) []string {
	var names []string
	for _, s := range rev.Services {
		names = append(names, s.Name)
	}
	return append(names, rev.HeldBack()...)
}
