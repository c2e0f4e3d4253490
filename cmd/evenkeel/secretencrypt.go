package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
)

func (a *app) secretEncryptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "encrypt FILE", Short: "Encrypt a plain file where it is", Args: takes(1, "one file"),
		Long: `Encrypt a plain file in its place, to the keys that .sops.yaml or --recipient name. Its
ending tells the format: .env, .yaml, .json, .ini; any other file becomes one value.`,
		Example: `  evenkeel secret encrypt services/gateway/gateway.secrets.env
  evenkeel secret encrypt --recipient age1… services/gateway/tls.key`,
	}
	recipients := recipientFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file := args[0]
		plain, err := readSecretFile(file)
		if err != nil {
			return err
		}
		doc, err := a.newSecret(file, plain, *recipients)
		if err != nil {
			return err
		}
		a.sayEnvIssues(file, plain)
		clear(plain)
		if err := saveSecret(file, doc); err != nil {
			return err
		}
		if commit := inHistory(cmd.Context(), file); commit != "" {
			a.say("warning: " + show.Clean(file+" is in git's history as plain text (commit "+commit+"): give its keys other values before you trust them"))
		}
		return a.tellSecret(file, "", true, true, doc)
	}
	return cmd
}

// inHistory is the last commit that has the file; "" where there is none, or no git.
func inHistory(ctx context.Context, file string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-C", filepath.Dir(file), "-c", "core.fsmonitor=false", "log", "-1", "--format=%h", "--", filepath.Base(file))
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
