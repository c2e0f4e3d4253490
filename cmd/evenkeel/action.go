package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// act asks the controller for an action and tells what was done.
func (a *app) act(cmd *cobra.Command, verb controller.Verb, req api.ActionRequest) error {
	c, err := a.server(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	done, err := c.Act(cmd.Context(), verb, req)
	if err != nil {
		return err
	}
	if a.asJSON() {
		return a.json(api.ActionAnswer{Done: done})
	}
	return a.print(show.Clean(done) + "\n")
}

// objectOf reads HOST, service/NAME or HOST/SERVICE; nothing is the whole fleet.
func objectOf(args []string) (req api.ActionRequest, err error) {
	if len(args) == 0 {
		return req, nil
	}
	host, service, both := strings.Cut(args[0], "/")
	switch {
	case strings.Contains(service, "/") || host == "" || both && service == "":
		return req, mendable("use HOST, service/NAME or HOST/SERVICE", "%s names no host and no service", fault.Quote(args[0]))
	case both && host == "service":
		req.Service = service
	default:
		req.Host, req.Service = host, service
	}
	return req, nil
}

// atMost is how many arguments a verb has.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return mendable("such as: "+firstExample(cmd), "%s takes %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// until reads when something ends: a time, or how long from now. "" is never.
func until(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := longDuration(text); err == nil && d > 0 {
		return now.Add(d).Truncate(time.Second), nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			if !t.After(now) {
				return t, mendable("use a time to come", "%s is past", text)
			}
			return t, nil
		}
	}
	return time.Time{}, mendable("use how long, such as 90m, 8h or 3d, or a time such as '2027-01-31 15:04'", "cannot understand the time %s", fault.Quote(text))
}

// longDuration is a duration that may be in days (90d) or weeks (2w), too.
func longDuration(text string) (time.Duration, error) {
	for unit, day := range map[string]int{"d": 1, "w": 7} {
		if n, err := strconv.Atoi(strings.TrimSuffix(text, unit)); err == nil && strings.HasSuffix(text, unit) && n > 0 && n < 36500 {
			return time.Duration(n*day) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}
