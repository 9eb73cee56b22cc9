package http1

// Response is a parsed response head; see Request for reuse and validity.
type Response struct {
	Status int // 100 to 999
	Reason []byte
	Minor  int
	Fields []Field
	// Framing is that of the bytes that follow on this connection: None for
	// HEAD, 1xx, 204 and 304 whatever the fields say.
	Framing Framing
	// Declared is the value of Content-Length, or -1. It differs from
	// Framing.Length for HEAD and 304, where a forwarder passes it on.
	Declared int64
	// KeepAlive is true when the connection can carry another exchange after
	// this message's body; false for 101 and for UntilClose.
	KeepAlive bool
	// Upgrade is the value of the only Upgrade field when Connection lists
	// upgrade, otherwise nil.
	Upgrade   []byte
	HeadBytes int
}

// Reset empties the response and keeps its memory.
func (r *Response) Reset() { *r = Response{Fields: r.Fields[:0]} }

// Get returns the value of the first field with this name, in any case.
func (r *Response) Get(name string) ([]byte, bool) { return get(r.Fields, name) }

// Lookup returns the value of the first field of this kind.
func (r *Response) Lookup(k Kind) ([]byte, bool) { return lookup(r.Fields, k) }

// Interim reports a 1xx other than 101: another response head follows.
func (r *Response) Interim() bool { return r.Status < 200 && r.Status != 101 }
