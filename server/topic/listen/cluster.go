package listen

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/dsproxy/dsproxy/server/message"
)

// precedes reports whether node a comes before node b for a name. It is the same on
// all nodes.
func precedes(a, b, name string) bool {
	x, y := weight(a, name), weight(b, name)
	return x > y || x == y && a < b
}

func weight(node, name string) uint64 {
	return mix(xxhash.Sum64String(node) ^ xxhash.Sum64String(name))
}

// mix is a permutation, the last steps of SplitMix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// coordinates reports whether this node is the coordinator of a name.
func (r *Registry) coordinates(name string) bool {
	if !r.joined.Load() {
		return true
	}
	for _, node := range r.interest.Nodes() {
		if node != r.self && precedes(node, r.self, name) {
			return false
		}
	}
	return true
}

// others returns the other nodes that provide for a name.
func (r *Registry) others(name string) []string {
	if !r.joined.Load() {
		return nil
	}
	return r.interest.Others(r.words.providers, name)
}

// nodesWith returns the other nodes that have listeners of a pattern.
func (r *Registry) nodesWith(p *pattern) []string {
	if !r.joined.Load() {
		return nil
	}
	return r.interest.Others(r.words.patterns, p.text)
}

// Remote takes what another node says about listening; it reports false for other
// actions. Between nodes the actions of the topic mean:
//
//	SUBSCRIPTION_FOR_PATTERN_FOUND  a coordinator asks for a provider
//	LISTEN_RESPONSE_TIMEOUT         one listener did not do, the next one is asked
//	LISTEN_REJECT                   none did; an error if the name needs none
//	LISTEN                          a pattern has one more listener; without a name,
//	                                all is to be looked at and to be asked again
//	INVALID_LISTEN_REGEX            a pattern took too long
//	SUBSCRIPTION_HAS_PROVIDER       two nodes provide for a name
//
// The first three have the name as their subscription, and the correlation id of the
// question.
func (r *Registry) Remote(node string, m *message.Message) bool {
	from := asker{node, m.CorrelationID}
	switch w := r.words; m.Action {
	case w.found:
		r.notices.question(from, m.Subscription)
	case w.timeout:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.progress(from, m.Subscription)
	case w.reject:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refusedBy(from, m.Subscription, m.IsError)
	case w.listen:
		if m.Name == "" {
			r.notices.doubt(node)
		} else {
			r.notices.pattern(m.Name)
		}
	case w.invalid:
		r.mu.Lock()
		defer r.mu.Unlock()
		if p := r.patterns[m.Name]; p != nil && p.back != nil {
			p.dead.Store(true)
			r.bury(p)
		}
	case w.claim:
		r.notices.name(m.Name, false)
	default:
		return false
	}
	return true
}

// Gap has all names looked at, there and here: another node may have spoken of any,
// and may wait for an answer. One that joins is noticed by the interest registry.
func (r *Registry) Gap(node string) {
	if slices.Contains(r.interest.Nodes(), node) {
		r.notices.doubt(node)
		r.notices.came(node)
	}
}
