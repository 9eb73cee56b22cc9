package traffic

import "bytes"

// SIDLength is the length of a session id in bytes, as engine.io makes them.
const SIDLength = 20

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// MaxBackends is how many backends a session id can name.
const MaxBackends = len(base64url)

// AppendSID appends the n-th session id of a backend. Its first byte names the
// backend, so that Owner needs no table; the others look random.
func AppendSID(dst []byte, backend int, n uint64) []byte {
	dst = append(dst, base64url[backend])
	var bits uint64
	for i := range SIDLength - 1 {
		if i%10 == 0 {
			bits = mix(n*2 + uint64(i/10))
		}
		dst = append(dst, base64url[bits&63])
		bits >>= 6
	}
	return dst
}

// Owner is the backend that made sid, or -1 if none did.
func Owner(sid []byte) int {
	if len(sid) != SIDLength {
		return -1
	}
	return bytes.IndexByte([]byte(base64url), sid[0])
}

// mix is the output function of splitmix64: a bijection that scatters n.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// Scatter picks the session for the n-th poll of count sessions: every one
// about equally often, in an order without pattern, the same in each run.
func Scatter(n uint64, count int) int {
	return int(mix(n) % uint64(count))
}

var sidField = []byte(`"sid":"`)

// SID is the session id in the body of a handshake's answer.
func SID(body []byte) (sid []byte, ok bool) {
	_, rest, ok := bytes.Cut(body, sidField)
	if !ok {
		return nil, false
	}
	sid, _, ok = bytes.Cut(rest, []byte(`"`))
	return sid, ok && len(sid) > 0
}
