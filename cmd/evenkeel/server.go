package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/controller/api/client"
)

// serverFlags name the controller to ask.
func serverFlags(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.Flags().String("server", "", "ask the controller at `URL` (https://…, unix:///…; server.url)")
	cmd.Flags().String("token-file", "", "the `FILE` that holds the token for it (server.tokenFile)")
	cmd.Flags().String("server-ca", "", "trust the certificates in `FILE` (server.ca)")
}

// howToName is what there is to say to who named no controller.
const howToName = "name it with --server URL, EVENKEEL_SERVER_URL or server: {url: …} in the configuration, such as unix:///run/evenkeel/evenkeel.sock or https://evenkeel.example.com"

// server is the controller that was named, for verbs that need one.
func (a *app) server(cmd *cobra.Command) (*client.Client, error) {
	s := a.settings.Server
	if s.URL == "" {
		return nil, mendable(howToName, "%s needs a controller", cmd.CommandPath())
	}
	return client.New(client.Options{URL: s.URL, TokenFile: s.TokenFile, CA: s.CA})
}

// checkoutFlags are those of verbs that have no meaning where a controller is asked.
var checkoutFlags = []string{"repo", "identity", "known-hosts", "ssh-user", "become", "concurrency"}

// asked is the controller to be asked by a verb that can also work from a checkout; nil
// where it is to do that. --repo means the checkout, whatever else is set.
func (a *app) asked(cmd *cobra.Command) (*client.Client, error) {
	if a.settings.Server.URL == "" {
		return nil, nil
	}
	named := cmd.Flags().Changed("server")
	if cmd.Flags().Changed("repo") && !named {
		return nil, nil
	}
	if i := slices.IndexFunc(checkoutFlags, cmd.Flags().Changed); i >= 0 {
		return nil, mendable("leave it out or, to work from a checkout, say --server=", "--%s is of no use where the controller at %s is asked", checkoutFlags[i], a.settings.Server.URL)
	}
	return a.server(cmd)
}

// reasonFlag says why; it is recorded with who asked.
func reasonFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("reason", "", "why, for the record")
}

// lookWords is said by verbs that work both ways.
const lookWords = `

Where a controller is named (--server, or server.url in the configuration), it is asked;
--repo says that a checkout is meant.`

func long(text string) string { return strings.TrimSpace(text) + lookWords }
