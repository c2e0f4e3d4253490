package sshdriver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// testBus is the bridge to a host's D-Bus and the systemd behind it, as far as a watch
// asks them for anything.
type testBus struct {
	mu      sync.Mutex
	out     io.Writer
	serial  uint32
	calls   []string        // members, with the first string of what was passed
	known   map[string]bool // transient units
	ticks   uint64
	began   chan struct{} // gets one when a watch has been set up
	refuses map[string]string
	rooms   int // paths that a path unit may have; 0: any number
	left    []string
	noise   string // before the first word
}

func newTestBus() *testBus {
	return &testBus{known: map[string]bool{}, began: make(chan struct{}, 16), refuses: map[string]string{}}
}

// serve is the handler of a testServer.
func (b *testBus) serve(c *testCommand) int {
	if !strings.Contains(c.line, "systemd-stdio-bridge") {
		return echoHandler(c)
	}
	in := bufio.NewReader(c.stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return 1
	}
	_, _ = fmt.Fprintf(c.stdout, "%sOK %032x\r\n", b.noise, 1)
	if line, err := in.ReadString('\n'); err != nil || line != "BEGIN\r\n" {
		return 1
	}
	b.mu.Lock()
	b.out = c.stdout
	b.mu.Unlock()
	for {
		frame, err := (&bus{stream: struct {
			io.Reader
			io.Writer
		}{in, c.stdout}}).frame()
		if err != nil {
			return 0
		}
		m, err := decodeMessage(frame)
		if err != nil {
			return 1
		}
		b.answer(m, binary.LittleEndian.Uint32(frame[8:]))
	}
}

func (b *testBus) answer(m *dbus.Message, serial uint32) {
	member, first := header(m, dbus.FieldMember), ""
	if len(m.Body) > 0 {
		first, _ = m.Body[0].(string)
	}
	b.mu.Lock()
	b.calls = append(b.calls, strings.TrimSpace(member+" "+first))
	refusal := b.refuses[member]
	b.mu.Unlock()
	if refusal != "" {
		b.send(dbus.TypeError, map[dbus.HeaderField]any{dbus.FieldReplySerial: serial, dbus.FieldErrorName: "org.freedesktop.DBus.Error.Failed"}, refusal)
		return
	}
	var body []any
	switch member {
	case "Hello":
		body = []any{":1.7"}
	case "GetConnectionUnixProcessID":
		body = []any{uint32(4711)}
	case "ListUnitsByNames":
		rows := []unitRow{}
		for _, name := range m.Body[0].([]string) {
			rows = append(rows, unitRow{Name: name, Path: dbus.ObjectPath(unitPath(strings.Replace(name, "alias", "real", 1))), JobPath: "/"})
		}
		body = []any{rows}
	case "ListUnitsByPatterns":
		body = []any{b.leftovers(m.Body[1].([]string)[0])}
	case "StartTransientUnit":
		body = []any{dbus.ObjectPath("/org/freedesktop/systemd1/job/1")}
		b.startUnit(first, m)
	case "StopUnit":
		body = []any{dbus.ObjectPath("/org/freedesktop/systemd1/job/2")}
	case "Get":
		body = []any{dbus.MakeVariant("inactive")}
	}
	b.send(dbus.TypeMethodReply, map[dbus.HeaderField]any{dbus.FieldReplySerial: serial}, body...)
	if member == "Get" {
		b.settlePath()
	}
	if member == "ListUnitsByPatterns" {
		b.began <- struct{}{}
	}
}

// unitRow is a row of ListUnits.
type unitRow struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	Job                                             uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

func (b *testBus) leftovers(pattern string) []unitRow {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := []unitRow{}
	for _, name := range b.left {
		rows = append(rows, unitRow{Name: strings.Replace(name, "BASE-", strings.TrimSuffix(pattern, "*"), 1), Path: "/x", JobPath: "/"})
	}
	for name := range b.known {
		rows = append(rows, unitRow{Name: name, Path: "/x", JobPath: "/"})
	}
	return rows
}

func (b *testBus) startUnit(name string, m *dbus.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[name] = true
	if properties, ok := m.Body[2].([][]any); ok && strings.HasSuffix(name, ".path") {
		for _, p := range properties {
			if v, ok := p[1].(dbus.Variant); ok && p[0] == "Paths" {
				specs, _ := v.Value().([][]any)
				if b.rooms > 0 && len(specs) > b.rooms {
					delete(b.known, name)
				}
			}
		}
	}
}

// pathUnit is the path unit that was last started, or tried, and whether it runs.
func (b *testBus) pathUnit() (name string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.calls) - 1; i >= 0; i-- {
		if n, found := strings.CutPrefix(b.calls[i], "StartTransientUnit "); found && strings.HasSuffix(n, ".path") {
			return n, b.known[n]
		}
	}
	return "", false
}

func (b *testBus) settlePath() {
	name, ok := b.pathUnit()
	if !ok {
		b.signal(unitPath(name), busProperties, "PropertiesChanged", "org.freedesktop.systemd1.Path", map[string]any{"Result": "resources"}, []string{})
		b.path("failed", "failed")
		return
	}
	b.path("active", "waiting")
}

// path is what systemd says when the path unit's state changes.
func (b *testBus) path(active, sub string) {
	name, _ := b.pathUnit()
	b.mu.Lock()
	b.ticks++
	at := b.ticks
	b.mu.Unlock()
	b.signal(unitPath(name), busProperties, "PropertiesChanged", systemdService+".Unit",
		map[string]any{"ActiveState": active, "SubState": sub, "StateChangeTimestampMonotonic": at}, []string{})
}

func (b *testBus) unit(name string, properties map[string]any) {
	b.signal(unitPath(name), busProperties, "PropertiesChanged", systemdService+".Unit", properties, []string{})
}

func (b *testBus) signal(path, iface, member string, body ...any) {
	for i := range body {
		if m, ok := body[i].(map[string]any); ok {
			variants := map[string]dbus.Variant{}
			for k, v := range m {
				variants[k] = dbus.MakeVariant(v)
			}
			body[i] = variants
		}
	}
	b.send(dbus.TypeSignal, map[dbus.HeaderField]any{dbus.FieldPath: dbus.ObjectPath(path), dbus.FieldInterface: iface, dbus.FieldMember: member}, body...)
}

func (b *testBus) send(kind dbus.Type, fields map[dbus.HeaderField]any, body ...any) {
	m := dbus.Message{Type: kind, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{}}
	for k, v := range fields {
		m.Headers[k] = dbus.MakeVariant(v)
	}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	var frame bytes.Buffer
	if err := m.EncodeTo(&frame, binary.LittleEndian); err != nil {
		panic(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serial++
	binary.LittleEndian.PutUint32(frame.Bytes()[8:], b.serial)
	_, _ = b.out.Write(frame.Bytes())
}

func (b *testBus) called(prefix string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		if strings.HasPrefix(c, prefix) {
			all = append(all, strings.TrimPrefix(c, prefix))
		}
	}
	return all
}

func (b *testBus) awaitBegan(t *testing.T) {
	t.Helper()
	select {
	case <-b.began:
	case <-time.After(10 * time.Second):
		t.Fatal("no watch was set up")
	}
}
