package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/client"
)

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "Show what happened, and what happens", GroupID: groupLook, Args: takes(0, ""),
		Long: `Show the newest events: revisions, rollouts, drift, hosts lost and back, what operators
did and why. With --follow, show them as they happen; with -o json each is then a line.`,
		Example: `  evenkeel events
  evenkeel events --follow
  evenkeel events -n 1000 -o json | jq '.events[] | select(.type == "Warning")'`,
	}
	serverFlags(cmd)
	follow := cmd.Flags().BoolP("follow", "f", false, "go on as events happen")
	limit := limitFlag(cmd, 30)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkLimit(*limit); err != nil {
			return err
		}
		c, err := a.server(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		list, err := c.Events(cmd.Context(), 0, *limit)
		switch {
		case err != nil:
			return err
		case *follow:
			return a.followEvents(cmd.Context(), c, list)
		case a.asJSON():
			return a.json(api.Events{Events: list})
		}
		return a.print(show.Events(list))
	}
	return cmd
}

// followEvents writes events as they happen, until it is interrupted.
func (a *app) followEvents(ctx context.Context, c *client.Client, list []controller.Event) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	last := uint64(0)
	for _, e := range list {
		if err := a.event(e); err != nil {
			return err
		}
		last = e.Seq
	}
	err := c.Follow(ctx, last, a.event, func(err error) { a.log.Warn().Err(err).Msg("the stream of events broke; trying again") })
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// event writes one event as a line.
func (a *app) event(e controller.Event) error {
	if !a.asJSON() {
		return a.print(show.Event(e))
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
