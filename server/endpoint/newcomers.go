package endpoint

const (
	// stays is how many times a newcomer is read until it is one that stays: the
	// handshake, the two messages of a login, and what comes after it.
	stays = 4
	// maxNewcomers is how many a loop has before others get some.
	maxNewcomers = 64
)

// lodge has a loop read a newcomer. All are the first loop's, for as long as it has not
// too many of them: a loop that is awake reads one more at little cost, and to wake up
// another costs more than all that a login makes it do. They move when they stay.
func (ls *Loops) lodge(c *wsConn) bool {
	for _, l := range ls.running() {
		if l.newcomers.Load() < maxNewcomers {
			return l.add(c, c.fd, stays) == nil
		}
	}
	l := ls.pick()
	return l != nil && l.add(c, c.fd, 0) == nil
}

// visited counts how often a newcomer was read, and reports true when it has stayed.
func (l *loop) visited(c *wsConn) bool {
	if c.reading.newcomer == 0 {
		return false
	}
	c.reading.newcomer--
	if c.reading.newcomer == 1 { // it may be silent for long now
		l.newcomers.Add(-1)
	}
	return c.reading.newcomer == 0
}

// move has another loop read a connection, if it is that one's turn. It reports false
// where l goes on. It is called by who reads.
func (l *loop) move(c *wsConn) bool {
	to := c.loops.pick()
	if to == nil || to == l || !l.release(c) {
		return false
	}
	c.mu.Lock()
	err := to.add(c, c.fd, 0)
	c.mu.Unlock()
	if err != nil { // the loops have ended, or the kernel is out of memory
		c.finish()
	}
	return true
}

// release has the loop read a connection no longer.
func (l *loop) release(c *wsConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.forget(c.fd) != nil {
		return false
	}
	delete(l.conns, c.reading.id)
	return true
}
