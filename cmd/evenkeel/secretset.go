package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

func (a *app) secretSetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "set FILE [KEY]", Short: "Give a key of a SOPS file its value, from a prompt or stdin",
		Long: `Give one key of a SOPS file a new value. The value is asked for, without echo, or read
from stdin, where one newline at its end does not count; it is never an argument. Other
keys, comments and order stay. A file that is not there is made, encrypted to .sops.yaml's
keys or to --recipient. In an env file the value is quoted as systemd needs it. A nested
key is ["database"]["password"], as for sops. A file that is no .env, .yaml, .json or .ini
is one value, and has no KEY.`,
		Example: `  evenkeel secret set services/gateway/gateway.secrets.env METRICS_AUTH_TOKEN
  head -c 32 /dev/urandom | base64 | evenkeel secret set services/gateway/gateway.secrets.env METRICS_AUTH_TOKEN
  evenkeel secret set services/gateway/tls.key < tls.key`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return mendable("such as: "+firstExample(cmd), "%s takes a file and a key", cmd.CommandPath())
			case len(args) > 2 || (len(args) == 2 && strings.Contains(args[1], "=") && !strings.HasPrefix(args[1], "[")):
				return mendable("give it at the prompt, or on stdin, and change this one: shells and ps keep arguments", "%s takes no value as an argument", cmd.CommandPath())
			}
			return nil
		},
	}
	recipients := recipientFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		var key string
		var path secrets.Path
		if len(args) == 2 {
			var err error
			if key = args[1]; key != "" {
				path, err = secrets.ParsePath(key)
			}
			if err != nil {
				return mendable("a key as it stands in the file", "cannot set it: %w", err)
			}
		}
		return a.secretSet(args[0], key, path, *recipients)
	}
	return cmd
}

func (a *app) secretSet(file, key string, path secrets.Path, recipients []string) error {
	doc, isNew, err := a.openSecret(file, recipients)
	if err != nil {
		return err
	}
	what := file
	if key != "" {
		what = key
	}
	value, err := a.secretValue(what, key != "")
	if err != nil {
		return err
	}
	changed, err := doc.Set(path, value)
	if err != nil {
		return mendable("evenkeel secret edit "+file+" shows what is there", "cannot set %s: %w", what, err)
	}
	if isNew || changed {
		err = saveSecret(file, doc)
	}
	if err != nil {
		return err
	}
	return a.tellSecret(file, key, isNew, changed, doc)
}

// secretDone is what a verb did to a SOPS file, as JSON.
type secretDone struct {
	File       string   `json:"file"`
	Key        string   `json:"key,omitempty"`
	New        bool     `json:"new"`
	Changed    bool     `json:"changed"`
	Recipients []string `json:"recipients"`
}

func (a *app) tellSecret(file, key string, isNew, changed bool, doc *secrets.Document) error {
	did := secretDone{File: file, Key: key, New: isNew, Changed: isNew || changed, Recipients: []string{}}
	for _, r := range doc.Recipients() {
		did.Recipients = append(did.Recipients, r.Key)
	}
	if a.asJSON() {
		return a.json(did)
	}
	words := show.Clean(file)
	if key != "" {
		words += ": " + show.Clean(key)
	}
	switch {
	case isNew:
		words += fmt.Sprintf(" is encrypted to %s\n", show.Clean(strings.Join(did.Recipients, ", ")))
	case changed:
		words += " is changed\n"
	default:
		words += " is as it was\n"
	}
	return a.print(words)
}

// secretValue asks for a value, or reads it from stdin. Of one line, the newline at
// its end does not count.
func (a *app) secretValue(what string, oneLine bool) (secrets.Secret, error) {
	var value []byte
	var err error
	if in, ok := a.stdin.(*os.File); ok && a.asks {
		value, err = a.askSecret(in, what)
	} else {
		value, err = io.ReadAll(io.LimitReader(a.stdin, maxSecretFile+1))
	}
	defer clear(value)
	switch {
	case err != nil:
		return secrets.Secret{}, fmt.Errorf("cannot read the value of %s: %w", what, err)
	case len(value) > maxSecretFile:
		return secrets.Secret{}, mendable("give it the secret alone", "cannot set %s: the value is longer than %d MiB", what, maxSecretFile>>20)
	}
	text := value
	if oneLine {
		text = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	}
	if len(text) == 0 {
		return secrets.Secret{}, mendable("type it at the prompt, or send it on stdin; for one that is meant to be empty, evenkeel secret edit", "cannot set %s: the value is empty", what)
	}
	return secrets.New(text), nil
}

// askSecret puts the question, without echo, which also ends where it is interrupted.
func (a *app) askSecret(in *os.File, what string) ([]byte, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	fmt.Fprint(a.stderr, show.Clean(what)+" (it is not shown): ")
	go func() {
		text, err := term.ReadPassword(fd)
		answered <- answer{text, err}
	}()
	select {
	case got := <-answered:
		fmt.Fprintln(a.stderr)
		return got.text, got.err
	case <-interrupted:
		_ = term.Restore(fd, before)
		fmt.Fprintln(a.stderr)
		return nil, errors.New("interrupted")
	}
}
