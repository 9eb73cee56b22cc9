package rpc

// Providers is the number of procedures that clients provide, each client's
// counted.
func (h *Handler) Providers() int { return h.hub.Subscriptions() }
