package server

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestListenHandover: when a provider goes, its node asks the listeners of another one
// before that one has heard that the name is not provided for any more. They are
// asked nevertheless.
func TestListenHandover(t *testing.T) {
	const lag, names = 100 * time.Millisecond, 40
	lagged(t, 2, lag, func(d *dialogue, _ *lagging) {
		settled(lag)
		a, b := d.join("a", 1), d.join("b", 2)
		a.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		settled(lag)
		subscribe(t, b, names)
		time.Sleep(2 * lag)
		synctest.Wait()
		if heard := a.acceptAll(t); heard[message.RecordSubscriptionForPatternFound] != names {
			t.Fatalf("the first listener heard %v", heard)
		}
		settled(lag)
		b.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		settled(lag)
		b.take()
		a.say(t, message.Message{Action: message.RecordUnlisten, Name: "x"})
		found, removed := 0, 0
		for range 3 {
			time.Sleep(lag)
			synctest.Wait()
			heard := b.acceptAll(t)
			found += heard[message.RecordSubscriptionForPatternFound]
			removed += heard[message.RecordSubscriptionForPatternRemoved]
		}
		if found != names || removed != 0 {
			t.Errorf("of %d names the second listener was asked for %d, and had to give up %d", names, found, removed)
		}
	})
}
