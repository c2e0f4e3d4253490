package sshdriver

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The protocol: a request is one command on the host's connection, or a turn in one that
// stays (shell.go). Its standard input is a script of a length named in the command line,
// then whatever payload the script reads. Nothing else of a request is in the command
// line, so nothing of it is in argv, in sudo's log or in the login shell's hands.
//
// A reply is a sequence of records on standard output, each begun by a line
// "NONCE TYPE…". The nonce is random for each request and is told to the host on
// standard input only, so neither a login banner nor the content of a file can be
// taken for a record. What precedes the begin record is noise. A reply without its
// end record, or whose number of records is not the one the end record tells, was
// cut: nothing is known.

// protocolVersion is in the begin record: a script and its parser are one build.
const protocolVersion = "1"

// maxReply is how many bytes of a reply are read; a host that says more is not
// believed. A file's content is a third more on its way.
const maxReply = 8 << 20

// payloadWords are the words of the command that runs the first scriptLen bytes of its
// standard input and leaves the rest to it. A pipe gives what is in it, hence dd and
// fullblock: a shell that read the script itself would read ahead into the payload.
func payloadWords(scriptLen int) []string {
	return []string{"/bin/sh", "-c", ddScript(scriptLen)}
}

func ddScript(scriptLen int) string {
	return `eval "$(dd bs=65536 count=` + strconv.Itoa(scriptLen) + ` iflag=count_bytes,fullblock status=none)"`
}

// shellWords are the same for a script that nothing follows. All shells but bash, which
// reads a pipe byte by byte, read it faster themselves, and that is one process less.
func shellWords(scriptLen int) []string {
	return []string{"/bin/sh", "-c", `if [ -z "$BASH_VERSION" ] && [ -p /dev/stdin ]; then . /dev/stdin; else ` + ddScript(scriptLen) + `; fi`}
}

// newNonce returns 128 random bits in hex.
func newNonce() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("no random numbers: " + err.Error()) // crypto/rand never fails on the systems we support
	}
	return hex.EncodeToString(b[:])
}

// record is one thing that a host said.
type record struct {
	kind string
	args []string // the words after the kind
	body []byte   // shared with the reply; without the newline before the next record
}

func (r record) arg(i int) string {
	if i < len(r.args) {
		return r.args[i]
	}
	return ""
}

// errCut means that a reply has no believable end.
var errCut = errors.New("the reply was cut before its end")

// parseReply splits a reply into its records, without begin and end. A record
// "again" takes back all that came before it.
func parseReply(out []byte, nonce string) ([]record, error) {
	mark := []byte("\n" + nonce + " ")
	begin := []byte("\n" + nonce + " begin ")
	if !bytes.HasPrefix(out, begin) {
		i := bytes.Index(out, begin)
		if i < 0 {
			return nil, errors.New("the reply has no beginning: the remote shell did not run the script")
		}
		out = out[i:]
	}
	var records []record
	for n := 1; ; n++ {
		out = out[len(mark):]
		head, _, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return nil, errCut
		}
		words := strings.Fields(string(head))
		if len(words) == 0 {
			return nil, errors.New("the reply has a record without a name")
		}
		r := record{kind: words[0], args: words[1:]}
		switch {
		case n == 1 && r.arg(0) != protocolVersion:
			return nil, fmt.Errorf("the reply is of version %q", r.arg(0))
		case r.kind == "end":
			if r.arg(0) != strconv.Itoa(n) {
				return nil, fmt.Errorf("the reply has %d records and says %q", n, r.arg(0))
			}
			return records, nil
		}
		// The newline that ended the head may be the one that begins the next mark.
		rest := out[len(head):]
		next := bytes.Index(rest, mark)
		if next < 0 {
			return nil, errCut
		}
		if next > 0 {
			r.body = rest[1:next]
		}
		out = rest[next:]
		switch {
		case n == 1:
		case r.kind == "again":
			records = records[:0]
		default:
			records = append(records, r)
		}
	}
}

// lines splits a body into its lines, without empty ones.
func (r record) lines() []string {
	out := make([]string, 0, bytes.Count(r.body, []byte("\n"))+1)
	for l := range strings.Lines(string(r.body)) {
		if l = strings.TrimSuffix(l, "\n"); l != "" {
			out = append(out, l)
		}
	}
	return out
}
