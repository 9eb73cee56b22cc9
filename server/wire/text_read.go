package wire

import (
	"encoding/json"

	"github.com/dsproxy/dsproxy/server/message"
)

// dialect is one generation of the text protocol, as data: the rows that its
// clients may send, and what its answers look like.
type dialect struct {
	traits Traits
	// in is keyed by topic and action words, joined as on the wire.
	in map[string]inRow
	// actions holds the action words known to the dialect under any topic.
	actions map[string]bool
	// rpcAckNamesAction: P|A|REQ|name|id in place of P|A|name|id.
	rpcAckNamesAction bool
	// later: has write acknowledgements, heads and heartbeats.
	later bool
}

type inRow struct {
	topic  message.Topic
	action message.Action
	read   func(m *message.Message, parts []string) bool
}

var topicsOfText = map[string]message.Topic{
	"C": message.Connection, "A": message.Auth, "X": message.Parser, "E": message.Event,
	"R": message.Record, "P": message.RPC, "U": message.Presence,
}

var g1Rows = map[string]inRow{
	"C|CHR": {message.Connection, message.ConnectionChallenge, readURL},
	"A|REQ": {message.Auth, message.AuthRequest, readAuth},

	"E|EVT": {message.Event, message.EventEmit, readEmit},
	"E|S":   {message.Event, message.EventSubscribe, readName},
	"E|US":  {message.Event, message.EventUnsubscribe, readName},
	"E|L":   {message.Event, message.EventListen, readName},
	"E|UL":  {message.Event, message.EventUnlisten, readName},
	"E|LA":  {message.Event, message.EventListenAccept, readProvided},
	"E|LR":  {message.Event, message.EventListenReject, readProvided},

	"R|CR": {message.Record, message.RecordSubscribeCreateAndRead, readName},
	"R|SN": {message.Record, message.RecordRead, readName},
	"R|H":  {message.Record, message.RecordHas, readName},
	"R|U":  {message.Record, message.RecordUpdate, readUpdate},
	"R|P":  {message.Record, message.RecordPatch, readPatch},
	"R|D":  {message.Record, message.RecordDelete, readName},
	"R|US": {message.Record, message.RecordUnsubscribe, readName},
	"R|L":  {message.Record, message.RecordListen, readName},
	"R|UL": {message.Record, message.RecordUnlisten, readName},
	"R|LA": {message.Record, message.RecordListenAccept, readProvided},
	"R|LR": {message.Record, message.RecordListenReject, readProvided},

	"P|S":   {message.RPC, message.RPCProvide, readName},
	"P|US":  {message.RPC, message.RPCUnprovide, readName},
	"P|REQ": {message.RPC, message.RPCRequest, readCall},
	"P|RES": {message.RPC, message.RPCResponse, readCall},
	"P|REJ": {message.RPC, message.RPCReject, readCall},
	"P|A":   {message.RPC, message.RPCAccept, readAccept},
	"P|E":   {message.RPC, message.RPCRequestError, readRPCError},
}

var laterRows = map[string]inRow{
	"C|PO": {message.Connection, message.ConnectionPong, readNothing},
	"R|CU": {message.Record, message.RecordCreateAndUpdate, readUpsert},
	"R|HD": {message.Record, message.RecordHead, readName},
}

// presenceRows are of both: clients of deepstream 1 had no presence, and do not ask
// for it, but one that speaks their dialect may.
var presenceRows = map[string]inRow{
	"U|Q":  {message.Presence, message.PresenceQuery, readUsers(message.PresenceQueryAll)},
	"U|S":  {message.Presence, message.PresenceSubscribe, readUsers(message.PresenceSubscribeAll)},
	"U|US": {message.Presence, message.PresenceUnsubscribe, readUsers(message.PresenceUnsubscribeAll)},
}

var (
	g1 = newDialect(dialect{traits: Traits{ID: TextG1, Name: "text-v1", Joins: true, PerName: true, ServerFirst: true}}, g1Rows, presenceRows)
	g2 = newDialect(dialect{traits: Traits{ID: TextG2, Name: "text-v3", Joins: true, PerName: true, ServerFirst: true,
		Heartbeat: true, ServerPings: true}, rpcAckNamesAction: true, later: true}, g1Rows, presenceRows, laterRows)
)

func newDialect(d dialect, tables ...map[string]inRow) *dialect {
	d.in = make(map[string]inRow)
	d.actions = make(map[string]bool)
	for _, rows := range tables {
		for words, row := range rows {
			// The tables show the separator as a bar.
			topic, action := words[:1], words[2:]
			d.in[topic+string(unitSep)+action] = row
			d.actions[action] = true
		}
	}
	return &d
}

func readNothing(*message.Message, []string) bool { return true }

func readURL(m *message.Message, p []string) bool {
	if len(p) > 0 {
		m.URL = p[0]
	}
	return true
}

// readAuth leaves the judgement on the data to the session, whose answer ends
// the connection.
func readAuth(m *message.Message, p []string) bool {
	if len(p) == 1 {
		m.Data = p[0]
	}
	return true
}

func readName(m *message.Message, p []string) bool {
	if len(p) != 1 || p[0] == "" {
		return false
	}
	m.Name = p[0]
	return true
}

func readEmit(m *message.Message, p []string) bool {
	if len(p) < 1 || len(p) > 2 || p[0] == "" {
		return false
	}
	m.Name = p[0]
	return readTyped(m, p[1:])
}

// readTyped reads an optional last typed value.
func readTyped(m *message.Message, p []string) (ok bool) {
	if len(p) == 0 {
		return true
	}
	m.Data, ok = fromTyped(p[0])
	return ok
}

func readProvided(m *message.Message, p []string) bool {
	if len(p) != 2 {
		return false
	}
	m.Name, m.Subscription = p[0], p[1]
	return true
}

// readVersion reads name and version; a version that is no number makes the
// message an INVALID_VERSION of that name.
func readVersion(m *message.Message, p []string) bool {
	if p[0] == "" {
		return false
	}
	m.Name = p[0]
	v, ok := parseVersion(p[1])
	if !ok {
		m.Action = message.RecordInvalidVersion
		return false
	}
	m.Version, m.HasVersion = v, true
	return true
}

func readUpdate(m *message.Message, p []string) bool {
	if len(p) < 3 || len(p) > 4 || !readVersion(m, p) || p[2] == "" {
		return false
	}
	m.Data = p[2]
	return readConfig(m, p[3:])
}

func readPatch(m *message.Message, p []string) bool {
	if len(p) < 4 || len(p) > 5 {
		return false
	}
	if !readVersion(m, p) || p[2] == "" {
		return false
	}
	m.Path = p[2]
	return readTyped(m, p[3:4]) && readConfig(m, p[4:])
}

// readUpsert reads name|version|json|config or name|version|path|typed|config.
func readUpsert(m *message.Message, p []string) bool {
	switch len(p) {
	case 4:
		return readUpdate(m, p)
	case 5:
		m.Action = message.RecordCreateAndPatch
		return readPatch(m, p)
	}
	return false
}

// readConfig reads the optional {"writeSuccess":true} of a write.
func readConfig(m *message.Message, p []string) bool {
	if len(p) == 0 {
		return true
	}
	var c struct {
		WriteSuccess bool `json:"writeSuccess"`
	}
	if json.Unmarshal([]byte(p[0]), &c) != nil {
		return false
	}
	m.IsWriteAck, m.HasWriteAck = c.WriteSuccess, true
	return true
}

func readCall(m *message.Message, p []string) bool {
	if len(p) < 2 || len(p) > 3 || p[0] == "" || p[1] == "" {
		return false
	}
	m.Name, m.CorrelationID = p[0], p[1]
	return readTyped(m, p[2:])
}

// readAccept takes both P|A|name|id and P|A|REQ|name|id.
func readAccept(m *message.Message, p []string) bool {
	if len(p) == 3 && p[0] == "REQ" {
		p = p[1:]
	}
	if len(p) != 2 {
		return false
	}
	m.Name, m.CorrelationID = p[0], p[1]
	return true
}

func readRPCError(m *message.Message, p []string) bool {
	if len(p) != 3 {
		return false
	}
	m.Data = string(AppendQuoted(nil, p[0]))
	m.Name, m.CorrelationID = p[1], p[2]
	return true
}

// readUsers reads "U|S|S" (everyone, for which all is the action) and
// "U|S|id|[users]".
func readUsers(all message.Action) func(m *message.Message, p []string) bool {
	return func(m *message.Message, p []string) bool {
		switch len(p) {
		case 1:
			m.Action = all
			return true
		case 2:
			m.CorrelationID = p[0]
			return json.Unmarshal([]byte(p[1]), &m.Names) == nil
		}
		return false
	}
}
