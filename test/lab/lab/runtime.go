package lab

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Runtime sends one command to the runtime API (HAProxy Management Guide, 9.3) over TCP and returns the answer. HAProxy says
// also what is wrong with a command in an answer; an error is one of the connection.
func (b *HAProxy) Runtime(ctx context.Context, command string) (string, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", b.RuntimeAddr())
	if err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("haproxy: %q: %w", command, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("haproxy: %q: %w", command, err)
	}
	return strings.TrimSpace(string(answer)), nil
}

// worker is the pid of the process that answers.
func (b *HAProxy) worker(ctx context.Context) (string, error) {
	info, err := b.Runtime(ctx, "show info")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if pid, ok := strings.CutPrefix(line, "Pid: "); ok {
			return strings.TrimSpace(pid), nil
		}
	}
	return "", errors.New("haproxy: no Pid in its info")
}

// Server is what HAProxy thinks of one server.
type Server struct {
	Status   string // as it says it: "UP", "DOWN", "DRAIN", "MAINT", "DOWN 1/2", "no check"
	Sessions int    // now
	Total    int    // requests and sessions so far
	Failed   int    // connections and responses that failed
}

// Servers reads the state of a backend's servers, by host name.
func (b *HAProxy) Servers(ctx context.Context, backend string) (map[string]Server, error) {
	text, err := b.Runtime(ctx, "show stat")
	if err != nil {
		return nil, err
	}
	servers, err := parseServers(text, backend)
	if err != nil {
		return nil, fmt.Errorf("haproxy: show stat: %w", err)
	}
	return servers, nil
}

// parseServers reads the CSV of "show stat" (Management Guide, 9.1), whose header names the columns.
func parseServers(text, backend string) (map[string]Server, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# ")))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errors.New("empty")
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	servers := map[string]Server{}
	for _, row := range rows[1:] {
		field := func(name string) string {
			if i, ok := column[name]; ok && i < len(row) {
				return row[i]
			}
			return ""
		}
		number := func(name string) int {
			n, _ := strconv.Atoi(field(name)) // a column without a value is empty
			return n
		}
		if name := field("svname"); field("pxname") == backend && name != "" && name != "BACKEND" {
			servers[name] = Server{field("status"), number("scur"), number("stot"), number("econ") + number("eresp")}
		}
	}
	return servers, nil
}

// WaitServer returns when HAProxy gives a server the status, such as "UP" or "DRAIN".
func (b *HAProxy) WaitServer(ctx context.Context, backend, server, status string) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	for {
		servers, err := b.Servers(ctx, backend)
		if err == nil && servers[server].Status == status {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("haproxy: %s/%s is %q, not %s: %w", backend, server, servers[server].Status, status, errors.Join(err, context.Cause(ctx)))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
