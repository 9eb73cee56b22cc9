package affinity

import (
	"crypto/sha256"
	"encoding/hex"
)

// MaxID is the longest session id, in bytes after percent-decoding, that is
// taken for one. The longest known are the encrypted connection tokens of the
// old ASP.NET SignalR, some hundred bytes. A longer id is no session.
const MaxID = 1024

// Key names one session in the table: the first 16 bytes of
// SHA-256(namespace, 0, session id). It has a fixed size and a fixed alphabet,
// so nothing a client sends becomes part of a Redis key, and it may be logged:
// the session id, which for most protocols is as good as a password, cannot be
// got back from it.
type Key [16]byte

// MakeKey hashes a session id. The namespace, chosen by the rule, keeps ids of
// different protocols apart; it holds no zero byte. An id longer than MaxID
// must not be given: it would be cut.
func MakeKey(namespace string, id []byte) Key {
	// One buffer on the stack rather than a hash.Hash, which would escape.
	var buf [maxNamespace + 1 + MaxID]byte
	n := copy(buf[:maxNamespace], namespace)
	n++ // the zero byte between the two
	n += copy(buf[n:n+min(len(id), MaxID)], id)
	sum := sha256.Sum256(buf[:n])
	return Key(sum[:16])
}

// maxNamespace bounds the names rules may give to their key spaces.
const maxNamespace = 64

// IsZero reports whether k is no key at all.
func (k Key) IsZero() bool { return k == Key{} }

// String returns the key in hexadecimal, 32 characters.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Short returns the first 8 hexadecimal digits, enough to follow one session
// through a log.
func (k Key) Short() string { return hex.EncodeToString(k[:4]) }
