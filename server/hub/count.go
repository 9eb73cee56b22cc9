package hub

// Subscriptions is the number of subscriptions, each session's counted.
func (h *Hub) Subscriptions() int {
	n := 0
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		for _, e := range sh.names {
			n += len(e.subs)
		}
		sh.mu.RUnlock()
	}
	return n
}
