package sshdriver

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// packets notes the size of each write.
type packets struct {
	bytes.Buffer
	sizes []int
	err   error
}

func (p *packets) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	p.sizes = append(p.sizes, len(b))
	return p.Buffer.Write(b)
}

func TestFeedSessionSendsWholePackets(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 20<<10) // 320 KiB
	var got packets
	if err := feedSession(&got, bytes.NewReader(data), feedSize, packetSize); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Fatal("what came is not what was sent")
	}
	small := (2*packetSize + feedSize - 1) / feedSize
	if want := small + (len(data)-small*feedSize+packetSize-1)/packetSize; len(got.sizes) != want || got.sizes[0] != feedSize || got.sizes[small] != packetSize {
		t.Errorf("%d packets of %v bytes, want %d", len(got.sizes), got.sizes, want)
	}
}

// What is said in small pieces is sent at once, and in small buffers.
func TestFeedSessionHoldsNothingBack(t *testing.T) {
	var got packets
	if err := feedSession(&got, iotest.OneByteReader(bytes.NewReader([]byte("hello"))), feedSize, packetSize); err != nil {
		t.Fatal(err)
	}
	if got.String() != "hello" || len(got.sizes) != 5 {
		t.Errorf("%q in %v", got.String(), got.sizes)
	}
}

func TestFeedSessionTellsErrors(t *testing.T) {
	broken := errors.New("broken")
	var got packets
	if err := feedSession(&got, io.MultiReader(bytes.NewReader([]byte("half")), iotest.ErrReader(broken)), feedSize, packetSize); !errors.Is(err, broken) || got.String() != "half" {
		t.Errorf("%v after %q", err, got.String())
	}
	if err := feedSession(&packets{err: broken}, bytes.NewReader([]byte("x")), feedSize, packetSize); !errors.Is(err, broken) {
		t.Errorf("of a writer that fails: %v", err)
	}
}
