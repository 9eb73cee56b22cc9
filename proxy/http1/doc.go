// Package http1 is the strict HTTP/1.x wire of the proxy: it parses heads,
// decodes and encodes message bodies, and keeps pooled connections to
// backends. It holds no policy: it never retries, never picks a backend and
// never decides which field is forwarded.
//
// # Parts
//
//   - [Conn] is one side (client or backend) of a proxied exchange over a
//     net.Conn. Its read and write buffers come from pools and are held only
//     while bytes are in them: an idle connection holds none.
//   - [Request] and [Response] are parsed heads. They are reusable, and their
//     slices point into the connection's buffer.
//   - [BodyReader] pulls a body out of a Conn, [BodyWriter] pushes one into it;
//     the framing ([Framing]) is explicit on both.
//   - [Pool] keeps idle connections to one backend and dials new ones.
//   - [Error] is what a message that is not strictly well formed becomes.
//
// # The life of a request
//
// The client's side, for each request:
//
//	c.SetReadTimeout(now, idle)
//	err := c.AwaitHead()                 // idle: holds no buffer
//	err = c.ReadRequest(&req, limits)    // *Error: answer e.Status, CloseLingering
//
// A request without a body goes out in one write, and its connection is looked
// at and waited on in one step:
//
//	up, reused, err := pool.Take(ctx)    // *DialError: nothing was sent
//	out := http1.AppendRequestLine(up.Reserve(req.HeadBytes+more), req.Method, req.Target)
//	out = http1.AppendField(out, f.Name, f.Value) // for each to be forwarded
//	up.SetOut(http1.AppendHeadEnd(out))
//	err = up.StartBody(req.Framing).Close(nil)
//	err = up.AwaitAnswer()               // ErrStale: nothing was sent, take another
//
// One with a body is pulled and pushed, on a connection that Get has looked at;
// head and small body are one write:
//
//	w, body := up.StartBody(req.Framing), c.Body()
//	for {
//		if !body.Ready() {
//			err = up.Flush()     // before waiting for more
//		}
//		chunk, err := body.Next()    // io.EOF at the end
//		_, err = w.Write(chunk)
//	}
//	err = w.Close(body.Trailers())
//	err = up.Flush()
//	err = up.AwaitReadable()
//
// The answer takes the same way back, and the connection its place:
//
//	err = up.ReadResponse(&resp, req.Method, limits) // again while resp.Interim()
//	...
//	pool.Put(up)                         // closes it unless Reusable
//
// After a 101 both sides are taken over by Detach, with the bytes that came
// early. A long poll calls c.Release once it needs the request no more, and
// waits without any buffer.
//
// # Validity of slices
//
// What a Request or Response points to stays valid until the next ReadRequest,
// ReadResponse, AwaitHead, Release, Detach or Close on the same Conn; reading
// the body does not touch it. A body chunk stays valid until the next call of
// Next or Read on the same body, or Release.
//
// # Concurrency
//
// A Conn has a read half (AwaitHead, AwaitReadable, ReadRequest, ReadResponse,
// Body, Buffered, Release) and a write half (Out, Reserve, SetOut, StartBody,
// Flush); AwaitAnswer, Reusable, Detach, Close and CloseLingering need both.
// Each half belongs to one goroutine at a time; the halves are independent, so
// one goroutine may send while another receives. From any goroutine: the
// timeouts, InterruptRead, InterruptWrite, Resume, Probe and Abort. A Pool may be used
// from any goroutine. Locks are never nested: a Conn's two deadline locks and
// a Pool's lock are held alone.
//
// # Strictness
//
// The parser is a security boundary (RFC 9112 section 11.2). A message with
// two possible framings, or that two parsers could read in two ways, is
// rejected by an *Error and never repaired. After an Error every further read
// of that Conn returns the same Error: bytes behind it are never parsed. A
// Conn also refuses to read the next head while the body before it has not
// been read to its end.
//
// What is stricter than RFC 9112 asks: two equal Content-Length fields, lower
// case letters in a method, a Host that is not plain host[:port] or differs
// from an absolute-form target, white space in chunk lines, underscores for
// the hyphens of the framing fields, CONNECT, and minor versions above 1. What
// is laxer: characters that browsers send unescaped in targets, leading zeros
// in Content-Length, a status line that ends behind the status.
package http1
