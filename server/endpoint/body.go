package endpoint

import (
	"net/http"
	"time"
)

// BodyTimeout is how long the body of a request may take.
const BodyTimeout = 30 * time.Second

// BoundBody ends the reading of a body d after its request. net/http reads what a
// handler leaves unread, and waits for it, so that every path needs the bound. A
// request without a body, as polls are, may wait for as long as it likes.
func BoundBody(h http.Handler, d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d)) // HTTP/1 and 2 can
		}
		h.ServeHTTP(w, r)
	})
}
