package controller

// pokes count how often an operator asked to fetch and look, and how many of these were
// fetched for, and looked for after that.
type pokes struct {
	made, fetched, looked int
}

// open tells whether one has not been answered yet.
func (p pokes) open() bool { return p.looked < p.made }

// fetched is called where git begins to be asked, and what it returns at the end, whatever
// came of it.
func (c *Controller) fetched() (end func()) {
	c.mu.Lock()
	n := c.asked.made
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		c.asked.fetched = max(c.asked.fetched, n)
		open := c.asked.looked < c.asked.fetched
		c.mu.Unlock()
		if open {
			c.queue.Add(fleetKey)
		}
	}
}

// answered is called where the hosts begin to be looked at, and what it returns once the
// rollout that this means, if any, has ended.
func (c *Controller) answered() (end func()) {
	c.mu.Lock()
	n := c.asked.fetched
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		c.asked.looked = max(c.asked.looked, n)
		c.mu.Unlock()
		c.changed()
	}
}
