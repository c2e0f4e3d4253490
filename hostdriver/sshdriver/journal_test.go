package sshdriver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

func TestParseJournalEntry(t *testing.T) {
	at := time.UnixMicro(1764360000123456)
	const stamp = `"__REALTIME_TIMESTAMP":"1764360000123456","__CURSOR":"s=1;i=2"`
	for line, want := range map[string]hostdriver.JournalEntry{
		`{` + stamp + `,"MESSAGE":"listening","PRIORITY":"6","SYSLOG_IDENTIFIER":"gw","_PID":"42","_SYSTEMD_UNIT":"gw.service"}`: {At: at, Cursor: "s=1;i=2", Message: "listening",
			Priority: 6, Identifier: "gw", PID: 42, Unit: "gw.service"},
		`{` + stamp + `,"MESSAGE":[104,105,255],"_COMM":"gw"}`:                                                 {At: at, Cursor: "s=1;i=2", Message: "hi\xff", Priority: -1, Identifier: "gw"},
		`{` + stamp + `,"MESSAGE":null,"PRIORITY":"x","_PID":"-1"}`:                                            {At: at, Cursor: "s=1;i=2", Priority: -1},
		`{` + stamp + `,"MESSAGE":["one","two"],"PRIORITY":["3","4"]}`:                                         {At: at, Cursor: "s=1;i=2", Message: "one", Priority: 3},
		`{` + stamp + `,"MESSAGE":[[97,255],"b"],"_SYSTEMD_UNIT":"init.scope","UNIT":"gw.service"}`:            {At: at, Cursor: "s=1;i=2", Message: "a\xff", Priority: -1, Unit: "gw.service"},
		`{` + stamp + `,"MESSAGE":[],"_SYSTEMD_UNIT":"systemd-coredump@0.service","COREDUMP_UNIT":"a.socket"}`: {At: at, Cursor: "s=1;i=2", Priority: -1, Unit: "a.socket"},
	} {
		if got, err := parseJournalEntry([]byte(line), nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "x", "{}", "[]", `{"__REALTIME_TIMESTAMP":"soon"}`, `{` + stamp + `,"MESSAGE":[[[1]]]}`, `{` + stamp + `,"MESSAGE":[{}]}`} {
		if e, err := parseJournalEntry([]byte(line), nil); err == nil {
			t.Errorf("%s: %+v", line, e)
		}
	}
}

func FuzzJournalEntry(f *testing.F) {
	f.Add(`{"__REALTIME_TIMESTAMP":"1764360000123456","MESSAGE":[104,105,255],"PRIORITY":["3"],"UNIT":[[97]]}`)
	f.Add(`{"MESSAGE":"x"}`)
	f.Fuzz(func(t *testing.T, line string) {
		if e, err := parseJournalEntry([]byte(line), nil); err == nil && (e.Priority < -1 || e.Priority > 7 || e.PID < 0) {
			t.Errorf("%q: %+v", line, e)
		}
	})
}

// read feeds a stream as a host would send it.
func readJournal(said string) (messages []string, err error) {
	r := &journalStream{lines: bufio.NewReaderSize(strings.NewReader(said), 64), each: func(e hostdriver.JournalEntry) error {
		messages = append(messages, e.Message)
		return nil
	}}
	if err = r.read("abc"); err == nil && !r.begun {
		err = errors.New("it did not begin")
	}
	return messages, err
}

func TestJournalStream(t *testing.T) {
	entry := func(m string) string { return fmt.Sprintf("{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":%q}\n", m) }
	long := strings.Repeat("x", 3000)
	got, err := readJournal("Welcome!\n{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"noise\"}\nno newline\nabc begin 17\n" + entry("one") + "\n" + entry(long))
	if err != nil || !reflect.DeepEqual(got, []string{"one", long}) {
		t.Errorf("%.100q %v", got, err)
	}
	for said, want := range map[string]string{
		"": "did not begin", "Welcome!\n": "did not begin",
		strings.Repeat("noise\n", 20000):                                "before the journal begins",
		"abc begin 17\n" + entry("one") + `{"MESSAGE":`:                 "unexpected EOF",
		"abc begin 17\nHint: you are not seeing messages\n":             "cannot be read",
		"abc begin 17\n" + strings.Repeat("y", 2*maxJournalLine) + "\n": "more than",
	} {
		if _, err := readJournal(said); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", said, err, want)
		}
	}
}

func TestJournalScriptQuotes(t *testing.T) {
	q := hostdriver.JournalQuery{Units: []string{`srv-a\x2db.mount`}, Priority: "err", Grep: `it's $(touch /x) "!`, Since: time.Unix(5, 7000), Lines: 3}
	text := journalScriptText("n1", hostPlaces, q)
	for _, want := range []string{`'-u' 'srv-a\x2db.mount'`, `'--grep=it'\''s $(touch /x) "!'`, "'--since=@5.000007'", "'-n' '3'"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	for _, bad := range []hostdriver.JournalQuery{{}, {Units: []string{"a b"}}, {Units: []string{"a.service"}, Priority: "loud"}, {Units: []string{"a.service"}, Grep: "a\nb"},
		{Units: []string{"a.service"}, After: "c 1"}, {Units: []string{"a.service"}, After: "c", Lines: 1}, {Units: []string{"a.service"}, Lines: -1}} {
		if bad.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

// TestJournalOnRealHost reads and follows a journal as root and through sudo.
func TestJournalOnRealHost(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	m := &labMachine{t: t, host: l.Hosts()[0]}
	m.do(`cat >/etc/systemd/system/talk@.service <<'X'
[Service]
Type=oneshot
SyslogIdentifier=talk
ExecStart=/bin/sh -c 'cat /etc/talk-%%i'
X
printf '<3>it is \033[31mred\033[0m\n<6>plain\n' >/etc/talk-one
printf 'b\377ytes\n' >/etc/talk-two
systemctl daemon-reload; systemctl start talk@one; systemctl start talk@two; journalctl --sync`)
	units := []string{"talk@one.service", "talk@two.service"}
	for _, user := range []string{"root", "deploy"} {
		d := newLabDriver(t, l, user)
		read := func(q hostdriver.JournalQuery) (out []hostdriver.JournalEntry) {
			t.Helper()
			if err := d.Journal(t.Context(), labHost(m.host), q, func(e hostdriver.JournalEntry) error { out = append(out, e); return nil }); err != nil {
				t.Fatal(err)
			}
			return out
		}
		var clock time.Time
		all := read(hostdriver.JournalQuery{Units: units, Begun: func(at time.Time) { clock = at }})
		said := map[string]hostdriver.JournalEntry{}
		for _, e := range all {
			said[e.Message] = e
		}
		red, raw := said["it is \x1b[31mred\x1b[0m"], said["b\xffytes"]
		if red.Priority != 3 || red.Unit != "talk@one.service" || red.Identifier != "talk" || red.PID == 0 || raw.Unit != "talk@two.service" || clock.IsZero() || clock.Sub(red.At).Abs() > time.Hour {
			t.Errorf("%s at %s: %+v", user, clock, all)
		}
		if got := read(hostdriver.JournalQuery{Units: units, Priority: "err"}); len(got) == 0 || slices.ContainsFunc(got, func(e hostdriver.JournalEntry) bool { return e.Message != red.Message }) {
			t.Errorf("errors: %+v", got)
		}
		if got := read(hostdriver.JournalQuery{Units: units, Grep: "^b.*s$"}); len(got) > 1 {
			t.Errorf("grep: %+v", got)
		}
		if got := read(hostdriver.JournalQuery{Units: units, Grep: "no such word"}); len(got) != 0 {
			t.Errorf("grep: %+v", got)
		}
		if got := read(hostdriver.JournalQuery{Units: units, Lines: 2}); len(got) != 2 || got[1].Cursor != all[len(all)-1].Cursor {
			t.Errorf("last: %+v", got)
		}
		if got := read(hostdriver.JournalQuery{Units: units, After: red.Cursor}); len(got) == 0 || got[0].Message != "plain" {
			t.Errorf("after: %+v", got)
		}
		if got := read(hostdriver.JournalQuery{Units: units, Since: clock.Add(time.Hour)}); len(got) != 0 {
			t.Errorf("since: %+v", got)
		}
		if err := d.Journal(t.Context(), labHost(m.host), hostdriver.JournalQuery{Units: units, Grep: "a("}, nil); hostdriver.KindOf(err) != hostdriver.Failed || hostdriver.MendOf(err) == "" {
			t.Errorf("bad pattern: %v", err)
		}
		followJournal(t, m, d, units, all[len(all)-1].Cursor)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		left := strings.TrimSpace(m.do(`for p in /proc/[0-9]*; do tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -- '^journalctl.*-f ' ; done; :`))
		if left == "" {
			break
		}
		if time.Now().After(end) {
			t.Errorf("still running there: %s", left)
			break
		}
	}
}

// followJournal follows from a cursor: what is written comes, and the end of ctx ends it.
func followJournal(t *testing.T, m *labMachine, d *Driver, units []string, after string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	news := make(chan string, 100)
	ended := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		ended <- d.Journal(ctx, labHost(m.host), hostdriver.JournalQuery{Units: units, After: after, Follow: true, Begun: func(time.Time) { close(begun) }}, func(e hostdriver.JournalEntry) error {
			news <- e.Message
			return nil
		})
	}()
	<-begun
	m.do(`systemctl start talk@one`)
	for got := ""; got != "plain"; {
		select {
		case got = <-news:
		case <-ctx.Done():
			t.Fatal("what was written did not come")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	stop := errors.New("enough")
	if err := d.Journal(t.Context(), labHost(m.host), hostdriver.JournalQuery{Units: units}, func(hostdriver.JournalEntry) error { return stop }); err != stop {
		t.Error(err)
	}
	if err := d.Journal(t.Context(), inventory.Host{Name: "gone", Address: "127.0.0.1", Port: 1}, hostdriver.JournalQuery{Units: units}, nil); hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Error(err)
	}
}
