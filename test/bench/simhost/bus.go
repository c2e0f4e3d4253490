package simhost

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/godbus/dbus/v5"
)

// serveBus is the bridge to the host's D-Bus and the systemd behind it, as far as a watch
// asks: it takes every rule and every unit, and has nothing to signal.
func serveBus(ch io.ReadWriter) uint32 {
	in := bufio.NewReaderSize(ch, 1<<10)
	if _, err := in.ReadString('\n'); err != nil {
		return 1
	}
	if _, err := fmt.Fprintf(ch, "OK %032x\r\n", 1); err != nil {
		return 1
	}
	if line, err := in.ReadString('\n'); err != nil || line != "BEGIN\r\n" {
		return 1
	}
	for serial := uint32(1); ; serial++ {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return 0
		}
		if err := replyTo(ch, m, serial); err != nil {
			return 1
		}
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

func replyTo(w io.Writer, call *dbus.Message, serial uint32) error {
	var body []any
	switch member, _ := call.Headers[dbus.FieldMember].Value().(string); member {
	case "Hello":
		body = []any{":1.7"}
	case "GetConnectionUnixProcessID":
		body = []any{uint32(4711)}
	case "ListUnitsByNames", "ListUnitsByPatterns":
		body = []any{[]unitRow{}}
	case "StartTransientUnit", "StopUnit":
		body = []any{dbus.ObjectPath("/org/freedesktop/systemd1/job/1")}
	case "Get":
		body = []any{dbus.MakeVariant("active")}
	}
	m := dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(call.Serial())}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	var frame bytes.Buffer
	if err := m.EncodeTo(&frame, binary.LittleEndian); err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(frame.Bytes()[8:], serial)
	_, err := w.Write(frame.Bytes())
	return err
}
