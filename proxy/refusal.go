package proxy

import "net/http"

// refusal is an answer of the proxy's own to a request that it cannot or will
// not forward. Its cause is a stable word: it stands in the body, in the log
// and in dsproxy_errors_total.
type refusal struct {
	status int
	cause  string
	limit  string // the limit that was hit, if one was
	detail string // for the log; may name addresses, so it never leaves in the body
	close  bool   // the connection's framing is in doubt
}

// The refusals that are not parse errors of http1.
var (
	refuseNoBackend   = refusal{status: http.StatusServiceUnavailable, cause: "no_backend"}
	refuseBusy        = refusal{status: http.StatusServiceUnavailable, cause: "backend_busy", limit: limitBackend}
	refuseOurs        = refusal{status: http.StatusServiceUnavailable, cause: "out_of_sockets", limit: limitSockets}
	refuseDial        = refusal{status: http.StatusBadGateway, cause: "backend_unreachable"}
	refuseDialTime    = refusal{status: http.StatusGatewayTimeout, cause: "backend_dial_timeout", limit: limitDialTime}
	refuseNoAnswer    = refusal{status: http.StatusBadGateway, cause: "backend_closed"}
	refuseBadAnswer   = refusal{status: http.StatusBadGateway, cause: "backend_answer_invalid"}
	refuseAnswerTime  = refusal{status: http.StatusGatewayTimeout, cause: "backend_timeout", limit: limitAnswerTime}
	refuseUpgradeTime = refusal{status: http.StatusGatewayTimeout, cause: "upgrade_timeout", limit: limitUpgradeTime}
	refuseBodySize    = refusal{status: http.StatusRequestEntityTooLarge, cause: "body_bytes", limit: limitBodyBytes, close: true}
	refuseBodyTime    = refusal{status: http.StatusRequestTimeout, cause: "body_timeout", limit: limitIdleTime, close: true}
)

func (r refusal) with(err error) *refusal {
	if err != nil {
		r.detail = err.Error()
	}
	return &r
}

// body is short and names the request, so that a user can quote it.
func (r *refusal) body(requestID string) string {
	return http.StatusText(r.status) + ": " + r.cause + "\nrequest id: " + requestID + "\n"
}
