package auth

import (
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
)

// digests are the names that the original's users commonly give; md5 is in its
// example configuration.
var digests = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New,
	"sha384": sha512.New384, "sha512": sha512.New,
}

// Hash is PBKDF2 (RFC 8018 section 5.2) as the users file has it: the base64 of
// the key and then the salt, whose text is used as it stands.
type Hash struct {
	Digest     string
	Iterations int
	KeyLength  int // bytes

	new func() hash.Hash
}

// NewHash checks the settings.
func NewHash(digest string, iterations, keyLength int) (*Hash, error) {
	f := digests[strings.ToLower(digest)]
	switch {
	case f == nil:
		known := slices.Sorted(maps.Keys(digests))
		return nil, fmt.Errorf("unknown hashing algorithm %q, one of %s is known", digest, strings.Join(known, ", "))
	case iterations < 1 || keyLength < 1:
		return nil, fmt.Errorf("iterations and keyLength of a password hash must be positive")
	}
	return &Hash{Digest: digest, Iterations: iterations, KeyLength: keyLength, new: f}, nil
}

func (h *Hash) encodedLen() int { return base64.StdEncoding.EncodedLen(h.KeyLength) }

// Sum returns what the users file has for a password and a salt.
func (h *Hash) Sum(password, salt string) (string, error) {
	key, err := pbkdf2.Key(h.new, password, []byte(salt), h.Iterations, h.KeyLength)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key) + salt, nil
}

// Create hashes a password with a new salt.
func (h *Hash) Create(password string) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make salt: %w", err)
	}
	return h.Sum(password, base64.StdEncoding.EncodeToString(salt))
}
