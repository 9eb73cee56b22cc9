package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// TestGarbage has clients send garbage to every endpoint, before their login and
// after it, while two others work: those miss nothing, and nothing is left of the
// garbage.
func TestGarbage(t *testing.T) {
	s := startNode(t, func(c *Config) { c.EngineIO.MaxMessageSize = 4 << 10 })
	worker, witness := dial(t, s, "worker"), dial(t, s, "witness")
	witness.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"work"}, CorrelationID: "1"})
	witness.expect(message.Event, message.EventSubscribe)
	witness.send(&message.Message{Topic: message.Record, Action: message.RecordSubscribeCreateAndRead, Names: []string{"work"}, CorrelationID: "2"})
	witness.expect(message.Record, message.RecordSubscribeCreateAndRead)
	witness.expect(message.Record, message.RecordReadResponse)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	stop := make(chan struct{})
	var vandals sync.WaitGroup
	for i, f := range []func(g *vandal){
		(*vandal).binary, (*vandal).text, (*vandal).json, (*vandal).engineWebSocket, (*vandal).engineWebSocket,
		(*vandal).enginePolling, (*vandal).enginePolling, (*vandal).http, (*vandal).tcp,
	} {
		g := &vandal{addr: s.Addr().String(), random: rand.New(rand.NewPCG(seed, uint64(i)))}
		vandals.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f(g)
				}
			}
		})
	}
	for i := range 200 {
		data := fmt.Sprint(i)
		worker.send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "work", Data: data})
		if m := witness.expect(message.Event, message.EventEmit); m.Data != data {
			t.Fatalf("event %d has %s", i, m.Data)
		}
		worker.send(&message.Message{Topic: message.Record, Action: message.RecordPatch, Name: "work", Path: "n",
			Version: int64(i + 1), HasVersion: true, Data: data, CorrelationID: data, IsWriteAck: true, HasWriteAck: true})
		if m := witness.expect(message.Record, message.RecordPatch); m.Version != int64(i+1) || m.Data != data {
			t.Fatalf("write %d has version %d, %s", i, m.Version, m.Data)
		}
		worker.expect(message.Record, message.RecordWriteAcknowledgement)
	}
	close(stop)
	vandals.Wait()
	waitFor(t, "the end of those who sent garbage", func() bool { return s.sessions.Len() == 2 })
}

// vandal sends garbage. What it gets for it is not looked at.
type vandal struct {
	addr   string
	random *rand.Rand
}

// garble makes something that is nearly a message out of one that is, or nothing
// like it.
func (g *vandal) garble(valid []byte) []byte {
	switch g.random.IntN(5) {
	case 0:
		b := make([]byte, g.random.IntN(300))
		for i := range b {
			b[i] = byte(g.random.Uint32())
		}
		return b
	case 1:
		return valid[:g.random.IntN(len(valid)+1)]
	case 2:
		return append(append([]byte(nil), valid...), valid[g.random.IntN(len(valid)):]...)
	}
	b := append([]byte(nil), valid...)
	for range 1 + g.random.IntN(4) {
		b[g.random.IntN(len(b))] = []byte{0, 1, 0x1e, 0x1f, 0x7f, 0x80, 0xff, '"', '{', '|', '9', 'A', 'U', 'R'}[g.random.IntN(14)]
	}
	return b
}

// topics and actions that clients send, with every field.
func (g *vandal) message() *message.Message {
	m := &message.Message{
		Topic: message.Topic(1 + g.random.IntN(8)), Action: message.Action(1 + g.random.IntN(40)),
		Name: "rubbish", Data: `{"a":[1,{"b":"c"}]}`, CorrelationID: "1", Path: "a[0].b", Version: -1, HasVersion: true,
		Subscription: "rubbish", IsWriteAck: true, HasWriteAck: true,
	}
	if g.random.IntN(2) == 0 {
		m.Names = []string{"rubbish", "more"}
	}
	return m
}

func (g *vandal) dial(path string) *websocket.Conn {
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+g.addr+path, nil)
	if err != nil {
		return nil
	}
	go func() { // so that the node can write
		_, _ = io.Copy(io.Discard, ws.NetConn())
	}()
	return ws
}

// frames sends a login, or a part of it, and then garbage of the kind that make
// makes.
func (g *vandal) frames(path string, kind int, login []string, make func() []byte) {
	ws := g.dial(path)
	if ws == nil {
		return
	}
	defer ws.Close()
	for _, frame := range login[:g.random.IntN(len(login)+1)] {
		if ws.WriteMessage(kind, []byte(frame)) != nil {
			return
		}
	}
	for range 20 {
		if g.random.IntN(30) == 0 {
			kind = websocket.TextMessage + websocket.BinaryMessage - kind
		}
		if ws.WriteMessage(kind, g.garble(make())) != nil {
			return
		}
	}
	if g.random.IntN(3) == 0 { // not even a frame
		_, _ = ws.NetConn().Write(g.garble([]byte("\x82\x85abcdefghi")))
	}
}

func (g *vandal) encoded(id wire.ID) []byte {
	b := wire.For(id).Append(nil, g.message())
	return append(b, wire.For(id).Append(nil, &message.Message{Topic: message.Event, Action: message.EventEmit, Name: "rubbish"})...)
}

func (g *vandal) binary() {
	login := []string{
		string(wire.For(wire.Protobuf).Append(nil, &message.Message{Topic: message.Connection, Action: message.ConnectionChallenge})),
		string(wire.For(wire.Protobuf).Append(nil, &message.Message{Topic: message.Auth, Action: message.AuthRequest, Data: "{}"})),
	}
	g.frames("/deepstream", websocket.BinaryMessage, login, func() []byte { return g.encoded(wire.Protobuf) })
}

func (g *vandal) text() {
	login := []string{unbar("C|CHR|x") + "\x1e", unbar("A|REQ|{}") + "\x1e"}
	g.frames("/deepstream-v3", websocket.TextMessage, login, func() []byte { return g.encoded(wire.TextG2) })
}

func (g *vandal) json() {
	login := []string{`{"topic":2,"action":5}`, `{"topic":3,"action":2,"parsedData":{}}`}
	g.frames("/deepstream-json", websocket.TextMessage, login, func() []byte { return g.encoded(wire.JSON) })
}

func (g *vandal) engineWebSocket() {
	login := []string{unbar("4C|CHR|x") + "\x1e", unbar("4A|REQ|{}") + "\x1e"}
	g.frames("/deepstream/?EIO="+[]string{"3", "4", "x"}[g.random.IntN(3)]+"&transport=websocket", websocket.TextMessage, login,
		func() []byte { return append([]byte("4"), g.encoded(wire.TextG1)...) })
}

func (g *vandal) do(method, url string, body []byte) string {
	req, err := http.NewRequest(method, url, strings.NewReader(string(body)))
	if err != nil {
		return ""
	}
	req.Close = true
	if g.random.IntN(2) == 0 {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// enginePolling ends with a goodbye, for a socket that survived has a minute.
func (g *vandal) enginePolling() {
	base := "http://" + g.addr + "/deepstream/?transport=polling&EIO=" + []string{"3", "4"}[g.random.IntN(2)]
	found := sidPattern.FindStringSubmatch(g.do("GET", base, nil))
	if found == nil {
		return
	}
	url := base + "&sid=" + found[1]
	for range 5 {
		body := g.encoded(wire.TextG1)
		switch g.random.IntN(3) {
		case 0:
			body = append(fmt.Appendf(nil, "%d:4", len(body)+1), body...)
		case 1:
			body = append([]byte("\x00\x01\x00\xff4"), body...)
		}
		query := []string{"", "&b64=1", "&j=0", "&j=\"<", "&b64=0"}[g.random.IntN(5)]
		g.do("POST", url+query, g.garble(body))
	}
	for _, goodbye := range []string{"1:1", "\x00\x01\xff1", "1"} {
		g.do("POST", url+"&b64=1", []byte(goodbye))
	}
	g.do("GET", url, nil)
}

func (g *vandal) http() {
	paths := []string{"/deepstream", "/deepstream/", "/deepstream?EIO=3", "/deepstream/?EIO=3&transport=websocket&sid=x",
		"/deepstream/?EIO=3&transport=polling&sid=%00", "/deepstream-json", "/%2e%2e/", "/health-check", "/deepstream/?j=%zz"}
	methods := []string{"GET", "POST", "OPTIONS", "DELETE", "BREW"}
	g.do(methods[g.random.IntN(len(methods))], "http://"+g.addr+paths[g.random.IntN(len(paths))], g.garble([]byte("4:4C|CHR")))
}

func (g *vandal) tcp() {
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write(g.garble([]byte("GET /deepstream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x82\x85abcdefghi")))
}
