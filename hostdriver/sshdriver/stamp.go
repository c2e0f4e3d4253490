package sshdriver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh/agent"
)

// loginStamp changes when a person has changed something that a failed login depends
// on: a key, a certificate, a known_hosts file, what the agent holds.
func loginStamp(l *login) string {
	h := sha256.New()
	for _, path := range l.identities {
		stampFile(h, path)
		stampFile(h, path+".pub")
		stampFile(h, path+"-cert.pub")
	}
	for _, path := range l.certificates {
		stampFile(h, path)
	}
	for _, path := range l.knownHosts {
		stampFile(h, path)
	}
	if l.agent != "" {
		stampAgent(h, l.agent)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func stampFile(w io.Writer, path string) {
	info, err := os.Stat(path)
	if err != nil {
		_, _ = fmt.Fprintf(w, "%s: none\n", path)
		return
	}
	_, _ = fmt.Fprintf(w, "%s: %d %d %o\n", path, info.Size(), info.ModTime().UnixNano(), info.Mode())
}

func stampAgent(w io.Writer, socket string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		_, _ = fmt.Fprintf(w, "agent: none\n")
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	keys, err := agent.NewClient(conn).List()
	if err != nil {
		_, _ = fmt.Fprintf(w, "agent: silent\n")
		return
	}
	for _, k := range keys {
		_, _ = fmt.Fprintf(w, "agent: %x\n", k.Marshal())
	}
}
