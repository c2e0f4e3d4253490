package drivertest

import (
	"fmt"
	"net"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newFakeHarness(*testing.T) Harness {
	f := New(nil)
	h := f.Host("h1")
	h.Listen("tcp", "127.0.0.1:7", "", func(c net.Conn) { fmt.Fprintln(c, "hello") })
	return Harness{Driver: f, Watcher: f, Stale: f, Host: f.Inventory("h1")[0], Machine: h, Listening: "127.0.0.1:7"}
}

func TestFakeKeepsTheContract(t *testing.T) { Contract(t, newFakeHarness) }
