// Package bus carries bytes between the nodes of a cluster. What the bytes mean is
// the business of the topics; which nodes need them is known to package interest.
//
// A node hears each of the others as a stream: messages come once and in the order
// in which they were sent, and where some were lost on the way the receiver is told
// so, instead of being left to believe that it knows everything.
//
// # How
//
// Redis pub/sub, which carries the messages, brings a message at most once, and says
// nothing of one that it did not bring. So each run of a node has an incarnation, a
// number that grows from run to run, and what it sends to a run of another node is a
// stream of numbered messages:
//
//   - stream.go queues payloads, joins those that wait for the same node into one
//     message, and numbers the messages. What is dropped takes a number as well.
//   - peers.go hears the others. A number that was passed over is a Gap, one that was
//     there before is not delivered again. Every second a node announces itself to
//     all, with the last number sent to each, so that a loss shows even when nothing
//     follows; whoever is new, or was cut off, asks for announcements at once. A node
//     that is not heard for a lease is gone, unless somebody else knows better
//     (opinion.go); a node that comes back under another incarnation has Left first.
//     Of two runs under one name the later is heard, and the earlier again if it is
//     the only one that is left.
//   - member.go ties the two to a transport: redis.go, or memory.go for one process.
//
// After Gap(node), all that the node sends to this one is delivered, or another Gap is
// told. To hold that, a node is not told to the receiver before it has begun to send.
// A connection that broke and came back is no Gap if nothing was lost meanwhile.
//
// A node hears its own announcements too, and knows by that whether the bus works.
// While it does not, nobody is declared gone.
//
// Announcements grow with the cluster: one of a node among n is about 40+13n bytes,
// and goes to all n each second: 5 kB/s to each of 20 nodes, 130 kB/s to each of 100.
//
// Lock order: peers.mu, then outbox.mu. The receiver is called with peers.mu held.
//
// # Why a channel for each node
//
// What carries a message about a name to the nodes that want it can be a channel for
// each node, where each node knows what the others want; a channel for each name; or a
// fixed number of channels that names are hashed to. With one Redis 7.0, three nodes
// that want 100,000 names each, none in common, and a fourth that publishes messages
// of 100 bytes, 100 at a time, on a machine with 2 cores
//
//	go test ./server/bus -run '^$' -bench Channels -benchtime 200000x
//
// says:
//
//	                                         node   name   256 hashes
//	all three nodes want their names, ms      174    634       18
//	  of that CPU of Redis, ms                  6    384        0.6
//	  memory of Redis for it, MiB             0.6     66        0.3
//	a message nobody wants
//	  CPU of Redis, us                       0.00   1.03        0.85
//	  CPU of the nodes, us                   0.03   0.75        2.42
//	  nodes that hear it                        0      0           3
//	a message one node wants
//	  CPU of Redis, us                       0.20   0.85        0.96
//	  CPU of the nodes, us                   0.89   1.46        2.99
//	  nodes that hear it                        1      1           3
//
// A channel for each name costs Redis 220 bytes a name and node, and all of them are
// subscribed to again after each loss of a connection, when Redis has least to spare.
// Hashed channels are soon all of interest to all. Channels of nodes cost each node
// the knowledge of what others want, which a node has anyway: which listeners are
// asked, which providers there are and who is present are the same knowledge. What
// nobody else wants is not sent at all, and only what has one receiver can be joined
// into one message and be counted, so that a loss is noticed.
package bus
