// Package gossip is the membership of a fleet: the realtime nodes and the
// proxies in front of them find each other, tell what they are, and notice who
// is gone, by hashicorp/memberlist (the SWIM protocol with Lifeguard, over UDP
// and TCP).
//
// # How the parts fit
//
//	Join list, DNS ---> joining ---+
//	                               v
//	Announce --metadata--> memberlist --events--> table --Watch--> bus, metrics
//	                                                |
//	                                                +--> Source --> backend.Pool
//
// A Fleet is one member. New opens its sockets, Run joins the others and keeps
// at it, and on its end says that the member leaves. What a member tells of
// itself is its Announcement; it travels as memberlist's metadata of the member
// (announcement.go) and may change at any time.
//
// # Who is dead, and who has left
//
// A member that is stopped says so before it leaves, in its metadata: it is
// Left. One that stops to answer is Dead after about 2.5 to 4.5 seconds; see tune
// in fleet.go. Gossip may err, or only its port be blocked, so a Dead node is
// not taken from the proxy's backends: Source goes on naming it with a doubt,
// and it is up to its health checks (backend.Backend.Doubt).
//
// # How parted halves find each other
//
// memberlist forgets a dead member after a while and never looks for it again.
// So a Fleet goes on calling, every quarter of a minute, each address of the join
// list and each address where a member died within the last hour, unless a
// living member is there. In a fleet at rest that is no call at all.
//
// # Locks
//
// Three, taken in this order: Fleet.mu, which has announcements sent in their
// order; memberlist's own; table.mu. memberlist calls the table with its lock
// held, so nothing of memberlist is called while table.mu is held. Watches are
// called with none of them.
package gossip
