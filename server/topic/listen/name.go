package listen

import (
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// provision is a name that a client of this node provides for.
type provision struct {
	provider
	// keep is set while this node has not heard yet that the name is wanted, as its
	// coordinator may have. Until then the provider is kept nevertheless.
	keep time.Time
}

// Subscribed is called after a session subscribed to a name; first says that it
// was the first on this node to want it. What changed since it subscribed it may have
// been told already.
func (r *Registry) Subscribed(s *session.Session, name string, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.announce(name)
	if _, told := r.told[name]; told {
		r.subs.SwitchOne(s, name, true, &message.Message{Topic: r.topic, Action: r.words.hasProvider, Name: name})
	}
	if first && len(r.patterns) > 0 && !r.joined.Load() {
		r.consider(name, true)
	}
}

// Unwanted is called after the last subscription of a name on this node went.
func (r *Registry) Unwanted(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subs.Has(name) {
		return
	}
	delete(r.told, name)
	r.consider(name, false)
}

// reconsider takes the lock for each name anew: to find out who may provide for a
// name takes its time, and others need the lock for every subscription.
func (r *Registry) reconsider(names []string) {
	for _, name := range names {
		r.look(name, true)
	}
}

func (r *Registry) look(name string, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.consider(name, again)
}

// consider does what follows from what is known of a name now. It may be called at
// any time; again says that a search is due even if the last one was in vain.
func (r *Registry) consider(name string, again bool) {
	if r.closed {
		return
	}
	r.announce(name)
	p, provides := r.provided[name]
	others := r.others(name)
	switch {
	case !r.interest.Has(r.words.names, name):
		r.forget(name)
	case provides:
		if !p.keep.IsZero() {
			r.provided[name] = provision{provider: p.provider}
		}
		r.settle(name, others)
	case len(others) > 0:
		r.endSearch(name)
		r.endInquiry(name)
		delete(r.failed, name)
	case !r.coordinates(name):
		r.endSearch(name)
		delete(r.failed, name)
	case r.searches[name] == nil:
		if _, failed := r.failed[name]; !failed || again {
			r.start(name)
		}
	case again:
		// A provider may have come and gone since this was looked at last, on the
		// node that is asked, which then does not answer.
		r.extend(r.searches[name])
	}
}

// forget ends whatever is done for a name that nobody wants.
func (r *Registry) forget(name string) {
	delete(r.failed, name)
	r.endSearch(name)
	r.endInquiry(name) // the one being asked is released when it accepts
	if p, ok := r.provided[name]; ok && !time.Now().Before(p.keep) {
		r.unprovide(name)
		r.release(p.provider, name)
	}
}

// release tells a provider, or one that accepts too late, that it need not.
func (r *Registry) release(p provider, name string) {
	p.who.Send(&message.Message{Topic: r.topic, Action: r.words.removed, Name: p.pattern, Subscription: name})
}

// provide notes that a client of this node provides for a name.
func (r *Registry) provide(p provider, name string) {
	r.endSearch(name)
	delete(r.failed, name)
	one := provision{provider: p}
	if r.joined.Load() && !r.interest.Has(r.words.names, name) {
		one.keep = time.Now().Add(r.options.grace())
		time.AfterFunc(r.options.grace(), func() { r.look(name, false) })
	}
	r.provided[name] = one
	r.interest.Add(r.words.providers, name)
	r.announce(name)
	if r.joined.Load() {
		r.notices.provided(name)
	}
}

func (r *Registry) unprovide(name string) {
	delete(r.provided, name)
	r.interest.Remove(r.words.providers, name)
}

// settle decides between this node and others that provide for the same name. When
// two do, and neither knew of the other, the one that is the last to be told that the
// other knows of it knows of both: it gives way, or has the other look again.
func (r *Registry) settle(name string, others []string) {
	if len(others) == 0 {
		return
	}
	for _, node := range others {
		if precedes(node, r.self, name) {
			p := r.provided[name]
			r.unprovide(name)
			r.release(p.provider, name)
			return
		}
	}
	r.cluster.Send(others, &message.Message{Topic: r.topic, Action: r.words.claim, Name: name})
}

// hasProvider reports whether a name is provided for, on any node.
func (r *Registry) hasProvider(name string) bool {
	if _, ok := r.provided[name]; ok {
		return true
	}
	return r.joined.Load() && r.interest.Has(r.words.providers, name)
}

// announce tells the subscribers of a record on this node whether it has a provider,
// if they know otherwise.
func (r *Registry) announce(name string) {
	if r.words.hasProvider == 0 {
		return
	}
	has := r.hasProvider(name)
	_, told := r.told[name]
	action := r.words.hasNoProvider
	switch {
	case has == told, has && !r.subs.Has(name):
		return
	case has:
		r.told[strings.Clone(name)] = struct{}{}
		action = r.words.hasProvider
	default:
		delete(r.told, name)
	}
	r.subs.Switch(name, has, &message.Message{Topic: r.topic, Action: action, Name: name})
}

// providedNames returns the names that clients of this node provide for.
func (r *Registry) providedNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.provided))
	for name := range r.provided {
		names = append(names, name)
	}
	return names
}

// rematchAll tries the names again whose search was in vain. It looks at the
// provided ones too, which heals what no notice did.
func (r *Registry) rematchAll() {
	r.mu.Lock()
	var names []string
	for name, at := range r.failed {
		if time.Since(at) >= r.options.MatchCooldown {
			names = append(names, name)
		}
	}
	r.mu.Unlock()
	r.reconsider(names)
	if r.joined.Load() {
		for _, name := range r.providedNames() {
			r.look(name, false)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.rematch.Reset(r.options.RematchInterval)
	}
}
