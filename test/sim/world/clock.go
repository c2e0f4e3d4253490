package world

import "time"

// Clock is virtual time: it stands still until Next moves it to what is due.
type Clock struct {
	now   time.Duration
	seq   uint64
	queue []timer
}

type timer struct {
	at  time.Duration
	seq uint64 // what was set first runs first, at the same moment
	run func()
}

func (t timer) before(u timer) bool { return t.at < u.at || t.at == u.at && t.seq < u.seq }

// Now is the time since the world began.
func (c *Clock) Now() time.Duration { return c.now }

// After runs f once d has passed.
func (c *Clock) After(d time.Duration, f func()) { c.At(c.now+max(d, 0), f) }

// At runs f at that moment, or next where it is over.
func (c *Clock) At(at time.Duration, f func()) {
	c.seq++
	c.queue = append(c.queue, timer{at: max(at, c.now), seq: c.seq, run: f})
	i := len(c.queue) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !c.queue[i].before(c.queue[up]) {
			break
		}
		c.queue[i], c.queue[up] = c.queue[up], c.queue[i]
		i = up
	}
}

// Due is when the next thing happens; false where nothing will.
func (c *Clock) Due() (time.Duration, bool) {
	if len(c.queue) == 0 {
		return 0, false
	}
	return c.queue[0].at, true
}

// Next moves to what is due next and runs it; false where nothing is.
func (c *Clock) Next() bool {
	if len(c.queue) == 0 {
		return false
	}
	t := c.queue[0]
	last := len(c.queue) - 1
	c.queue[0] = c.queue[last]
	c.queue[last] = timer{}
	c.queue = c.queue[:last]
	c.sink()
	c.now = t.at
	t.run()
	return true
}

func (c *Clock) sink() {
	i, n := 0, len(c.queue)
	for {
		least := i
		for k := 2*i + 1; k <= 2*i+2 && k < n; k++ {
			if c.queue[k].before(c.queue[least]) {
				least = k
			}
		}
		if least == i {
			return
		}
		c.queue[i], c.queue[least] = c.queue[least], c.queue[i]
		i = least
	}
}
