package simhost

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// FloorCommand is answered with FloorBytes bytes, whatever the host's state: what a bare
// exec costs.
const (
	FloorCommand = "floor"
	FloorBytes   = 4 << 10
)

var floorReply = []byte(strings.Repeat("x", FloorBytes))

// session runs the one command of a session.
func (h *host) session(nc ssh.NewChannel) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer func() { _ = ch.Close() }()
	for req := range requests {
		if req.Type != "exec" {
			_ = req.Reply(false, nil)
			continue
		}
		var m struct{ Command string }
		err := ssh.Unmarshal(req.Payload, &m)
		_ = req.Reply(err == nil, nil)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		status := h.run(m.Command, ch)
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

// run is what the login shell would do.
func (h *host) run(line string, ch ssh.Channel) uint32 {
	switch {
	case line == FloorCommand:
		_, _ = ch.Write(floorReply)
		return 0
	case strings.Contains(line, "exec systemd-stdio-bridge"):
		return serveBus(ch)
	}
	script, err := readScript(line, ch)
	if err == nil && stays(script) {
		err = h.stay(ch)
	} else if err == nil {
		var r request
		if r, err = parseScript(script); err == nil {
			err = say(ch, h.answer(r))
		}
	}
	if err != nil && err != io.EOF {
		_, _ = fmt.Fprintln(ch.Stderr(), err)
		return 1
	}
	return 0
}

// stay is the shell that is kept on a connection.
func (h *host) stay(ch ssh.Channel) error {
	in := bufio.NewReaderSize(ch, 1<<10) // there are many
	for {
		r, payload, err := nextErrand(in)
		if err != nil {
			return err
		}
		if payload {
			return fmt.Errorf("%s: a simulated host carries nothing out", r.call)
		}
		if err := say(ch, fmt.Appendf(h.answer(r), "\n%s gone 0\n", r.nonce)); err != nil {
			return err
		}
	}
}

// pieceSize is how much is said at once: a real reply comes in pieces, as the shell and its
// tools write them. No connection then has a buffer for a packet as large as the reply.
const pieceSize = 4000

func say(w io.Writer, reply []byte) error {
	for len(reply) > 0 {
		n := min(len(reply), pieceSize)
		if _, err := w.Write(reply[:n]); err != nil {
			return err
		}
		reply = reply[n:]
	}
	return nil
}
