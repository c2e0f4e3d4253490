package drain

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// Bits of srv_admin_state (management.txt, "show servers state"; SRV_ADMF_* in
// HAProxy's sources).
const (
	adminForcedMaint    = 0x01 // by the command line, or "disabled" in the configuration
	adminInheritedMaint = 0x02 // the server it tracks is in maintenance
	adminForcedDrain    = 0x08
	adminInheritedDrain = 0x10
	adminResolution     = 0x20 // its name has no address

	adminMaint = adminForcedMaint | adminInheritedMaint | adminResolution
	adminDrain = adminForcedDrain | adminInheritedDrain
)

// haproxyServer is one server as both commands show it.
type haproxyServer struct {
	admin    int    // bits, see above
	op       int    // srv_op_state: 0 stopped, 1 starting (slowstart), 2 running, 3 stopping (404 from its check)
	weight   int    // as the user set it
	said     string // HAProxy's own word
	check    string // the last check's outcome, such as L7OK or L4CON; "" where there is none
	sessions int
}

// parseHAProxy reads the answer to "show servers state BACKEND;show stat BACKEND 4 -1".
// Columns are found by their names, for each version of HAProxy adds some.
func parseHAProxy(reply, backend, server string) (haproxyServer, error) {
	states, stats := reply, ""
	if i := strings.Index(reply, "# pxname,"); i >= 0 && (i == 0 || reply[i-1] == '\n') {
		states, stats = reply[:i], reply[i:]
	}
	var s haproxyServer
	if err := s.readState(states, backend, server); err != nil {
		return haproxyServer{}, err
	}
	if err := s.readStat(stats, backend, server); err != nil {
		return haproxyServer{}, err
	}
	return s, nil
}

// readState reads the table of "show servers state": a line with the format's
// number, one with "# " and the names of columns, then one a server.
func (s *haproxyServer) readState(text, backend, server string) error {
	var columns map[string]int
	var others []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if names, ok := strings.CutPrefix(line, "# "); ok {
			columns = indexOf(strings.Fields(names))
			continue
		}
		if columns == nil {
			if line != "" && line != "1" {
				return haproxyRefusal(line, backend, server)
			}
			continue
		}
		row := row{columns, strings.Fields(line)}
		if row.text("be_name") != backend {
			continue
		}
		if name := row.text("srv_name"); name != server {
			others = append(others, name)
			continue
		}
		return row.numbers(map[string]*int{"srv_admin_state": &s.admin, "srv_op_state": &s.op, "srv_uweight": &s.weight})
	}
	if columns == nil {
		return haproxyRefusal("", backend, server)
	}
	return noServer(backend, server, others)
}

func noServer(backend, server string, others []string) error {
	const shown = 10
	has := "no server"
	if n := len(others); n > shown {
		has = strings.Join(others[:shown], ", ") + fmt.Sprintf(" and %d more", n-shown)
	} else if n > 0 {
		has = strings.Join(others, ", ")
	}
	return mend("compare the drain's `server` with the names of servers in that backend",
		"no such server: backend %s has no %s; it has %s", backend, server, peer.Line(has))
}

// readStat reads the CSV of "show stat".
func (s *haproxyServer) readStat(text, backend, server string) error {
	text, ok := strings.CutPrefix(text, "# ")
	if !ok {
		return notHAProxy("it answers without statistics")
	}
	lines := csv.NewReader(strings.NewReader(text))
	lines.FieldsPerRecord = -1
	lines.LazyQuotes = true
	records, err := lines.ReadAll()
	if err != nil || len(records) == 0 {
		return notHAProxy("its statistics are not CSV: %v", err)
	}
	columns := indexOf(records[0])
	for _, record := range records[1:] {
		row := row{columns, record}
		if row.text("pxname") != backend || row.text("svname") != server {
			continue
		}
		s.said, s.check = peer.Line(row.text("status")), peer.Line(row.text("check_status"))
		if s.said == "" {
			return notHAProxy("its statistics have no status for %s/%s", backend, server)
		}
		return row.numbers(map[string]*int{"scur": &s.sessions})
	}
	return notHAProxy("its statistics have no line for %s/%s", backend, server)
}

// row is one line of a table with named columns.
type row struct {
	columns map[string]int
	fields  []string
}

func indexOf(names []string) map[string]int {
	columns := make(map[string]int, len(names))
	for i, name := range names {
		columns[name] = i
	}
	return columns
}

func (r row) text(column string) string {
	i, ok := r.columns[column]
	if !ok || i >= len(r.fields) {
		return ""
	}
	return r.fields[i]
}

func (r row) numbers(into map[string]*int) error {
	for column, number := range into {
		n, err := strconv.Atoi(r.text(column))
		if err != nil || n < 0 {
			return notHAProxy("column %s reads %q, which is no number", column, peer.Line(r.text(column)))
		}
		*number = n
	}
	return nil
}

// status draws the conclusions.
func (s haproxyServer) status() Status {
	return Status{
		Known:    true,
		Drained:  s.maint() || s.drain(),
		Sessions: s.sessions,
		Up:       !s.maint() && (s.op == 1 || s.op == 2), // in maintenance nothing is checked
		State:    s.words(),
	}
}

func (s haproxyServer) maint() bool { return s.admin&adminMaint != 0 }

// drain is so for a weight of 0 as well: such a server takes no new sessions.
func (s haproxyServer) drain() bool { return s.admin&adminDrain != 0 || s.weight == 0 }

// words is HAProxy's own status, which says DOWN of a drained server whose check
// fails, with what else is needed to understand it.
func (s haproxyServer) words() string {
	words := s.said
	if s.maint() {
		return words
	}
	if s.op == 0 && s.check != "" {
		words += " (" + s.check + ")"
	}
	switch {
	case !s.drain():
	case s.admin&adminDrain == 0:
		words += ", weight 0"
	case s.admin&adminForcedDrain == 0:
		words += ", as the server it tracks"
	case !strings.HasPrefix(words, "DRAIN"):
		words = "DRAIN, " + words
	}
	return words
}
