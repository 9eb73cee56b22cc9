package record

import (
	"testing"
	"testing/synctest"

	"github.com/dsproxy/dsproxy/server/message"
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
