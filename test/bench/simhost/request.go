package simhost

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// request is what a script asks of the host: its nonce, the variables that it sets, and
// the function that it calls.
type request struct {
	nonce string
	vars  map[string]string
	call  string
}

// list is a variable of one item a line.
func (r request) list(name string) []string {
	if r.vars[name] == "" {
		return nil
	}
	return strings.Split(r.vars[name], "\n")
}

// maxScript bounds what a request may take.
const maxScript = 4 << 20

var scriptLen = regexp.MustCompile(`count=([0-9]+) iflag=count_bytes`)

// readScript reads the script that a command line takes from its standard input.
func readScript(line string, stdin io.Reader) (string, error) {
	m := scriptLen.FindStringSubmatch(line)
	if m == nil {
		return "", fmt.Errorf("%.200q takes no script", line)
	}
	return readCounted(m[1], stdin)
}

func readCounted(count string, stdin io.Reader) (string, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxScript {
		return "", fmt.Errorf("a script of %.20s bytes", count)
	}
	text := make([]byte, n)
	_, err = io.ReadFull(stdin, text)
	return string(text), err
}

// stays tells whether a script begins a shell that answers one request after the other.
func stays(script string) bool { return strings.HasSuffix(script, "\nserve\n}\n") }

// nextErrand reads a request that such a shell is sent; payload tells that more follows.
func nextErrand(in *bufio.Reader) (r request, payload bool, err error) {
	head, err := in.ReadString('\n')
	if err != nil {
		return r, false, err
	}
	f := strings.Fields(head)
	if len(f) != 4 {
		return r, false, fmt.Errorf("a request begins with %.80q", head)
	}
	if _, err := readCounted(f[1], in); err != nil { // functions, which are known here
		return r, false, err
	}
	text, err := readErrand(f[0], f[2], in)
	if err != nil {
		return r, false, err
	}
	r, err = parseErrand(strings.TrimPrefix(text, "{\n"))
	r.nonce = f[0]
	return r, f[3] == "1", err
}

// readErrand reads so many bytes or, where that is 0, lines up to one that is the nonce.
func readErrand(nonce, size string, in *bufio.Reader) (string, error) {
	if size != "0" {
		return readCounted(size, in)
	}
	var text strings.Builder
	for text.Len() < maxScript {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == nonce+"\n" {
			return text.String(), nil
		}
		text.WriteString(line)
	}
	return "", errors.New("a request without end")
}

// parseScript reads a request that comes with all its functions.
func parseScript(text string) (request, error) {
	_, rest, ok := strings.Cut(text, "NONCE=")
	nonce, _, _ := strings.Cut(rest, " ")
	at := variables.FindStringIndex(text)
	if !ok || at == nil {
		return request{}, errors.New("a script without nonce or variables")
	}
	r, err := parseErrand(text[at[0]+1:])
	r.nonce = nonce
	return r, err
}

// variables is where a script's variables begin: no function sets one at the beginning of
// a line to something in quotes that a line's end follows.
var variables = regexp.MustCompile(`\n(LIGHT|UNITS)='`)

// parseErrand reads assignments up to the begin record, and the call behind it.
func parseErrand(text string) (request, error) {
	r := request{vars: map[string]string{}}
	for {
		if rest, ok := strings.CutPrefix(text, "rec begin 1\n"); ok {
			r.call, _, _ = strings.Cut(rest, "\n")
			return r, nil
		}
		name, rest, ok := strings.Cut(text, "=")
		if !ok || len(name) > 40 {
			return r, fmt.Errorf("an assignment begins with %.80q", text)
		}
		value, rest, err := unquote(rest)
		if err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
		r.vars[name] = value
		text = strings.TrimPrefix(rest, "\n")
	}
}

// unquote reads a word in the shell's single quotes.
func unquote(s string) (value, rest string, err error) {
	for {
		part, ok := strings.CutPrefix(s, "'")
		if !ok {
			return "", s, errors.New("a word without quotes")
		}
		part, after, ok := strings.Cut(part, "'")
		if !ok {
			return "", s, errors.New("a quote is not closed")
		}
		value += part
		if s, ok = strings.CutPrefix(after, `\'`); !ok {
			return value, after, nil
		}
		value += "'"
	}
}
