package wire

import (
	"strconv"
	"strings"

	"github.com/dsproxy/dsproxy/server/message"
)

// writer appends messages of one dialect.
type writer struct {
	dst []byte
	d   *dialect
}

// put adds one message of the given parts.
func (w *writer) put(parts ...string) {
	for i, p := range parts {
		if i > 0 {
			w.dst = append(w.dst, unitSep)
		}
		w.dst = appendPart(w.dst, p)
	}
	w.dst = append(w.dst, recordSep)
}

// putTyped adds one message whose last part is a typed value.
func (w *writer) putTyped(data string, parts ...string) {
	for _, p := range parts {
		w.dst = appendPart(w.dst, p)
		w.dst = append(w.dst, unitSep)
	}
	w.dst = appendTyped(w.dst, data)
	w.dst = append(w.dst, recordSep)
}

// putRaw adds one message whose last part is what the client itself sent, with the
// separators in it, as the original does; end marks it cannot have.
func (w *writer) putRaw(raw string, parts ...string) {
	for _, p := range parts {
		w.dst = appendPart(w.dst, p)
		w.dst = append(w.dst, unitSep)
	}
	w.dst = append(w.dst, raw...)
	w.dst = append(w.dst, recordSep)
}

// HasMarks reports whether s holds a mark of the text protocols, which would end
// it there.
func HasMarks(s string) bool {
	return strings.IndexByte(s, recordSep) >= 0 || strings.IndexByte(s, unitSep) >= 0
}

var withoutMarks = strings.NewReplacer(string(recordSep), "\uFFFD", string(unitSep), "\uFFFD")

// appendPart adds s, which must not begin another part or message of the sender's
// choice: marks in it become U+FFFD.
func appendPart(dst []byte, s string) []byte {
	if HasMarks(s) {
		s = withoutMarks.Replace(s)
	}
	return append(dst, s...)
}

func number(v int64) string { return strconv.FormatInt(v, 10) }

func (w *writer) parser(m *message.Message) {
	w.putRaw(m.Raw, "X", "E", message.ActionName(message.Parser, m.Action))
}

func (w *writer) connection(m *message.Message) {
	switch m.Action {
	case message.ConnectionChallenge:
		w.put("C", "CH")
	case message.ConnectionAccept:
		w.put("C", "A")
	case message.ConnectionReject:
		w.put("C", "REJ")
	case message.ConnectionRedirect:
		w.put("C", "RED", m.URL)
	case message.ConnectionPing:
		if w.d.later {
			w.put("C", "PI")
		}
	case message.ConnectionAuthenticationTimeout:
		w.put("C", "E", "CONNECTION_AUTHENTICATION_TIMEOUT", "Sconnection has not authenticated successfully in the expected time")
	case message.ConnectionInvalidMessage:
		if _, rest, ok := strings.Cut(m.Raw, string(unitSep)); ok && !w.d.later {
			action, _, _ := strings.Cut(rest, string(unitSep))
			w.put("C", "E", "UNKNOWN_ACTION", "unknown action "+action)
			break
		}
		w.putRaw(m.Raw, "X", "E", "INVALID_MESSAGE")
	}
}

func (w *writer) auth(m *message.Message) {
	switch m.Action {
	case message.AuthSuccessful:
		if m.Data == "" {
			w.put("A", "A")
		} else {
			w.putTyped(m.Data, "A", "A")
		}
	case message.AuthUnsuccessful:
		w.putTyped(m.Data, "A", "E", "INVALID_AUTH_DATA")
	case message.AuthTooManyAuthAttempts:
		w.put("A", "E", "TOO_MANY_AUTH_ATTEMPTS", "Stoo many authentication attempts")
	case message.AuthInvalidMessage, message.AuthInvalidMessageData:
		w.put("A", "E", "INVALID_AUTH_MSG", "invalid authentication message")
	}
}

// acks adds one acknowledgement for each name.
func (w *writer) acks(topic, word string, m *message.Message) {
	for _, name := range m.AllNames() {
		w.put(topic, "A", word, name)
	}
}

// words holds the action words that answers repeat.
var words = [12]map[message.Action]string{
	message.Event: {
		message.EventEmit: "EVT", message.EventSubscribe: "S", message.EventUnsubscribe: "US",
		message.EventListen: "L", message.EventUnlisten: "UL",
		message.EventListenAccept: "LA", message.EventListenReject: "LR",
	},
	message.Record: {
		message.RecordSubscribeCreateAndRead: "CR", message.RecordRead: "SN", message.RecordHas: "H",
		message.RecordHead: "HD", message.RecordUpdate: "U", message.RecordPatch: "P",
		message.RecordErase: "P", message.RecordDelete: "D", message.RecordUnsubscribe: "US",
		message.RecordCreateAndUpdate: "CU", message.RecordCreateAndPatch: "CU", message.RecordCreate: "C",
		message.RecordListen: "L", message.RecordUnlisten: "UL",
		message.RecordListenAccept: "LA", message.RecordListenReject: "LR",
	},
	message.RPC: {
		message.RPCProvide: "S", message.RPCUnprovide: "US", message.RPCRequest: "REQ",
		message.RPCAccept: "A", message.RPCResponse: "RES", message.RPCReject: "REJ", message.RPCRequestError: "E",
	},
	message.Presence: {
		message.PresenceSubscribe: "S", message.PresenceSubscribeAll: "S",
		message.PresenceUnsubscribe: "US", message.PresenceUnsubscribeAll: "US",
		message.PresenceQuery: "Q", message.PresenceQueryAll: "Q",
	},
}

// failure adds the common error forms; it reports whether m is one of them.
func (w *writer) failure(letter string, m *message.Message) bool {
	name := message.ActionName(m.Topic, m.Action)
	switch name {
	case "INVALID_MESSAGE_DATA", "INVALID_PRESENCE_USERS":
		w.putRaw(m.Raw, letter, "E", name)
	case "INVALID_LISTEN_REGEX":
		w.put(letter, "E", "INVALID_MESSAGE_DATA", "SyntaxError: Invalid regular expression: /"+m.Name+"/")
	case "MULTIPLE_SUBSCRIPTIONS", "NOT_SUBSCRIBED":
		w.put(letter, "E", name, m.Name)
	case "MULTIPLE_PROVIDERS":
		w.put(letter, "E", "MULTIPLE_SUBSCRIPTIONS", m.Name)
	case "NOT_PROVIDED":
		w.put(letter, "E", "NOT_SUBSCRIBED", m.Name)
	case "MESSAGE_DENIED", "MESSAGE_PERMISSION_ERROR":
		parts := []string{letter, "E", name, m.Name, words[m.Topic][m.OriginalAction]}
		if m.CorrelationID != "" {
			parts = append(parts, m.CorrelationID)
		}
		w.put(parts...)
	default:
		return false
	}
	return true
}

func (w *writer) event(m *message.Message) {
	word := words[message.Event][m.Action]
	switch {
	case m.IsAck:
		w.acks("E", word, m)
	case m.Action == message.EventEmit:
		w.putTyped(m.Data, "E", "EVT", m.Name)
	case m.Action == message.EventSubscriptionForPatternFound:
		w.put("E", "SP", m.Name, m.Subscription)
	case m.Action == message.EventSubscriptionForPatternRemoved:
		w.put("E", "SR", m.Name, m.Subscription)
	default:
		w.failure("E", m)
	}
}

func (w *writer) rpc(m *message.Message) {
	word := words[message.RPC][m.Action]
	switch m.Action {
	case message.RPCAccept:
		if w.d.rpcAckNamesAction {
			w.put("P", "A", "REQ", m.Name, m.CorrelationID)
		} else {
			w.put("P", "A", m.Name, m.CorrelationID)
		}
	case message.RPCRequest, message.RPCResponse:
		w.putTyped(m.Data, "P", word, m.Name, m.CorrelationID)
	case message.RPCReject:
		w.put("P", word, m.Name, m.CorrelationID)
	case message.RPCRequestError:
		w.put("P", "E", unquote(m.Data), m.Name, m.CorrelationID)
	case message.RPCNoRPCProvider:
		w.put("P", "E", "NO_RPC_PROVIDER", m.Name, m.CorrelationID)
	case message.RPCAcceptTimeout:
		w.put("P", "E", "ACK_TIMEOUT", m.Name, m.CorrelationID)
	case message.RPCResponseTimeout:
		w.put("P", "E", "RESPONSE_TIMEOUT", m.Name, m.CorrelationID)
	case message.RPCMultipleAccept:
		w.put("P", "E", "MULTIPLE_ACK", m.Name, m.CorrelationID)
	case message.RPCMultipleResponse:
		w.put("P", "E", "MULTIPLE_RESPONSE", m.Name, m.CorrelationID)
	case message.RPCInvalidRPCCorrelationID:
		w.put("P", "E", "INVALID_MESSAGE_DATA", "unexpected state for rpc "+m.CorrelationID+" with action "+words[message.RPC][m.OriginalAction])
	default:
		if m.IsAck {
			w.acks("P", word, m)
			return
		}
		w.failure("P", m)
	}
}

func (w *writer) presence(m *message.Message) {
	switch m.Action {
	case message.PresenceQueryAllResponse:
		w.put(append([]string{"U", "Q"}, m.Names...)...)
	case message.PresenceQueryResponse:
		w.put("U", "Q", m.CorrelationID, m.Data)
	case message.PresenceJoin, message.PresenceJoinAll:
		w.put("U", "PNJ", m.Name)
	case message.PresenceLeave, message.PresenceLeaveAll:
		w.put("U", "PNL", m.Name)
	default:
		if !m.IsAck {
			w.failure("U", m)
			return
		}
		// The original names the correlation id of a list, and the action of
		// "everyone", where other topics name the subscription.
		word := words[message.Presence][m.Action]
		name := m.CorrelationID
		if name == "" {
			name = word
		}
		w.put("U", "A", word, name)
	}
}
