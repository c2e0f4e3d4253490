package sshdriver

import "time"

// A session's channel has a window of 2 MiB with OpenSSH, and whoever sends more than a
// command reads at once fills it. sshd then holds up to that much in one buffer, which it
// makes anew, copies and wipes with each packet that does not fit: 8 MiB cost a host 130 ms
// of CPU time so, and 15 ms where no more than some packets are under way.

const (
	paceFirst  = 32 << 10               // after so much the first answer is waited for: little is in its way
	paceWindow = 128 << 10              // so much may be under way on any line
	paceShare  = 32                     // or that part of what has been sent, if it is more,
	paceNear   = 512 << 10              // up to so much,
	paceMost   = 4 << 20                // and so much on the longest line: more than the channel's own window
	paceFar    = time.Millisecond       // a line on which answers take no longer needs no more for its length
	paceSoon   = 100 * time.Millisecond // a line on which answers take as long is slow: what waits on it keeps others waiting
)

// pacer holds a sender back to what the other side takes in. It asks (a channel request
// with a reply, RFC 4254, section 5.4: the other side answers in the order in which it
// reads), one question at a time. An answer that takes hardly longer than the quickest one
// did tells that the time is the line's: twice as much may then be under way, until it is
// all that the channel's own window allows. One that takes much longer has waited behind
// data that the host has not read: half as much.
//
// Questions cost both sides something as well: of 200 MiB to ten hosts, asking after each
// 64 KiB took about a fifth of all CPU time, by a profile. So unless the line is slow, more is under way the more
// has been sent: a host that fills a buffer of 512 KiB has a large release to take in.
type pacer struct {
	ask      func() error // returns once the other side has read what was written before; an error ends the pacing
	now      func() time.Time
	sent     int64
	taken    int64 // of it, what the other side has surely read
	window   int64
	least    time.Duration // of all answers' times
	asked    *question     // under way
	askedFor int64         // what the last question was for
	ended    bool
}

type question struct {
	at       time.Time
	answered chan answer // has room for the one
}

type answer struct {
	at  time.Time
	err error
}

func newPacer(ask func() error) *pacer {
	return &pacer{ask: ask, now: time.Now, window: paceWindow}
}

// wrote counts n bytes as sent, and waits until more may be.
func (p *pacer) wrote(n int) {
	p.sent += int64(n)
	for !p.ended {
		full := p.sent-p.taken >= p.window
		switch {
		case p.asked != nil && (full || p.least == 0):
			p.learn(<-p.asked.answered)
		case p.asked != nil:
			select {
			case a := <-p.asked.answered:
				p.learn(a)
			default:
				return
			}
		case full || p.sent-p.askedFor >= p.window/2 || p.least == 0 && p.sent >= paceFirst:
			p.question()
		default:
			return
		}
	}
}

func (p *pacer) question() {
	q := &question{at: p.now(), answered: make(chan answer, 1)}
	p.asked, p.askedFor = q, p.sent
	go func() {
		err := p.ask()
		q.answered <- answer{p.now(), err}
	}()
}

// learn takes an answer in.
func (p *pacer) learn(a answer) {
	q := p.asked
	p.asked = nil
	if a.err != nil {
		p.ended = true
		return
	}
	p.taken = p.askedFor
	took := a.at.Sub(q.at)
	if p.least == 0 || took < p.least {
		p.least = max(took, time.Microsecond)
	}
	switch {
	case p.least > paceFar && took < 2*p.least:
		p.window = min(2*p.window, paceMost)
	case took > 4*p.least:
		p.window /= 2
	}
	p.window = max(p.window, paceWindow)
	if took < paceSoon {
		p.window = max(p.window, min(p.sent/paceShare, paceNear))
	}
}
