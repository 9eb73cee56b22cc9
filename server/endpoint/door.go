package endpoint

import (
	"log/slog"
	"net/http"
	"time"
)

// DoorConfig is what a Door needs to know.
type DoorConfig struct {
	// Loops read the clients; they have one Door at most.
	Loops *Loops
	// Find returns the endpoint of a request whose logins are quick, nil if there
	// is none.
	Find func(r *http.Request) *WebSocket
	// HeaderTimeout is how long a request may take to come.
	HeaderTimeout time.Duration
	// Enter is called for each connection and may refuse it; Leave when it is a
	// client's, or net/http's, or over.
	Enter func() bool
	Leave func()
	Log   *slog.Logger
}
