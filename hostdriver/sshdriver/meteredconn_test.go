package sshdriver

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tcpPair is a metered connection to a peer on loopback.
func tcpPair(t *testing.T) (m *meteredConn, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	if err := peer.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return newMeteredConn(raw), peer
}

func TestPacketsAreWrittenAsOne(t *testing.T) {
	m, peer := tcpPair(t)
	const packets, rest = 100, 28 << 10
	go func() {
		for range packets {
			for _, n := range []int{packetBegin, rest} {
				if _, err := m.Write(make([]byte, n)); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	if _, err := io.CopyN(io.Discard, peer, packets*(packetBegin+rest)); err != nil {
		t.Fatal(err)
	}
	if n := segments(t, m.Conn.(*net.TCPConn)); n > packets+packets/10 {
		t.Errorf("%d packets were sent as %d segments", packets, n)
	}
}

// segments is how many segments with data a connection has sent (tcp(7), TCP_INFO).
func segments(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	var infoErr error
	if err := raw.Control(func(fd uintptr) { info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err != nil || infoErr != nil {
		t.Fatal(err, infoErr)
	}
	return int(info.Data_segs_out)
}

// What is as long as a beginning, and has no rest, is sent all the same.
func TestBeginningWithoutRest(t *testing.T) {
	m, peer := tcpPair(t)
	for range 3 {
		if _, err := m.Write(make([]byte, packetBegin)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, peer, packetBegin); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWritesKeepTheirOrder(t *testing.T) {
	m, peer := tcpPair(t)
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404
	var want bytes.Buffer
	sizes := []int{1, packetBegin - 1, packetBegin, packetBegin, packetBegin + 1, 30 << 10}
	var all [][]byte
	for range 500 {
		p := make([]byte, sizes[random.IntN(len(sizes))])
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		want.Write(p)
		all = append(all, p)
	}
	go func() {
		for i, p := range all {
			lent := bytes.Clone(p)
			if n, err := m.Write(lent); n != len(p) || err != nil {
				t.Errorf("wrote %d of %d bytes: %v", n, len(p), err)
			}
			clear(lent)
			if i%100 == 0 {
				time.Sleep(2 * heldAtMost)
			}
		}
	}()
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(peer, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("what came is not what was written")
	}
}

func TestWriteAfterClose(t *testing.T) {
	m, _ := tcpPair(t)
	if _, err := m.Write(make([]byte, packetBegin)); err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
	if n, err := m.Write(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("wrote %d bytes to a closed connection: %v", n, err)
	}
}
