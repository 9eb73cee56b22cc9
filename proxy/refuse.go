package proxy

import (
	"net/http"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/proxy/http1"
)

// refuse answers in the proxy's own name, counts the cause and logs it once.
// It reports whether the client's connection may go on.
func (ex *exchange) refuse(r *refusal) (keep bool) {
	if ex.replied {
		return false
	}
	m := ex.p.metrics
	m.errors.WithLabelValues(r.cause).Inc()
	if r.limit != "" {
		m.limits.WithLabelValues(r.limit).Inc()
	}
	ex.p.refusalLog.warn(ex.p.log, "request refused", r.cause,
		"status", r.status, "id", string(ex.id), "client", ex.client, "backend", ex.backend, "rule", ex.ruleName(), "detail", r.detail)
	a := answer{status: r.status, close: r.close || !ex.req.Framing.Empty()}
	a.extra = append(a.extra, field("X-Request-Id", string(ex.id)))
	if r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests {
		a.extra = append(a.extra, field("Retry-After", "1"))
	}
	return ex.say(&a, "text/plain; charset=utf-8", []byte(r.body(string(ex.id))))
}

// answerLost tells the client of a lost session so in its protocol's words.
func (ex *exchange) answerLost(lost *affinity.LostAnswer) (keep bool) {
	read := ex.req.Framing.Empty() || ex.req.Framing.Kind == http1.Length && ex.req.Framing.Length == int64(len(ex.prefix))
	a := answer{status: lost.Status, close: !read}
	for _, h := range lost.Header {
		a.extra = append(a.extra, field(h[0], h[1]))
	}
	return ex.say(&a, lost.ContentType, lost.Body)
}

// redirectHTTPS sends the client to the https form of its URL.
func (ex *exchange) redirectHTTPS() (keep bool) {
	ex.stats = ex.st.none
	defer ex.finish()
	host := string(hostWithoutPort(ex.req.Host))
	if host == "" {
		return ex.refuse(&refusal{status: http.StatusBadRequest, cause: http1.CauseHost})
	}
	a := answer{status: http.StatusPermanentRedirect, close: !ex.req.Framing.Empty()}
	a.extra = append(a.extra, field("Location", "https://"+host+string(ex.req.AppendTarget(nil))))
	return ex.say(&a, "text/plain; charset=utf-8", []byte("moved to https\n"))
}

// say sends a whole answer.
func (ex *exchange) say(a *answer, contentType string, body []byte) (keep bool) {
	ex.status = a.status
	a.reason = []byte(http.StatusText(a.status))
	a.declared = int64(len(body))
	a.framing = http1.Framing{Kind: http1.Length, Length: a.declared}
	if string(ex.req.Method) == http.MethodHead {
		a.framing = http1.Framing{}
	}
	a.close = a.close || ex.p.draining.Load()
	if contentType != "" {
		a.extra = append(a.extra, field("Content-Type", contentType))
	}
	ex.down.extendWrite(time.Now(), ex.st.cfg.Timeouts.Idle)
	sink, err := ex.down.begin(a)
	if err != nil {
		return false
	}
	ex.replied = true
	if a.framing.Kind != http1.None {
		if _, err := sink.Write(body); err != nil {
			return false
		}
		ex.sent = a.declared
	}
	return sink.Close(nil) == nil && sink.Flush() == nil && !a.close
}

func (ex *exchange) ruleName() string {
	if ex.matched {
		return ex.match.Rule.Name
	}
	return "none"
}

func field(name, value string) http1.Field {
	return http1.Field{Name: []byte(name), Value: []byte(value)}
}

func hostWithoutPort(host []byte) []byte {
	for i := len(host) - 1; i >= 0; i-- {
		switch host[i] {
		case ':':
			return host[:i]
		case ']':
			return host
		}
	}
	return host
}
