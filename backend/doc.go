// Package backend says who can serve: it turns what the sources of backends
// know, what health checks find and what traffic meets into one immutable Set
// that the request path reads.
//
// # How the parts fit
//
//	Source (static list, DNS, gossip) --list--> Pool --Set()--> request path
//	active checks ----------------verdicts------^  ^  |            |
//	admin page -----------------Drain, Undrain-----+  +--OnChange  |
//	                               ^--------Report, OpenSession----+
//
// A Source hands over complete lists. The Pool merges them, keeps a record of
// each backend by its id, and after every change publishes a new Set. A Set and
// its Members never change, so a request loads the Set once and keeps it to its
// end: the order of Ranked and Least does not shift under a retry. Readers take
// no lock.
//
// # The life of a request
//
// A new session takes Set.Least, an unknown or hashed key Set.Ranked, a pinned
// one Set.Get. The caller tries the members in their order: Acquire a slot,
// dial, Report what happened, Release at the end. A dial that failed is
// reported and the next member tried; a sequence never names one twice. What
// becomes a tunnel is counted with OpenSession and CloseSession; sessions that
// live by polling are counted by Deps.Polling. Together they are the load that
// Least compares: open requests are none, for a session costs a backend memory
// and work while it polls as well as between polls.
//
// # The life of a backend
//
//	state      new sessions   its own sessions   until
//	up         yes            yes
//	draining   no             yes                Undrain, or its source says so
//	ejected    last resort    yes                its time is over
//	down       no             no                 Rise checks passed
//
// A backend is up from the moment it is named, so that a start costs no
// traffic; its first check, at once, decides alone. After that Fall failed
// checks in a row take it down, and Rise passed ones bring it back.
//
// Traffic judges too. EjectAfter failed handshakes, or failed dials, in a row
// eject a backend for a while that doubles each time; after a good time of
// EjectMax the count begins anew. Passed checks end an ejection for failed
// dials, which they refute, but not one for failed handshakes. Never more than
// EjectPercent of the backends are ejected, and never the last one that is up;
// when nothing is up the ejected ones are tried before a request is refused.
// Draining and down ones are not: the first would break an operator's word, and
// the second do not answer.
//
// A source may doubt that a backend lives, as gossip does that has not heard of
// it. While its checks pass it is draining; when they fail too it is down, and
// vanishes after a while.
//
// Two failed dials in a row make a backend suspect already. It stays up, but
// Least puts it last, and it is checked at once and then at a quarter of
// Interval, so that one that has died is down soon.
//
// One that comes back, or that joins a pool at work, starts slowly: it is drawn
// with a part of its weight that grows from a tenth to the whole in SlowStart. Where
// the others came just before, as in a fleet that starts as a whole, it begins with
// more: it has caught up after as long as they are ahead of it.
//
// What is known of a backend lives as long as a source names it, across new
// lists and reloads. When it vanishes and comes back it begins anew, but for
// the count of tunnels that are still open.
//
// # Locks
//
// There is one, Pool.mu. It is never held while code of others runs, a source, a
// check or a function of Deps, but for Deps.Random.
package backend
