package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
)

// terminal is what a command line reads from and writes to.
type terminal struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// asks tells that stdin and stderr are terminals, so that a question can be put;
	// live that stderr can hold a table in place.
	asks, live                 bool
	stdoutColour, stderrColour bool
	getenv                     func(string) string
	environ                    func() []string
}

// ownTerminal is this process'. NO_COLOR (no-color.org) and TERM=dumb are honoured.
func ownTerminal() *terminal {
	out, errs := term.IsTerminal(int(os.Stdout.Fd())), term.IsTerminal(int(os.Stderr.Fd()))
	dumb := os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb"
	plain := dumb || os.Getenv("NO_COLOR") != ""
	return &terminal{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		asks: errs && term.IsTerminal(int(os.Stdin.Fd())), live: errs && !dumb,
		stdoutColour: out && !plain, stderrColour: errs && !plain, getenv: os.Getenv, environ: os.Environ}
}

// styled is rendered text with or without its colours.
func (t *terminal) styled(colour bool, text string) string {
	if colour {
		return text
	}
	return show.Plain(text)
}

// print writes rendered text to stdout.
func (t *terminal) print(text string) error {
	_, err := io.WriteString(t.stdout, t.styled(t.stdoutColour, text))
	return err
}

// say writes a rendered line to stderr.
func (t *terminal) say(text string) { fmt.Fprintln(t.stderr, t.styled(t.stderrColour, text)) }

// json writes v as one document to stdout.
func (t *terminal) json(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot encode the answer as JSON: %w", err)
	}
	_, err := t.stdout.Write(show.CleanJSON(b.Bytes()))
	return err
}
