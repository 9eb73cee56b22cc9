package record

// Subscriptions is the number of subscriptions, each client's counted.
func (h *Handler) Subscriptions() int { return h.hub.Subscriptions() }

// Listeners is the number of patterns that clients listen to.
func (h *Handler) Listeners() int { return h.listen.Listeners() }

// Provided is the number of names that a client provides for.
func (h *Handler) Provided() int { return h.listen.Provided() }
