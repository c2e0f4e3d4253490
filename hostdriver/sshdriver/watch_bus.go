package sshdriver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// What a bus may send. A service that changes its state without end stays far below it.
const (
	maxBusMessage  = 256 << 10
	maxAuthNoise   = 64 << 10 // of a login shell, before the bus' first word
	busWindow      = 10 * time.Second
	maxBusMessages = 5000    // in a window
	maxBusBytes    = 8 << 20 // in a window
)

// bus speaks D-Bus over a stream, such as the session of a bridge. One goroutine uses it;
// only send may be called by others. Nothing it reads is trusted: messages are capped, and
// counted, before they are decoded, and a message that cannot be decoded ends it.
type bus struct {
	stream io.ReadWriter
	signal func(*dbus.Message) // gets the signals that come while a reply is awaited, and after
	meter  busMeter

	mu     sync.Mutex // of writing
	serial uint32
}

// errBusAbuse is the error of a bus whose word is not to be relied on.
var errBusAbuse = errors.New("not a bus to be relied on")

var authOK = regexp.MustCompile(`OK [0-9a-f]{32}\r\n$`)

// authenticate says who we are: the bridge runs as root, and asks nothing.
func (b *bus) authenticate() error {
	// What has ended already may have said why.
	_, _ = io.WriteString(b.stream, "\x00AUTH EXTERNAL 30\r\n")
	var line []byte
	one := make([]byte, 1)
	for n := 0; n < maxAuthNoise; n++ {
		if _, err := io.ReadFull(b.stream, one); err != nil {
			return err
		}
		if line = append(line, one[0]); one[0] != '\n' {
			continue
		}
		switch {
		case authOK.Match(line):
			_, err := io.WriteString(b.stream, "BEGIN\r\n")
			return err
		case bytes.HasSuffix(line, []byte("\r\n")) && bytes.Contains(line, []byte("REJECTED")):
			return fmt.Errorf("the bus does not let us in: %s", printable(string(line), 100))
		}
		line = line[:0]
	}
	return fmt.Errorf("%w: no answer to AUTH in %d bytes", errBusAbuse, maxAuthNoise)
}

// busCall is one method call.
type busCall struct {
	service, path, method string // method with its interface
	args                  []any
}

// busReply is what came of one: err is what the bus answered.
type busReply struct {
	body []any
	err  error
}

// send sends a call and returns its serial number.
func (b *bus) send(c busCall) (uint32, error) {
	iface, member := splitLast(c.method)
	m := dbus.Message{Type: dbus.TypeMethodCall, Body: c.args, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(c.service), dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(c.path)),
		dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member)}}
	if len(c.args) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(c.args...))
	}
	var frame bytes.Buffer
	if err := m.EncodeTo(&frame, binary.LittleEndian); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serial++
	binary.LittleEndian.PutUint32(frame.Bytes()[8:], b.serial)
	_, err := b.stream.Write(frame.Bytes())
	return b.serial, err
}

// call sends calls, all at once, and waits for all replies. The error is the stream's.
func (b *bus) call(calls ...busCall) ([]busReply, error) {
	waiting := map[uint32]int{}
	for i, c := range calls {
		serial, err := b.send(c)
		if err != nil {
			return nil, err
		}
		waiting[serial] = i
	}
	replies := make([]busReply, len(calls))
	for len(waiting) > 0 {
		m, err := b.receive()
		if err != nil {
			return nil, err
		}
		serial, ok := replySerial(m)
		i, ours := waiting[serial]
		if !ok || !ours {
			continue
		}
		delete(waiting, serial)
		replies[i].body = m.Body
		if m.Type == dbus.TypeError {
			replies[i].err = busError(m)
		}
	}
	return replies, nil
}

// receive reads one message. A signal is handed on too.
func (b *bus) receive() (*dbus.Message, error) {
	frame, err := b.frame()
	if err != nil {
		return nil, err
	}
	m, err := decodeMessage(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBusAbuse, err)
	}
	if m.Type == dbus.TypeSignal && b.signal != nil {
		b.signal(m)
	}
	return m, nil
}

// frame reads the bytes of one message.
func (b *bus) frame() ([]byte, error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(b.stream, head); err != nil {
		return nil, err
	}
	var order binary.ByteOrder
	switch head[0] {
	case 'l':
		order = binary.LittleEndian
	case 'B':
		order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: a message begins with %#x", errBusAbuse, head[0])
	}
	body, fields := int64(order.Uint32(head[4:])), int64(order.Uint32(head[12:]))
	rest := (fields+7)&^7 + body
	if rest > maxBusMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes", errBusAbuse, rest)
	}
	if err := b.meter.count(rest, time.Now()); err != nil {
		return nil, err
	}
	frame := append(make([]byte, 0, 16+rest), head...)[:16+rest]
	_, err := io.ReadFull(b.stream, frame[16:])
	return frame, err
}

// decodeMessage outlives whatever the decoder thinks of what a host has sent.
func decodeMessage(frame []byte) (m *dbus.Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("undecodable: %v", r)
		}
	}()
	return dbus.DecodeMessage(bytes.NewReader(frame))
}

// busMeter tells a bus that says too much.
type busMeter struct {
	since           time.Time
	messages, bytes int64
}

func (m *busMeter) count(bytes int64, now time.Time) error {
	if now.Sub(m.since) >= busWindow {
		*m = busMeter{since: now}
	}
	m.messages++
	m.bytes += bytes
	if m.messages > maxBusMessages || m.bytes > maxBusBytes {
		return fmt.Errorf("%w: %d messages of %d bytes within %s", errBusAbuse, m.messages, m.bytes, busWindow)
	}
	return nil
}

func replySerial(m *dbus.Message) (uint32, bool) {
	if m.Type != dbus.TypeMethodReply && m.Type != dbus.TypeError {
		return 0, false
	}
	serial, ok := m.Headers[dbus.FieldReplySerial].Value().(uint32)
	return serial, ok
}

// busError is what the bus answered to a call, made printable.
func busError(m *dbus.Message) error {
	name, _ := m.Headers[dbus.FieldErrorName].Value().(string)
	e := &busCallError{name: printable(name, 200)}
	if len(m.Body) > 0 {
		said, _ := m.Body[0].(string)
		e.said = printable(said, 300)
	}
	return e
}

type busCallError struct{ name, said string }

func (e *busCallError) Error() string { return firstOf(e.said, e.name) }

// splitLast splits a name at its last dot.
func splitLast(name string) (before, after string) {
	at := bytes.LastIndexByte([]byte(name), '.')
	return name[:max(at, 0)], name[at+1:]
}

func header(m *dbus.Message, f dbus.HeaderField) string {
	switch v := m.Headers[f].Value().(type) {
	case string:
		return v
	case dbus.ObjectPath:
		return string(v)
	}
	return ""
}
