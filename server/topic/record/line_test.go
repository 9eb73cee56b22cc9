package record

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// TestLineAddsToItself: what is done to a record may show that its subscribers have to
// catch up; that takes its place in the line, however long the line is.
func TestLineAddsToItself(t *testing.T) {
	for _, inline := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			full := make(chan struct{})
			done, caughtUp := 0, 0
			var l *lines
			l = newLines(inline, func(task *task) {
				if task.catchUp {
					caughtUp++
					return
				}
				if done++; done == 1 {
					<-full
					l.add("r", catchingUp("r"))
				}
			})
			write := func() { l.add("r", task{m: &message.Message{Action: message.RecordRead, Name: "r"}}) }
			go write()
			synctest.Wait()
			for range maxLine + 10 { // the last of them wait for room
				go write()
			}
			synctest.Wait()
			close(full)
			synctest.Wait()
			if done != maxLine+11 || caughtUp != 1 {
				t.Errorf("inline %t: %d tasks done, caught up %d times", inline, done, caughtUp)
			}
		})
	}
}

// shared is a connection whose goroutine reads others, too.
type shared struct {
	session.Conn
	session.Handler
	yields atomic.Int64
}

func (c *shared) Yield() { c.yields.Add(1) }

// TestLineYields: who has to wait because the store hangs lets others be read meanwhile,
// and who need not does not.
func TestLineYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &shared{}
		s, err := session.NewRegistry(session.NewFlusher(1), conn).New(conn, wire.Protobuf, &session.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		hangs := make(chan struct{})
		var done atomic.Int64
		l := newLines(false, func(*task) { <-hangs; done.Add(1) })
		read := func(i int) task {
			return task{from: s, m: &message.Message{Action: message.RecordRead, Name: fmt.Sprint(i)}}
		}
		for i := range maxBusy {
			l.add(fmt.Sprint(i), read(i))
		}
		if n := conn.yields.Load(); n != 0 {
			t.Errorf("%d tasks of those that can be done at a time made others be read elsewhere", n)
		}
		for i := range 2 {
			go l.add(fmt.Sprint(maxBusy+i), read(maxBusy+i))
		}
		again := read(maxBusy + 2)
		again.astray = true
		go l.add("again", again) // by a timer: no client is read there
		time.Sleep(time.Second)
		if n := conn.yields.Load(); n != 2 {
			t.Errorf("%d of two tasks too many made others be read elsewhere", n)
		}
		for range maxLine {
			l.add("0", read(0))
		}
		time.Sleep(time.Second)
		if n := conn.yields.Load(); n != 2 {
			t.Errorf("%d tasks made others be read elsewhere while there was room", n-2)
		}
		for range 3 {
			go l.add("0", read(0))
		}
		time.Sleep(time.Second)
		if n := conn.yields.Load(); n != 2+3 {
			t.Errorf("%d of three tasks of a full line made others be read elsewhere", n-2)
		}
		close(hangs)
		synctest.Wait()
		if n := done.Load(); n != maxBusy+3+maxLine+3 {
			t.Errorf("%d tasks done, want %d", n, maxBusy+3+maxLine+3)
		}
	})
}

// TestLineRoom: who waits for room in a line is let in one by one as tasks are done, not
// when all are.
func TestLineRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		l := newLines(false, func(*task) { <-step })
		notice := func() task { return task{m: &message.Message{Action: message.RecordNotify, Name: "r"}} }
		for range 1 + maxLine {
			l.add("r", notice())
		}
		if l.offer("r", notice()) {
			t.Error("a full line takes an offer")
		}
		var in atomic.Int64
		for range 3 {
			go func() { l.add("r", notice()); in.Add(1) }()
		}
		synctest.Wait()
		for done := range int64(3) {
			if got := in.Load(); got != done {
				t.Errorf("after %d tasks %d of those that wait are in", done, got)
			}
			step <- struct{}{}
			synctest.Wait()
		}
		close(step)
	})
}
