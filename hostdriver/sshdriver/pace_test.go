package sshdriver

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pacedLine is a line with a delay, to a host that takes in so many bytes a second.
type pacedLine struct {
	p      *pacer
	delay  time.Duration
	speed  float64 // bytes a second
	mu     sync.Mutex
	free   time.Time // when all that was written is read
	asked  int
	most   int64 // the most that was under way
	broken error
}

func newPacedLine(delay time.Duration, speed float64) *pacedLine {
	l := &pacedLine{delay: delay, speed: speed, free: time.Now()}
	l.p = newPacer(func() error {
		l.asked++
		if l.broken != nil {
			return l.broken
		}
		l.mu.Lock()
		read := max(time.Until(l.free), 0)
		l.mu.Unlock()
		time.Sleep(read + 2*l.delay)
		return nil
	})
	return l
}

// send writes one packet.
func (l *pacedLine) send(n int) {
	now := time.Now()
	l.mu.Lock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.speed * float64(time.Second)))
	l.mu.Unlock()
	l.p.wrote(n)
	l.most = max(l.most, l.p.sent-l.p.taken)
	synctest.Wait() // a question asked here is under way before the next packet
}

func TestPacer(t *testing.T) {
	const total = 64 << 20
	for _, tt := range []struct {
		name  string
		delay time.Duration // one way
		speed float64
		most  int64
		slack float64 // times what the speed alone would take
	}{
		{"beside it", 50 * time.Microsecond, 400e6, paceNear + 2*packetSize, 1.7},
		{"beside it, slow", 50 * time.Microsecond, 5e6, paceNear + 2*packetSize, 1.1},
		{"beside it, very slow", 50 * time.Microsecond, 200e3, 2 * paceWindow, 1.1},
		{"near", time.Millisecond, 100e6, 1 << 20, 1.4},
		{"far", 50 * time.Millisecond, 10e6, paceMost, 1.6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPacedLine(tt.delay, tt.speed)
				start := time.Now()
				for range total / packetSize {
					l.send(packetSize)
				}
				took := time.Since(start)
				time.Sleep(time.Minute) // the last question's answer
				if l.most > tt.most {
					t.Errorf("%d bytes were under way, want at most %d", l.most, tt.most)
				}
				if most := time.Duration(tt.slack * total / tt.speed * float64(time.Second)); took > most {
					t.Errorf("took %s, want at most %s", took, most)
				}
			})
		})
	}
}

// What is small is sent without a question.
func TestPacerLeavesSmallThingsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPacedLine(time.Second, 1)
		l.send(paceFirst - 1)
		if l.asked != 0 {
			t.Error("a question was asked")
		}
	})
}

// Where no question can be asked, the channel's own window is all that holds back.
func TestPacerEndsWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPacedLine(time.Millisecond, 1e6)
		l.broken = errors.New("gone")
		for range 100 {
			l.send(packetSize)
		}
		time.Sleep(time.Second)
		if l.asked != 1 {
			t.Errorf("asked %d times", l.asked)
		}
	})
}
