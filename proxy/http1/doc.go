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
//	c := http1.NewConn(nc)                       // accepted connection
//	for {
//		c.SetReadTimeout(now, idleTimeout)
//		c.AwaitReadable()                    // idle; holds no buffer
//		c.ReadRequest(&req, limits)          // *Error: answer e.Status, then CloseLingering
//		up, reused, err := pool.Get(ctx)     // *DialError: nothing was sent
//		out := up.Out()
//		out = http1.AppendRequestLine(out, req.Method, req.Target)
//		out = http1.AppendField(out, f.Name, f.Value) // for each field
//		up.SetOut(http1.AppendHeadEnd(out))
//		w := up.StartBody(req.Framing)       // appended to the same buffer
//		for body := c.Body(); ; {            // pull, push
//			chunk, err := body.Next()    // io.EOF at the end
//			w.Write(chunk)
//			if !body.Ready() { up.Flush() }
//		}
//		w.Close(body.Trailers())
//		up.Flush()                           // head and small body: one write
//		up.ReadResponse(&resp, req.Method, limits)
//		...                                  // the same towards the client
//		pool.Put(up)                         // closes it unless Reusable
//	}
//
// # Validity of slices
//
// What a Request or Response points to stays valid until the next ReadRequest,
// ReadResponse, Release, Detach or Close on the same Conn; reading the body
// does not touch it. A body chunk stays valid until the next call of Next or
// Read on the same body.
//
// # Concurrency
//
// A Conn has a read half (Await..., Read..., Body, Buffered, Release,
// SetReadTimeout) and a write half (Out, SetOut, StartBody, Flush,
// SetWriteTimeout). Each half belongs to one goroutine at a time; the halves
// are independent, so one goroutine may send while another receives. From any
// goroutine: InterruptRead, InterruptWrite, Probe and Close. A Pool may be
// used from any goroutine. There are no nested locks: Conn's deadline lock and
// Pool's lock are never held together.
//
// # Strictness
//
// The parser is a security boundary (RFC 9112 section 11.2). A message with
// two possible framings, or that two parsers could read in two ways, is
// rejected by an *Error and never repaired. After an Error every further read
// of that Conn returns the same Error: bytes behind it are never parsed. A
// Conn also refuses to read the next head while the body before it has not
// been read to its end.
package http1
