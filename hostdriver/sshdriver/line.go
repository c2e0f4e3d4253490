package sshdriver

import (
	"fmt"
	"strings"
)

// Line makes a Command.Line of words, quoted so that sh, bash, zsh, fish and csh all
// read the same. Some characters cannot be quoted for all of them; a word with such
// belongs on stdin and is an error.
func Line(words ...string) (string, error) {
	var quoted []string
	for _, w := range words {
		q, err := quoteWord(w)
		if err != nil {
			return "", err
		}
		quoted = append(quoted, q)
	}
	return strings.Join(quoted, " "), nil
}

// bareWord are the characters that mean themselves in every shell, wherever they are.
const bareWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,@+-"

func quoteWord(w string) (string, error) {
	if w != "" && strings.Trim(w, bareWord) == "" {
		return w, nil
	}
	for _, r := range w {
		// Within '', csh still expands !, fish still knows \, csh allows no newline.
		if r == '\'' || r == '\\' || r == '!' || r < ' ' || r == 0x7f {
			return "", fmt.Errorf("%q cannot be quoted for every login shell; send it on stdin", w)
		}
	}
	return "'" + w + "'", nil
}

// BecomeLine returns the command line that runs words as the user that Options name,
// through sudo unless that is who is logged in. sudo never asks (-n), and speaks
// English whatever the host's locale, so that BecomeRefusal knows what it says.
func (c *Conn) BecomeLine(words ...string) (string, error) {
	if !c.options.Become || c.options.BecomeUser == c.login.user {
		return Line(words...)
	}
	return Line(append([]string{"env", "LC_ALL=C", "sudo", "-n", "-u", c.options.BecomeUser, "--"}, words...)...)
}
