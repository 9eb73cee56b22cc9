// Package affinity decides which backend a realtime session belongs to.
//
// It has two halves that meet in the type Key. The rules (this half: Rules,
// Match, Learned, Lost, Cookie) know the protocols: where a request shows its
// session id, where an answer gives a new one, for how long it lives, when it
// is over, and what to tell a client whose backend is gone. They are pure:
// no clock, no socket, no lock; a *Rules never changes once compiled and may be
// used by any number of goroutines. The table (Table, the memory and Redis
// stores, the local front) remembers which backend holds a Key.
//
// # The life of a request
//
// [Rules.Match] looks at the request head. Most requests match nothing and are
// balanced freely. Otherwise [Match.Phase] says what to do:
//
//   - Handshake: any backend may take it, and the answer makes a session.
//   - Session: Match.Key is known; the table says where it lives. If it says
//     nothing, or that backend is gone, ask [Match.Lost] for the answer; if it
//     has none, a healthy backend chosen by rendezvous over the key answers in
//     its own words. Nothing is pinned.
//   - Claim: the id was made by the client, so an unknown key is a new session:
//     any backend, and a pin once it answered 2xx or 101 (see
//     [Match.Claims]). Only if the table names a backend that is gone, ask
//     [Match.Lost].
//   - Hashed: rendezvous over the key, nothing is stored.
//   - Stateless: a protocol was recognised, but any backend will do.
//
// If Match.Identity is set, the request goes out with "Accept-Encoding:
// identity". If Match.Learns is set, the answer is held back and shown to
// [Match.Learn], again with more of its body for as long as the status is
// NeedMore. When the status is Done, the key is put into the table before the
// first byte of the answer leaves. Whatever the status, the answer then travels
// on unchanged.
//
// If Match.NeedBody is not zero the key is in the request body: before routing,
// read up to that many bytes and give them to [Match.KeyFromBody], which may
// change Phase, Key and HasKey.
//
// Responses are shown to [Match.EndsByResponse] and request bodies to
// [Match.EndsByRequest] in passing, up to the limits in Match.WatchRequest and
// Match.WatchResponse; when one says yes, the pin is deleted after the answer.
//
// The life of a pin (Learned.TTL, or Match.TTL where nothing can be learned)
// counts from the latest request of the session. A request that is still open,
// a stream or a tunnel, keeps its session alive: refresh the pin meanwhile.
//
// # Rules are data
//
// The built-in rules are in rules.yaml, whose head explains the language. Users
// write theirs in the same form, see [LoadRules].
package affinity
