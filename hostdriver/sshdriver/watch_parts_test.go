package sshdriver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestPlanPaths(t *testing.T) {
	units := []string{"/etc/systemd/system/a.service", "/etc/systemd/system/b.service", "/etc/systemd/system/c.timer"}
	cases := []struct {
		name             string
		asked            []string
		room             int
		layout           layout
		specs, unwatched []string
	}{
		{"nothing", nil, 24, compact, nil, nil},
		{"one or two of a directory are watched themselves", []string{"/etc/x/b", "/etc/x/a", "/etc/x/a"}, 24, compact, []string{"/etc/x/a", "/etc/x/b"}, nil},
		{"from the third on it is their directory", append([]string{"/etc/x/a"}, units...), 24, compact, []string{"/etc/systemd/system", "/etc/x/a"}, nil},
		{"exactly, while there is room", units, 24, exact, units, nil},
		{"for want of room the fullest directory goes first", append([]string{"/etc/x/a", "/etc/x/b"}, units...), 3, exact,
			[]string{"/etc/systemd/system", "/etc/x/a", "/etc/x/b"}, nil},
		{"then the next", append([]string{"/etc/x/a", "/etc/x/b"}, units...), 2, exact, []string{"/etc/systemd/system", "/etc/x"}, nil},
		{"what then has no room is told", append([]string{"/etc/x/a", "/etc/x/b", "/y/a"}, units...), 2, exact,
			[]string{"/etc/systemd/system", "/etc/x"}, []string{"/y/a"}},
		{"a directory that is asked for itself", append([]string{"/etc/systemd/system"}, units...), 24, compact, []string{"/etc/systemd/system"}, nil},
		{"the root directory is not watched for its entries", []string{"/a", "/b", "/c"}, 2, compact, nil, []string{"/a", "/b", "/c"}},
		{"none", units, 24, none, nil, units},
	}
	for _, tc := range cases {
		specs, unwatched := planPaths(tc.asked, tc.room, tc.layout)
		if !slices.Equal(specs, tc.specs) || !slices.Equal(unwatched, tc.unwatched) {
			t.Errorf("%s: %q, unwatched %q", tc.name, specs, unwatched)
		}
	}
}

// For a systemd that does not see links, the directories are watched beside the paths.
func TestWithParents(t *testing.T) {
	for name, tc := range map[string]struct {
		specs, asked []string
		room         int
		want         []string
	}{
		"beside":                           {[]string{"/a/x", "/b/y"}, []string{"/a/x", "/b/y"}, 4, []string{"/a", "/a/x", "/b", "/b/y"}},
		"once":                             {[]string{"/a/x", "/a/y"}, []string{"/a/x", "/a/y"}, 4, []string{"/a", "/a/x", "/a/y"}},
		"for want of room instead":         {[]string{"/a/x", "/b/y"}, []string{"/a/x", "/b/y"}, 3, []string{"/a", "/a/x", "/b"}},
		"a directory of paths has no more": {[]string{"/a/b"}, []string{"/a/b/x", "/a/b/y", "/a/b/z"}, 24, []string{"/a/b"}},
		"not the root directory":           {[]string{"/x"}, []string{"/x"}, 24, []string{"/x"}},
	} {
		if got := withParents(tc.specs, tc.asked, tc.room); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func FuzzPlanPaths(f *testing.F) {
	f.Add("abcabc", 3, 0)
	f.Fuzz(func(t *testing.T, seed string, room, l int) {
		var asked []string
		for i := range len(seed) {
			asked = append(asked, fmt.Sprintf("/%d/%d/%d", seed[i]%3, seed[i]%7, i%5))
		}
		specs, unwatched := planPaths(asked, room, layout(l))
		if len(specs) > max(room, 0) {
			t.Fatalf("%d paths where there is room for %d", len(specs), room)
		}
		for _, p := range asked {
			if !slices.Contains(specs, p) && !slices.Contains(specs, path.Dir(p)) && !slices.Contains(unwatched, p) {
				t.Fatalf("%s is neither watched nor told of", p)
			}
		}
	})
}

func TestUnitPath(t *testing.T) {
	for unit, want := range map[string]string{
		"ssh.service":     "ssh_2eservice",
		"a-b@1.service":   "a_2db_401_2eservice",
		"1.mount":         "_31_2emount",
		`srv-a\x2db.path`: "srv_2da_5cx2db_2epath",
	} {
		if got := unitPath(unit); got != "/org/freedesktop/systemd1/unit/"+want || !dbus.ObjectPath(got).IsValid() {
			t.Errorf("%s: %s", unit, got)
		}
	}
}

func TestWatchBaseIsOneOwnersOnly(t *testing.T) {
	seen := map[string]string{}
	for _, owner := range []string{"a", "a-", "a_", "A", "a b", "a\tb", strings.Repeat("a", 200), strings.Repeat("a", 201), "controller eu-1 (10.0.0.1:7070)"} {
		base := watchBase(owner)
		if err := hostdriver.CheckUnit(base + nonceOf() + ".service"); err != nil {
			t.Error(err)
		}
		for other, of := range seen {
			if strings.HasPrefix(base, other) || strings.HasPrefix(other, base) {
				t.Errorf("%q and %q share %s", owner, of, base)
			}
		}
		seen[base] = owner
	}
}

// FuzzBus: whatever a host says, it is read in bounds, and nothing but an end of the
// watch comes of it.
func FuzzBus(f *testing.F) {
	b := newTestBus()
	var valid bytes.Buffer
	b.out = &valid
	b.unit("a.service", map[string]any{"ActiveState": "active", "Job": []uint32{1}})
	b.signal(systemdPath, systemdManager, "Reloading", false)
	f.Add(valid.Bytes())
	f.Add([]byte("l\x04\x01\x01\x00\x00\x00\x00\x01\x00\x00\x00\xff\xff\xff\x7f"))
	f.Add(append([]byte("OK 00000000000000000000000000000000\r\n"), valid.Bytes()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		stream := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(data), io.Discard}
		_ = (&bus{stream: stream}).authenticate()
		stream.Reader = bytes.NewReader(data)
		s := newSystemdWatch(&bus{stream: stream}, hostdriver.WatchQuery{Owner: "fuzz", Paths: []string{"/a"}, Units: []string{"a.service"}})
		s.watched[unitPath("a.service")] = "a.service"
		s.changed = func(unit string, _, _ bool) {
			if unit != "" && unit != "a.service" {
				t.Fatalf("signalled %q", unit)
			}
		}
		for {
			if _, err := s.bus.receive(); err != nil {
				return
			}
			_ = s.check()
		}
	})
}

// FuzzBusReplies: what is made of replies, of any shape.
func FuzzBusReplies(f *testing.F) {
	f.Add([]byte("x"), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, shape byte) {
		bodies := [][]any{nil, {string(data)}, {[][]any{}}, {[][]any{{}}}, {[][]any{{string(data), 1, 2, 3, 4, 5, dbus.ObjectPath(data)}}}, {uint32(len(data))},
			{dbus.MakeVariant(string(data))}, {map[string]dbus.Variant{string(data): {}}}}
		body := bodies[int(shape)%len(bodies)]
		s := newSystemdWatch(&bus{}, hostdriver.WatchQuery{Owner: "fuzz"})
		s.changed = func(string, bool, bool) {}
		s.aliases([]string{"a.service"}, busReply{body: body})
		_ = oneString(busReply{body: body})
		for _, member := range []string{"Reloading", "PropertiesChanged"} {
			s.heard(&dbus.Message{Body: body, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldMember: dbus.MakeVariant(member)}})
		}
		for p := range s.watched {
			if !strings.HasPrefix(p, systemdPath+"/unit/") {
				t.Fatalf("watched %q", p)
			}
		}
	})
}

// FuzzBusHeader: no length that a header tells makes room for what has not come.
func FuzzBusHeader(f *testing.F) {
	f.Add(uint32(1), uint32(1), true)
	f.Fuzz(func(t *testing.T, body, fields uint32, big bool) {
		head := []byte("l\x04\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00")
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			head[0], order = 'B', binary.BigEndian
		}
		order.PutUint32(head[4:], body)
		order.PutUint32(head[12:], fields)
		b := &bus{stream: struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(head), io.Discard}}
		frame, err := b.frame()
		if err == nil && (body != 0 || fields != 0) || cap(frame) > 2*maxBusMessage {
			t.Fatalf("%d bytes, %v", cap(frame), err)
		}
	})
}

// TestMailboxKeepsHowAWatchStands: however slow one is to take signals, none of how the
// watch stands is lost behind those of changes, and no unit that has changed.
func TestMailboxKeepsHowAWatchStands(t *testing.T) {
	m := mailbox{out: make(chan hostdriver.Signal, signalRoom), kind: hostdriver.Watching}
	at := time.Now()
	tell := func(kind hostdriver.SignalKind, units ...string) {
		at = at.Add(time.Second)
		s := hostdriver.Signal{Host: "h", Kind: kind, At: at, Units: units, Files: len(units) == 0 && kind == hostdriver.Changed}
		if kind == hostdriver.Changed {
			m.add(s, time.Millisecond)
		} else {
			m.tell(s)
		}
	}
	tell(hostdriver.Changed, "old.service")
	tell(hostdriver.Lost)
	tell(hostdriver.Watching)
	var want []string
	for i := range 5 * signalRoom {
		want = append(want, fmt.Sprintf("u%02d.service", i))
		tell(hostdriver.Changed, want[i])
	}
	tell(hostdriver.Changed)
	m.close()
	var kinds []hostdriver.SignalKind
	var units []string
	var files bool
	var last time.Time
	for s := range m.out {
		kinds, units, files, last = append(kinds, s.Kind), mergeUnits(units, s.Units), files || s.Files, s.At
	}
	if len(kinds) == 0 || kinds[0] != hostdriver.Watching || len(kinds) > signalRoom {
		t.Errorf("signals: %q", kinds)
	}
	if !slices.Equal(units, want) || !files || !last.Equal(at) {
		t.Errorf("units %q, files %t, the last at %s of %s", units, files, last, at)
	}
}
