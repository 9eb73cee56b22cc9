// Package backend says who can serve: it turns what the sources of backends
// know, what health checks find and what traffic meets into one immutable Set
// that the request path reads.
//
// # How the parts fit
//
//	Source (static list, DNS, gossip) --set([]Backend)--> Pool --Set()--> request path
//	health checks -----------------------------------------^   |
//	Report, Drain, OpenSession <------- request path, admin ----+--OnChange--> logs, upstream pools
//
// A Source hands over complete lists. The Pool merges them, keeps a record of
// each backend by its id, and after every change that matters publishes a new
// Set. A Set and its Members never change, so a request loads the Set once and
// keeps it to its end: the order of Ranked and Least does not shift under a
// retry.
//
// # The life of a request
//
// A new session takes Set.Least, an unknown or hashed key Set.Ranked, a pinned
// one Set.Get. The caller tries the members in their order: Acquire a slot,
// dial, Report what happened, Release at the end. A dial that failed is
// reported and the next member tried; the sequence never names one twice. What
// becomes a session (a tunnel) is counted with OpenSession and CloseSession;
// sessions that live by polling are counted by Deps.Polling.
package backend
