package server

import (
	"strings"
	"testing"

	"github.com/dlclark/regexp2/v2"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestRunawayPattern: a listener whose pattern never ends on a name is told so, and
// nobody else is held up: the name gets its provider from another one.
func TestRunawayPattern(t *testing.T) {
	t.Cleanup(regexp2.StopTimeoutClock)
	s := startNode(t, func(c *Config) { c.Listen.Shuffle = false })
	evil, good, reader := dial(t, s, "evil"), dial(t, s, "good"), dial(t, s, "reader")
	listen := func(p *peer, pattern string) {
		t.Helper()
		p.send(&message.Message{Topic: message.Event, Action: message.EventListen, Name: pattern})
		p.expect(message.Event, message.EventListen)
	}
	listen(evil, `(?=x)(x+x+)+y`)
	listen(good, `^(?!y)x+$`)
	name := strings.Repeat("x", 1000)
	reader.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: []string{name}, CorrelationID: "1"})
	if m := good.expect(message.Event, message.EventSubscriptionForPatternFound); m.Subscription != name {
		t.Errorf("asked about %q", m.Subscription)
	}
	reader.expect(message.Event, message.EventSubscribe)
	if m := evil.expect(message.Event, message.EventInvalidListenRegex); m.Name != `(?=x)(x+x+)+y` || !m.IsError {
		t.Errorf("the error is about %q", m.Name)
	}
	if got := hits(s); got["listen_patterns"] != 1 {
		t.Errorf("hits %v", got)
	}
	// Listening again is of no use while the name is there, and found out when
	// the names are looked through.
	evil.send(&message.Message{Topic: message.Event, Action: message.EventUnlisten, Name: `(?=x)(x+x+)+y`})
	evil.expect(message.Event, message.EventUnlisten)
	listen(evil, `(?=x)(x+x+)+y`)
	evil.expect(message.Event, message.EventInvalidListenRegex)
	// It may still do everything else.
	listen(evil, `^y$`)
}
