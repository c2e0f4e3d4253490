package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller/api"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Make, list and revoke tokens of the controller's API", GroupID: groupOther, Args: a.unknownVerb,
		Long: `Manage the file of tokens (--tokens, api.tokens) on the controller's machine. It holds
hashes: a token is shown once, when it is made. Revoking one acts at once, also on
streams that are open.`,
		Example: `  evenkeel token create ci --scope read --expires 90d > ci.token
  evenkeel token list
  evenkeel token revoke ci`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
	return cmd
}

func tokensFlag(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.Flags().String("tokens", "", "the `FILE` of tokens (api.tokens)")
}

func (a *app) tokensFile(cmd *cobra.Command) (string, error) {
	if a.settings.API.Tokens == "" {
		return "", mendable("name it with --tokens FILE, or api: {tokens: FILE} in the configuration", "%s needs the file of tokens", cmd.CommandPath())
	}
	return a.settings.API.Tokens, nil
}

// created is a token that was made, as JSON.
type created struct {
	Token   string      `json:"token"`
	Name    string      `json:"name"`
	Hash    string      `json:"hash"`
	Scopes  []api.Scope `json:"scopes"`
	Expires string      `json:"expires,omitempty"`
	File    string      `json:"file,omitempty"` // that it was added to
}

func (a *app) tokenCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token, and show it once", Args: takes(1, "one name"),
		Long: `Make a token of 256 random bits and write it to stdout, once. Its entry, with a hash of
it, is added to the file of tokens; where no file is named, the entry is shown instead.`,
		Example: `  evenkeel token create ci --scope read --expires 90d > ci.token`,
	}
	tokensFlag(cmd)
	scopes := cmd.Flags().StringSlice("scope", nil, "what it may do: read, logs, or operate (which includes both)")
	expires := cmd.Flags().String("expires", "", "until when: how long (90d, 12h), a `TIME`, or never")
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := newToken(args[0], *scopes, *expires)
		if err != nil {
			return err
		}
		if t.File = a.settings.API.Tokens; t.File != "" {
			if err := api.AddToken(t.File, t.entry()); err != nil {
				return mendable("evenkeel token list shows what is there", "cannot add the token to %s: %w", t.File, err)
			}
		}
		return a.tellToken(t)
	}
	return cmd
}

func (c created) entry() api.Token {
	return api.Token{Name: c.Name, Hash: c.Hash, Scopes: c.Scopes, Expires: c.Expires}
}

func newToken(name string, scopes []string, expires string) (created, error) {
	if len(scopes) == 0 {
		return created{}, mendable("say --scope read, --scope logs, or --scope operate", "a token needs a scope")
	}
	var list []api.Scope
	for _, s := range scopes {
		list = append(list, api.Scope(s))
	}
	var end time.Time
	switch expires {
	case "":
		return created{}, mendable("say --expires 90d, or --expires never", "a token needs an end")
	case "never":
	default:
		var err error
		if end, err = until(expires, time.Now()); err != nil {
			return created{}, err
		}
	}
	token, entry, err := api.NewToken(name, list, end)
	return created{Token: token, Name: entry.Name, Hash: entry.Hash, Scopes: entry.Scopes, Expires: entry.Expires}, err
}

// tellToken writes the token to stdout, and what is to be said of it to stderr.
func (a *app) tellToken(t created) error {
	if a.asJSON() {
		return a.json(t)
	}
	if err := a.print(t.Token + "\n"); err != nil {
		return err
	}
	if t.File != "" {
		a.say(fmt.Sprintf("token %s is in %s from now on; it is not shown again", t.Name, show.Clean(t.File)))
		return nil
	}
	a.say("it is not shown again; add its entry to the controller's file of tokens (api.tokens):\n\n" + strings.TrimSuffix(t.entry().YAML(), "\n"))
	return nil
}

func (a *app) tokenListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens: name, scopes, until when", Args: takes(0, ""),
		Example: `  evenkeel token list --tokens /etc/evenkeel/tokens.yaml`,
	}
	tokensFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file, err := a.tokensFile(cmd)
		if err != nil {
			return err
		}
		tokens, err := api.ReadTokens(file)
		if err != nil {
			return fmt.Errorf("cannot read the tokens: %w", err)
		}
		if a.asJSON() {
			list := []created{}
			for _, t := range tokens {
				list = append(list, created{Name: t.Name, Hash: t.Hash, Scopes: t.Scopes, Expires: t.Expires})
			}
			return a.json(map[string]any{"tokens": list})
		}
		return a.print(show.Tokens(tokens, time.Now()))
	}
	return cmd
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Take a token out of the file: it ends at once", Args: takes(1, "one name"),
		Example: `  evenkeel token revoke ci`,
	}
	tokensFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := a.tokensFile(cmd)
		if err != nil {
			return err
		}
		if err := api.RemoveToken(file, args[0]); err != nil {
			if errors.Is(err, api.ErrNoToken) {
				return mendable("evenkeel token list shows what is there", "%w", err)
			}
			return fmt.Errorf("cannot revoke the token: %w", err)
		}
		if a.asJSON() {
			return a.json(map[string]string{"revoked": args[0]})
		}
		return a.print("revoked " + show.Clean(args[0]) + "\n")
	}
	return cmd
}
