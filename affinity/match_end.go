package affinity

import (
	"bytes"
	"maps"
	"slices"
)

// ending reads out of bodies that a session is over. Both see the first
// WatchLimit bytes.
type ending struct {
	request, response func(body []byte) bool
}

// endingForms are the forms that rules can name under ends.
var endingForms = map[string]ending{
	"engine.io-4": {
		request:  func(b []byte) bool { return engineIO4Closes(engineIOPost(b)) },
		response: func(b []byte) bool { return engineIOAnswerCloses(b, engineIO4Closes) },
	},
	"engine.io-3": {
		request:  func(b []byte) bool { return engineIO3Closes(engineIOPost(b)) },
		response: func(b []byte) bool { return engineIOAnswerCloses(b, engineIO3Closes) },
	},
	"sockjs": {
		request:  func([]byte) bool { return false },
		response: sockJSCloses,
	},
	"bayeux": {
		request:  func(b []byte) bool { return bayeuxCloses(bayeuxText(b), false) },
		response: func(b []byte) bool { return bayeuxCloses(unwrapped(b), true) },
	},
}

func endingNames() []string { return slices.Sorted(maps.Keys(endingForms)) }

// engineIOAnswerCloses reports whether an answer has a close packet or says
// that there is no such session.
func engineIOAnswerCloses(b []byte, closes func([]byte) bool) bool {
	return bytes.HasPrefix(b, []byte(`{"code":1,`)) || closes(unwrapped(b))
}

// unwrapped returns what an answer says, whether or not it is wrapped as a
// script.
func unwrapped(b []byte) []byte {
	inner, w, _ := unwrapJSONP(b)
	if w == notWrapped {
		return b
	}
	return inner
}

// endings is how a kind of request may end its session, compiled.
type endings struct {
	always            bool
	request, response func(body []byte) bool
	status            []int
}

func compileEnds(spec *endsSpec) endings {
	return endings{
		always:   spec.always,
		request:  endingForms[spec.request].request,
		response: endingForms[spec.response].response,
		status:   spec.status,
	}
}

// EndsByRequest reports whether this request ends the session, by its kind or
// its body (its first WatchRequest bytes at most). If it does, the pin is
// deleted once the request has been answered.
func (m *Match) EndsByRequest(body []byte) bool {
	if !m.hasSession() {
		return false
	}
	e := &m.step.ends
	return e.always || e.request != nil && len(body) > 0 && e.request(body)
}

// EndsByResponse reports whether the session is over after this answer, of
// which body holds the first WatchResponse bytes at most. Believe it only of
// the backend that the table named: another one knows nothing of the session.
func (m *Match) EndsByResponse(status int, body []byte) bool {
	if !m.hasSession() {
		return false
	}
	e := &m.step.ends
	return slices.Contains(e.status, status) || e.response != nil && len(body) > 0 && e.response(body)
}

func (m *Match) hasSession() bool {
	return m.HasKey && (m.Phase == Session || m.Phase == Claim)
}
