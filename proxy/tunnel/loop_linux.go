package tunnel

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const haveLoops = true

const (
	// eventBatch is how many events one epoll_wait fetches.
	eventBatch = 128
	// turnBudget is how many bytes one pair may read in a direction before
	// the others have their turn.
	turnBudget = 2 * largeBlock
)

// loop relays the pairs of its shard from one goroutine.
type loop struct {
	shard

	// set by newLoop
	file *os.File // the epoll instance, known to the runtime's poller
	raw  syscall.RawConn
	fd   int

	// owned by the goroutine in turn
	events [eventBatch]unix.EpollEvent
	batch  [eventBatch]*pair
	hot    []*pair // used up their budget
	spare  []*pair
	buf    []byte // shared by all reads, see pair.move
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Nonblock is what makes os.NewFile hand it to the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if the poller did not take it
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &loop{file: file, raw: raw, fd: fd, buf: make([]byte, largeBlock)}, nil
}

// close ends run. The tunnels must be closed already.
func (l *loop) close() {
	l.file.Close()
}

// run relays until close. It waits in the runtime's poller, in which the epoll
// descriptor is a file like any other, and so gives its processor back while it
// waits. To block in epoll_wait instead saves a call, but the scheduler has to
// take the processor from a thread that blocks and find it one again: a third
// more processor time for each message (BenchmarkEcho, epoll against
// epoll-blocking), and with every core in use a wait for a free one.
func (l *loop) run() {
	// One call for life: Read forgets what the poller said before it was
	// called, but between the tries of one call nothing is lost, so a try
	// that used up what there was need not look again.
	_ = l.raw.Read(func(uintptr) bool {
		for l.turn(l.poll()) {
		}
		return false
	}) // the error is that of close
}

// poll fetches what has happened, without waiting.
func (l *loop) poll() (n int) {
	for {
		n, err := epollNow(l.fd, l.events[:])
		if err != unix.EINTR {
			return max(n, 0)
		}
	}
}

// turn handles the first n events and those pairs that had not finished in the
// turn before. It reports whether there may be more to do already.
func (l *loop) turn(n int) (more bool) {
	l.resolve(n)
	hot := l.hot
	l.hot = l.spare[:0]
	for i, p := range l.batch[:n] {
		if p != nil && p.ready(l.buf, side(l.events[i].Fd&1), l.events[i].Events) {
			l.heat(p)
		}
	}
	for _, p := range hot {
		p.hot = false
		if p.ready(l.buf, client, 0) {
			l.heat(p)
		}
	}
	clear(l.batch[:n])
	clear(hot)
	l.spare = hot
	return n == eventBatch || len(l.hot) > 0
}

// heat has p looked at in the next turn.
func (l *loop) heat(p *pair) {
	if !p.hot {
		p.hot = true
		l.hot = append(l.hot, p)
	}
}

// resolve finds the pairs of the first n events; nil for those that ended
// after the kernel had noted the event.
func (l *loop) resolve(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range l.events[:n] {
		if s := l.slots[e.Fd>>1]; s.t != nil && s.gen == e.Pad {
			l.batch[i] = s.t.way.(*pair)
		}
	}
}
