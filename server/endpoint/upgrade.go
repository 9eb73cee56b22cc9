package endpoint

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/socket"
)

// writeBuffers serves gorilla's handshake only.
var writeBuffers sync.Pool

// upgrade makes the handshake of a WebSocket; it returns nil where the client got an
// error for an answer.
func upgrade(w http.ResponseWriter, r *http.Request, origins Origins) *websocket.Conn {
	up := websocket.Upgrader{
		ReadBufferSize: readBuffer, WriteBufferPool: &writeBuffers,
		HandshakeTimeout: 10 * time.Second, CheckOrigin: origins.Allowed,
	}
	ws, err := up.Upgrade(hijacker{w}, r, nil)
	if err != nil {
		return nil
	}
	return ws
}

// hijacker has the handshake answered through a socket.Conn.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take the connection from the HTTP server: %w", err)
	}
	return socket.Quick(conn), rw, nil
}

// appendAccept adds the answer to a handshake (RFC 6455 section 4.2.2).
func appendAccept(dst []byte, key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	return append(dst, "\r\n\r\n"...)
}
