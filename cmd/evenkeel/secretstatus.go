package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/client"
)

func (a *app) secretStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [NAME]", Short: "Show secrets that rotate: age, due date, and what each process holds", Args: atMost(1, "one secret's name, or nothing for all"),
		Long: long(`Show the secrets that the fleet declares in spec.secrets: how old each value is and when
it is due, how far its rotation is and what it waits for, and which of the two values
the processes of every instance hold, read from the processes themselves. Values are
never shown.`),
		Example: `  evenkeel secret status
  evenkeel secret status metrics-token --server unix:///run/evenkeel/evenkeel.sock
  evenkeel secret status -o json | jq '.secrets[] | select(.overdue)'`,
	}
	repoFlag(cmd)
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.asked(cmd)
		if err != nil {
			return err
		}
		var secrets []controller.SecretStatus
		if c != nil {
			defer c.Close()
			secrets, err = c.Secrets(cmd.Context())
		} else {
			secrets, err = a.lookAtSecrets(cmd.Context())
		}
		if err != nil {
			return err
		}
		if len(args) == 1 {
			if secrets = slices.DeleteFunc(secrets, func(s controller.SecretStatus) bool { return s.Secret != args[0] }); len(secrets) == 0 {
				return mendable("evenkeel secret status lists them", "the fleet declares no secret %q", args[0])
			}
		}
		if a.asJSON() {
			return a.json(api.Secrets{Secrets: secrets})
		}
		return a.print(show.Secrets(secrets, time.Now()))
	}
	return cmd
}

// lookAtSecrets looks at all hosts of a checkout.
func (a *app) lookAtSecrets(ctx context.Context) ([]controller.SecretStatus, error) {
	f, done, err := a.openFleet(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	defer a.waitLine()()
	secrets, err := f.Rotate(ctx, nil)
	if secrets == nil {
		secrets = []controller.SecretStatus{}
	}
	return secrets, err
}

// secretsNow is what a controller, where one is named, or the hosts tell of secrets.
func (a *app) secretsNow(cmd *cobra.Command) ([]controller.SecretStatus, error) {
	if a.settings.Server.URL == "" {
		return a.lookAtSecrets(cmd.Context())
	}
	var c *client.Client
	c, err := a.server(cmd)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Secrets(cmd.Context())
}
