package proxy

import (
	"io"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
)

// While the table is away, or lately was, a replica may be asked for a session
// that only another replica has pinned. Its backend can still be found: those
// that do not have a session refuse it, and a refusal changes nothing, so they
// are asked one after the other, in the order all replicas agree on. Who has
// the session answers, and is pinned here too.
//
// With a table in order nothing is searched: forged ids would cost a request to
// each backend.

const (
	// maxSearch bounds the backends that are asked for one request.
	maxSearch = 8
	// maxSearchBody bounds a request body that is kept for asking again.
	maxSearchBody = 64 << 10
)

// startSearch decides whether the session of the request is searched, and gets
// its body ready to be sent more than once.
func (ex *exchange) startSearch(set *backend.Set) bool {
	if ex.match.Phase != affinity.Session || !ex.p.pins.Incomplete() {
		return false
	}
	n := min(set.Usable(), maxSearch)
	if n < 2 || !ex.bufferBody() {
		return false
	}
	ex.search = n
	return true
}

// bufferBody reads the whole body into ex.prefix; false means that it is too
// long or broken, and goes to one backend as it comes.
func (ex *exchange) bufferBody() bool {
	if ex.req.Framing.Empty() {
		return true
	}
	if ex.req.Framing.Length > maxSearchBody || ex.req.Expect100 {
		return false
	}
	src := ex.down.source()
	for len(ex.prefix) <= maxSearchBody {
		if !src.Ready() {
			ex.now = time.Now()
			ex.down.extendRead(ex.now, ex.st.cfg.Timeouts.Idle)
		}
		chunk, err := src.Next()
		if err != nil {
			return err == io.EOF
		}
		ex.prefix = append(ex.prefix, chunk...)
	}
	return false
}

// searchesFurther reports whether there is another backend to ask.
func (ex *exchange) searchesFurther() bool { return ex.tries < ex.search }

// searchesOn reports whether the answer in ex.resp says that this backend does
// not have the session and another one may. The last one's refusal stands.
func (ex *exchange) searchesOn(upl *upload) bool {
	if !ex.searchesFurther() || upl != nil {
		return false
	}
	switch ex.resp.Status {
	case 400, 404, 410:
		return true
	}
	return false
}
