package sshdriver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

const (
	opJournal = "read the journal of"
	// maxJournalLine is the longest entry that is taken. journald cuts a line of a
	// process' output at 48 KiB (LineMax=), but an entry may be sent to it whole.
	maxJournalLine = 1 << 20
	// maxJournalNoise is what a login shell may say before the journal begins.
	maxJournalNoise = 64 << 10
)

var _ hostdriver.JournalReader = (*Driver)(nil)

// Journal reads a host's journal; see hostdriver.JournalReader. It takes one of the
// places on the host's kept connection for as long as it reads.
func (d *Driver) Journal(ctx context.Context, host inventory.Host, q hostdriver.JournalQuery, each func(hostdriver.JournalEntry) error) error {
	fail := func(kind hostdriver.ErrorKind, err error, mend string) error {
		return &hostdriver.Error{Kind: kind, Host: host.Name, Op: opJournal, Err: err, Mend: mend}
	}
	if err := q.Check(); err != nil {
		return fail(hostdriver.Refused, err, "")
	}
	if d.pool == nil {
		return fail(hostdriver.Refused, errors.New("there is no connection to hosts here"), "")
	}
	conn, err := d.pool.Conn(ctx, TargetFor(host))
	if err != nil {
		return err
	}
	nonce := newNonce()
	text := journalScriptText(nonce, d.places, q)
	words, err := conn.BecomeLine(payloadWords(len(text))...)
	if err != nil {
		return fail(hostdriver.Become, err, "name another user to become")
	}
	session, err := conn.Start(ctx, words)
	if err != nil {
		return renameOp(err, opJournal)
	}
	defer func() { _ = session.Close() }()
	defer context.AfterFunc(ctx, func() { _ = session.Close() })()
	if _, err := io.WriteString(session, text); err != nil && ctx.Err() == nil {
		return fail(hostdriver.Unreachable, err, "")
	}
	r := &journalStream{users: map[string]string{}, lines: bufio.NewReaderSize(session, 32<<10), query: q, each: each}
	err = r.read(nonce)
	switch {
	case r.refused != nil:
		return r.refused
	case ctx.Err() != nil:
		return fail(hostdriver.Unreachable, fmt.Errorf("it has not ended: %w", context.Cause(ctx)), "")
	case err != nil:
		return fail(hostdriver.Unreachable, err, "")
	}
	res, err := session.Wait(ctx)
	if err != nil {
		return renameOp(err, opJournal)
	}
	return journalEnd(conn, res, r.begun, q, fail)
}

// journalEnd is what the end of journalctl means. It ends with 1 where nothing matches a
// pattern, and says nothing then.
func journalEnd(conn *Conn, res Result, begun bool, q hostdriver.JournalQuery, fail func(hostdriver.ErrorKind, error, string) error) error {
	said := printable(strings.TrimSpace(string(res.Stderr)), 300)
	switch {
	case !begun:
		if err := conn.BecomeRefusal(res); err != nil {
			return err
		}
		return fail(hostdriver.Unreachable, noReply(errors.New("it did not begin"), res), "")
	case res.Exit == 0 && !q.Follow, res.Exit == 1 && said == "" && q.Grep != "" && !q.Follow:
		return nil
	case res.Exit == 127:
		return fail(hostdriver.Failed, errors.New("the host has no journalctl"), "install systemd's journal there")
	case strings.Contains(said, "pattern matching support"):
		return fail(hostdriver.Failed, errors.New("its journalctl knows no patterns"), "leave --grep away, and filter what comes")
	case strings.Contains(said, "Bad pattern"):
		return fail(hostdriver.Failed, errors.New(said), "write a pattern of PCRE2 (pcre2pattern(3))")
	}
	return fail(hostdriver.Failed, noReply(errors.New("journalctl failed"), res), "see what it says there: "+hostdriver.Journalctl(q.Units[0]))
}

// journalScriptText is the request: script/journal.sh with its arguments.
func journalScriptText(nonce string, p places, q hostdriver.JournalQuery) string {
	args := []string{"--no-pager", "-q", "-o", "json", "--all",
		"--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_COMM,_PID,SYSLOG_PID,_SYSTEMD_UNIT,UNIT,OBJECT_SYSTEMD_UNIT,COREDUMP_UNIT,_UID,_SYSTEMD_USER_UNIT,USER_UNIT,COREDUMP_USER_UNIT"}
	ofUsers := slices.ContainsFunc(q.Units, ofUser)
	if !ofUsers {
		for _, u := range q.Units {
			args = append(args, "-u", u)
		}
	}
	if q.Priority != "" {
		args = append(args, "-p", q.Priority)
	}
	if q.Grep != "" {
		args = append(args, "--grep="+q.Grep)
	}
	if !q.Since.IsZero() {
		args = append(args, "--since="+journalTime(q.Since))
	}
	if !q.Until.IsZero() {
		args = append(args, "--until="+journalTime(q.Until))
	}
	if q.After != "" {
		args = append(args, "--after-cursor="+q.After)
	}
	if q.Follow {
		args = append(args, "-f", "--no-tail")
	}
	if q.Lines > 0 {
		args = append(args, "-n", strconv.Itoa(q.Lines))
	}
	if ofUsers { // -u is no alternative to anything else, and --user-unit= is of one's own only
		args = append(args, journalMatches(q.Units)...)
	}
	var b strings.Builder
	b.WriteString("{\nexport PATH=" + quote(p.path) + "\nNONCE=" + quote(nonce) + "\n" + scriptParts["journal"] + "op_journal")
	for _, a := range args {
		b.WriteString(" " + quote(a))
	}
	b.WriteString("\n}\n")
	return b.String()
}

// journalMatches are what -u stands for (journalctl(1)), and the same for units of users, of
// whom script/journal.sh knows the numbers.
func journalMatches(units []string) []string {
	var args []string
	or := func(matches ...string) {
		if len(args) > 0 {
			args = append(args, "+")
		}
		args = append(args, matches...)
	}
	for _, name := range units {
		user, u := hostdriver.SplitUnit(name)
		if user == "" {
			or("_SYSTEMD_UNIT=" + u)
			or("_PID=1", "UNIT="+u)
			or("_UID=0", "OBJECT_SYSTEMD_UNIT="+u)
			or("_UID=0", "COREDUMP_UNIT="+u)
			continue
		}
		or("_SYSTEMD_USER_UNIT="+u, "_UID=~"+user)
		or("USER_UNIT="+u, "_UID=~"+user)
		or("COREDUMP_USER_UNIT="+u, "_UID=0")
	}
	return args
}

// journalTime is a moment as systemd.time(7) reads it in every time zone.
func journalTime(t time.Time) string {
	return fmt.Sprintf("@%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

// journalStream reads what script/journal.sh writes.
type journalStream struct {
	lines   *bufio.Reader
	query   hostdriver.JournalQuery
	each    func(hostdriver.JournalEntry) error
	begun   bool
	refused error             // of each
	users   map[string]string // by number, those whose units are read
}

// read reads to the end. What comes before the first line with the nonce is noise.
func (r *journalStream) read(nonce string) error {
	mark := []byte(nonce + " begin ")
	for noise := 0; ; {
		line, err := r.line()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case !r.begun:
			if noise += len(line); noise > maxJournalNoise {
				return fmt.Errorf("it says %d bytes before the journal begins", noise)
			}
			if clock, ok := bytes.CutPrefix(line, mark); ok {
				r.begun = true
				seconds, users, _ := strings.Cut(string(clock), " ")
				for pair := range strings.FieldsSeq(users) {
					number, user, _ := strings.Cut(pair, "=")
					r.users[number] = user
				}
				if seconds, err := strconv.ParseInt(seconds, 10, 64); err == nil && r.query.Begun != nil {
					r.query.Begun(time.Unix(seconds, 0))
				}
			}
			continue
		case len(line) == 0:
			continue
		}
		e, err := parseJournalEntry(line, r.users)
		if err != nil {
			return err
		}
		if r.refused = r.each(e); r.refused != nil {
			return r.refused
		}
	}
}

// line is the next line, which is shared until the next one.
func (r *journalStream) line() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := bytes.Clone(line)
		for err == bufio.ErrBufferFull {
			if len(long) > maxJournalLine {
				return nil, fmt.Errorf("an entry of its journal has more than %d bytes; stopped reading", maxJournalLine)
			}
			line, err = r.lines.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err == io.EOF && len(line) > 0 {
		return nil, io.ErrUnexpectedEOF // half an entry: whoever wrote it was killed
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// journalFields are those of an entry that are asked for: see "JSON" of journalctl(1)'s
// --output, and systemd.journal-fields(7).
type journalFields struct {
	Cursor     journalText `json:"__CURSOR"`
	Realtime   journalText `json:"__REALTIME_TIMESTAMP"` // microseconds
	Message    journalText `json:"MESSAGE"`
	Priority   journalText `json:"PRIORITY"`
	Identifier journalText `json:"SYSLOG_IDENTIFIER"`
	Comm       journalText `json:"_COMM"`
	PID        journalText `json:"_PID"`
	SyslogPID  journalText `json:"SYSLOG_PID"`
	Unit       journalText `json:"_SYSTEMD_UNIT"`
	About      journalText `json:"UNIT"`
	Object     journalText `json:"OBJECT_SYSTEMD_UNIT"`
	Dumped     journalText `json:"COREDUMP_UNIT"`
	UID        journalText `json:"_UID"`
	UserUnit   journalText `json:"_SYSTEMD_USER_UNIT"`
	UserAbout  journalText `json:"USER_UNIT"`
	UserDumped journalText `json:"COREDUMP_USER_UNIT"`
}

// journalText is a field's value: a string; an array of bytes as numbers where it is not
// UTF-8; null where it is too long; an array of these where the field stands many times,
// of which the first is taken.
type journalText string

func (t *journalText) UnmarshalJSON(data []byte) error {
	if t.one(data) {
		return nil
	}
	var many []json.RawMessage
	if err := json.Unmarshal(data, &many); err != nil {
		return err
	}
	if len(many) > 0 && !t.one(many[0]) {
		return fmt.Errorf("a field reads %s", printable(string(firstBytes(data, 40)), 40))
	}
	return nil
}

// one reads a single value, if that is what data is.
func (t *journalText) one(data []byte) bool {
	switch {
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, (*string)(t)) == nil
	case string(data) == "null":
		*t = ""
		return true
	}
	var numbers []uint16 // encoding/json reads []byte as base64
	if json.Unmarshal(data, &numbers) != nil {
		return false
	}
	raw := make([]byte, len(numbers))
	for i, n := range numbers {
		raw[i] = byte(n)
	}
	*t = journalText(raw)
	return true
}

// parseJournalEntry reads one line of journalctl -o json. users are, by number, those whose
// units were asked for.
func parseJournalEntry(line []byte, users map[string]string) (hostdriver.JournalEntry, error) {
	var f journalFields
	if err := json.Unmarshal(line, &f); err != nil {
		return hostdriver.JournalEntry{}, fmt.Errorf("an entry of its journal cannot be read: %w", err)
	}
	micros, err := strconv.ParseInt(string(f.Realtime), 10, 64)
	if err != nil {
		return hostdriver.JournalEntry{}, fmt.Errorf("an entry of its journal has no time: %s", printable(string(f.Realtime), 40))
	}
	e := hostdriver.JournalEntry{At: time.UnixMicro(micros), Message: string(f.Message), Cursor: string(f.Cursor), Priority: -1,
		Identifier: firstOf(string(f.Identifier), string(f.Comm)),
		// What systemd says about a unit comes from init.scope, and names the unit apart.
		Unit: firstOf(string(f.About), string(f.Object), string(f.Dumped), string(f.Unit))}
	if user := users[string(f.UID)]; user != "" {
		if u := firstOf(string(f.UserAbout), string(f.UserDumped), string(f.UserUnit)); u != "" {
			e.Unit = hostdriver.UnitOf(user, u)
		}
	}
	if p, err := strconv.Atoi(string(f.Priority)); err == nil && p >= 0 && p <= 7 {
		e.Priority = p
	}
	if pid, err := strconv.Atoi(firstOf(string(f.PID), string(f.SyslogPID))); err == nil && pid > 0 {
		e.PID = pid
	}
	return e, nil
}
