package listen

// Listeners is the number of patterns that clients listen to, each client's
// counted.
func (r *Registry) Listeners() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.counts {
		n += c.all
	}
	return n
}

// Provided is the number of names that a client provides for.
func (r *Registry) Provided() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.provided)
}
