package backend

import "time"

// Outcome is what real traffic met at a backend.
type Outcome uint8

// The outcomes. Failures to dial and failed handshakes are counted apart; both
// count against Config.EjectAfter. What this machine or the client did is no
// outcome: too many open files, a request given up by its client.
const (
	// DialFailed: no connection could be made. Two in a row make the backend
	// suspect: Least puts it last, it is checked at once, and four times as
	// often as others until a check or a request succeeds.
	DialFailed Outcome = iota
	// HandshakeFailed: the request that would have begun a session got a 5xx,
	// or the connection died before an answer.
	HandshakeFailed
	// HandshakeServed: such a request got any other answer. Ends both counts.
	HandshakeServed
	// Answered: any other request got an answer. Ends the count of failed
	// dials only, for a backend may serve old sessions while it fails new ones.
	Answered
)

// Report tells what traffic met at a backend; an unknown id is ignored. Good
// news of a backend in good standing costs two atomic loads and takes no lock.
func (p *Pool) Report(id string, o Outcome) {
	if m, ok := p.Set().Get(id); ok {
		p.report(m.record, o)
	}
}

func (p *Pool) report(r *record, o Outcome) {
	good := o == HandshakeServed || o == Answered
	if good && r.failedDials.Load() == 0 && (o == Answered || r.failedHandshakes.Load() == 0) {
		return
	}
	c := p.settings.Load()
	mayEject := func() bool { return p.mayEject(r, c) }
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	before := r.standing()
	switch o {
	case DialFailed:
		if r.dialFailed(now, c, mayEject) {
			p.checkSoon(r, now)
		}
	case HandshakeFailed:
		r.handshakeFailed(now, c, mayEject)
	default:
		r.served(o == HandshakeServed)
	}
	if r.standing() != before {
		p.publish(now)
		p.deliver()
		p.rouse()
	}
}
