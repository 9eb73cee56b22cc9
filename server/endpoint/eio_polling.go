package endpoint

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/server/session"
)

// form is how this client writes and reads several packets in one body.
func (s *eioSocket) form(r *http.Request) payloadForm {
	q := r.URL.Query()
	switch {
	case s.eio4:
		return formEIO4
	case s.b64 || q.Get("b64") != "" || q.Has("j"):
		return formText
	}
	return formBinary
}

// answer writes the payload of a poll.
func (s *eioSocket) answer(w http.ResponseWriter, r *http.Request, form payloadForm, body []byte) bool {
	h := w.Header()
	s.common(w, r)
	if index, ok := jsonpIndex(r); ok {
		h.Set("Content-Type", "text/javascript; charset=UTF-8")
		body = []byte("___eio[" + index + "](\"" + string(escapeJSONP(body)) + "\");")
	} else if form == formBinary {
		h.Set("Content-Type", "application/octet-stream")
	} else {
		h.Set("Content-Type", "text/plain; charset=UTF-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// A client that does not read must not hold the answer for ever.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetWriteDeadline(time.Now().Add(writeTimeout)) // HTTP/1 and 2 can
	_, err := w.Write(body)
	if err == nil {
		err = deadlines.Flush()
	}
	_ = deadlines.SetWriteDeadline(time.Time{}) // the connection may serve other requests
	return err == nil
}

// common sets the headers of every polling answer.
func (s *eioSocket) common(w http.ResponseWriter, r *http.Request) {
	allowOrigin(w, r)
	w.Header().Set("Set-Cookie", "io="+s.sid)
	w.Header().Set("Cache-Control", "no-store") // the URL of a poll does not change
}

// jsonpIndex is the number of the callback, digits only.
func jsonpIndex(r *http.Request) (string, bool) {
	q := r.URL.Query()
	if !q.Has("j") {
		return "", false
	}
	digits := strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, q.Get("j"))
	return digits, true
}

// get is a poll: it is answered when there is something to say. A second one at
// the same time, or one that the client gives up, ends the socket.
func (s *eioSocket) get(w http.ResponseWriter, r *http.Request) {
	form := s.form(r)
	p := &poll{wake: make(chan struct{}, 1)}
	s.mu.Lock()
	if s.poll != nil {
		s.mu.Unlock()
		s.common(w, r)
		w.WriteHeader(http.StatusInternalServerError)
		s.destroy()
		return
	}
	s.poll = p
	s.mu.Unlock()
	for {
		body, last := s.take(p, form)
		if body != nil {
			if !s.answer(w, r, form, body) || last {
				s.destroy()
			}
			return
		}
		select {
		case <-p.wake:
		case <-r.Context().Done():
			s.destroy()
			return
		}
	}
}

// take returns what a poll is to be answered with, nil if it has to wait, and
// whether it is the last one.
func (s *eioSocket) take(p *poll, form payloadForm) (body []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range s.control {
		body = form.appendPacket(body, []byte{kind})
	}
	if len(s.pending) > 0 {
		body = s.appendMessages(body, form)
	}
	switch {
	case s.closing:
		body, last = form.appendPacket(body, []byte{eioClose}), true
	case body == nil && s.ws != nil:
		body = form.appendPacket(body, []byte{eioNoop}) // the client has moved
	case body == nil:
		return nil, false
	}
	s.pending, s.control = nil, nil
	s.poll = nil
	return body, last
}

// appendMessages adds the waiting text: one packet, except where the end mark of
// the text protocol would be taken for that of a packet.
func (s *eioSocket) appendMessages(body []byte, form payloadForm) []byte {
	if form != formEIO4 {
		return form.appendPacket(body, []byte{eioMessage}, s.pending)
	}
	for m := range strings.SplitSeq(strings.TrimSuffix(string(s.pending), "\x1e"), "\x1e") {
		body = form.appendPacket(body, []byte{eioMessage}, []byte(m))
	}
	return body
}

// post brings packets of the client.
func (s *eioSocket) post(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	overlap := s.posting
	s.posting = true
	s.mu.Unlock()
	if overlap {
		s.common(w, r)
		w.WriteHeader(http.StatusInternalServerError)
		s.destroy()
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.server.MaxMessageSize))
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			s.server.Sessions.Hit(session.LimitMessageSize)
			http.Error(w, "payload too large", http.StatusRequestEntityTooLarge)
		}
		s.destroy()
		return
	}
	form, body := s.posted(r, body)
	err = form.decode(body, s.packet)
	s.mu.Lock()
	s.posting = false
	s.mu.Unlock()

	s.common(w, r)
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", "2")
	_, _ = io.WriteString(w, "ok") // a client that is gone needs no answer
	switch {
	case errors.Is(err, session.ErrEnded):
		s.destroy()
	case err != nil:
		s.Close(session.CloseProtocol, err.Error())
	}
}

// posted finds the payload in the body of a POST and its form.
func (s *eioSocket) posted(r *http.Request, body []byte) (payloadForm, []byte) {
	switch {
	case r.URL.Query().Has("j"):
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return formText, []byte("?") // which no form can read
		}
		return formText, unescapeJSONP(values.Get("d"))
	case s.eio4:
		return formEIO4, body
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/octet-stream"):
		return formBinary, body
	}
	return formText, body
}
