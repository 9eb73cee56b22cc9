package proxy

import (
	"context"
	"iter"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
)

// route decides where a request may go. It returns the backends to try in
// their order, or an answer in the protocol's own words for a session that
// only its lost backend could have served.
func (ex *exchange) route(ctx context.Context) (iter.Seq[*backend.Member], *affinity.LostAnswer) {
	set := ex.p.pool.Set()
	switch {
	case ex.matched && ex.match.HasKey:
		return ex.routeSession(ctx, set)
	case ex.matched || ex.st.cookie == nil:
		ex.choice = choiceNew
		return set.Least(leastOf), nil
	default:
		return ex.routeCookie(set), nil
	}
}

// leastOf is the number of random choices of which a new session takes the
// less loaded; two is nearly as good as all and does not herd replicas.
const leastOf = 2

func (ex *exchange) routeSession(ctx context.Context, set *backend.Set) (iter.Seq[*backend.Member], *affinity.LostAnswer) {
	key := ex.match.Key
	if ex.match.Phase == affinity.Hashed || ex.match.Phase == affinity.Handshake {
		ex.choice = choiceHash
		return set.Ranked(key[:]), nil
	}
	id, known := ex.p.pins.Lookup(ctx, key)
	if known && !ex.p.servesEstablished(set, id) {
		// Another replica may have moved the session already.
		if now, ok := ex.p.pins.Recheck(ctx, key); ok && now != id {
			id = now
		}
	}
	if known && ex.p.servesEstablished(set, id) {
		ex.stats.hit.Inc()
		ex.choice = choicePin
		return ex.pinnedFirst(set, id), nil
	}
	if !known {
		if ex.match.Phase == affinity.Session {
			ex.stats.miss.Inc()
		}
		return ex.fallback(set, false)
	}
	ex.p.pins.Unpin(ctx, key, id)
	return ex.fallback(set, true)
}

// fallback is for a session that no backend is known to have. A healthy one
// refuses it in its own words, and every replica picks the same one, so that
// an id the client made itself still meets its session. Where a backend's
// answer would do harm, the proxy answers.
func (ex *exchange) fallback(set *backend.Set, lost bool) (iter.Seq[*backend.Member], *affinity.LostAnswer) {
	if lost {
		ex.stats.lost.Inc()
	}
	if lost || ex.match.Phase == affinity.Session {
		if a, ok := ex.match.Lost(ex, ex.prefix); ok {
			ex.choice = choiceNone
			return nil, &a
		}
	}
	if !lost && ex.startSearch(set) {
		ex.choice = choiceSearch
		return set.Ranked(ex.match.Key[:]), nil
	}
	ex.choice = choiceFallback
	return set.Ranked(ex.match.Key[:]), nil
}

// pinnedFirst yields the session's backend alone: no other one can serve it.
func (ex *exchange) pinnedFirst(set *backend.Set, id string) iter.Seq[*backend.Member] {
	m, ok := set.Get(id)
	return func(yield func(*backend.Member) bool) {
		if ok {
			yield(m)
		}
	}
}

// servesEstablished reports whether a backend can go on with sessions it has:
// all but one that is down or gone.
func (p *Proxy) servesEstablished(set *backend.Set, id string) bool {
	m, ok := set.Get(id)
	return ok && m.Established()
}

// routeCookie serves clients that no rule claims and that keep cookies.
func (ex *exchange) routeCookie(set *backend.Set) iter.Seq[*backend.Member] {
	cookies := ex.p.cookieSet(ex.st, set)
	if h, ok := ex.Header("Cookie"); ok {
		if id, ok := cookies.Resolve(h); ok && ex.p.servesEstablished(set, id) {
			ex.choice = choiceCookie
			return ex.pinnedFirst(set, id)
		}
	}
	ex.choice = choiceNew
	return set.Least(leastOf)
}
