package gossip

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dsproxy/dsproxy/backend"
)

// Role is what a member does.
type Role string

// The roles.
const (
	Node  Role = "node"  // serves clients
	Proxy Role = "proxy" // brings clients to nodes
)

// Announcement is what a member tells of itself.
type Announcement struct {
	// ID names a node as a backend; empty stands for the member's name.
	ID string
	// Addr is the host:port of the realtime port, as proxies reach it; empty while
	// there is none (yet).
	Addr string
	// TLS is needed at Addr, whose host then is the name in the certificate.
	TLS  bool
	Zone string
	// Weight is the share of sessions, 1 to backend.MaxWeight; 0 stands for 1.
	Weight int
	// Draining: no new sessions are wanted, those there go on.
	Draining bool
	// Version of the program, for display.
	Version string
}

// Bounds of texts in bytes. All at their longest are too long together, see
// memberlist.MetaMaxSize.
const (
	maxName    = 128
	maxZone    = 63
	maxVersion = 63
)

// record is the metadata of a member.
type record struct {
	role Role
	Announcement
	leaving bool // it is about to leave; its end is no death
}

// Metadata is the three bytes of header and then the fields, each with a number
// and a wire type as in protocol buffers, so that those of a later version can
// be skipped. A change that older members must not misread takes another header.
const header = "ds\x01"

// The numbers of the fields. They are never given to another field.
const (
	fieldRole     = 1 // 1 node, 2 proxy
	fieldID       = 2
	fieldAddr     = 3
	fieldZone     = 4
	fieldWeight   = 5
	fieldDraining = 6
	fieldVersion  = 7
	fieldLeaving  = 8
	fieldTLS      = 9
)

var roleNumbers = map[Role]uint64{Node: 1, Proxy: 2}

func (r *record) encode() ([]byte, error) {
	b := []byte(header)
	number := func(field protowire.Number, n uint64) {
		if n != 0 {
			b = protowire.AppendTag(b, field, protowire.VarintType)
			b = protowire.AppendVarint(b, n)
		}
	}
	text := func(field protowire.Number, s string) {
		if s != "" {
			b = protowire.AppendTag(b, field, protowire.BytesType)
			b = protowire.AppendString(b, s)
		}
	}
	number(fieldRole, roleNumbers[r.role])
	text(fieldID, r.ID)
	text(fieldAddr, r.Addr)
	text(fieldZone, r.Zone)
	number(fieldWeight, uint64(r.Weight))
	number(fieldDraining, protowire.EncodeBool(r.Draining))
	text(fieldVersion, r.Version)
	number(fieldLeaving, protowire.EncodeBool(r.leaving))
	number(fieldTLS, protowire.EncodeBool(r.TLS))
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("announcement takes %d bytes, %d is the most; use a shorter name, zone or address",
			len(b), memberlist.MetaMaxSize)
	}
	return b, nil
}

var errForeign = errors.New("it does not announce itself as dsproxy and its nodes do")

// decode reads the metadata of another member, which may be anything.
func decode(b []byte) (*record, error) {
	rest, ok := strings.CutPrefix(string(b), header)
	if !ok {
		return nil, errForeign
	}
	b = []byte(rest)
	r := new(record)
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, fmt.Errorf("metadata: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if n = r.field(field, kind, b); n < 0 {
			return nil, fmt.Errorf("metadata, field %d: %w", field, protowire.ParseError(n))
		}
		b = b[n:]
	}
	if r.role == "" {
		return nil, errors.New("metadata: its role is not known")
	}
	if err := r.Announcement.check(); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return r, nil
}

// field takes one field from the start of b and returns its length, negative for
// an error of protowire. What is not known is skipped.
func (r *record) field(field protowire.Number, kind protowire.Type, b []byte) int {
	texts := map[protowire.Number]*string{fieldID: &r.ID, fieldAddr: &r.Addr, fieldZone: &r.Zone, fieldVersion: &r.Version}
	if to := texts[field]; to != nil && kind == protowire.BytesType {
		s, n := protowire.ConsumeString(b)
		*to = s
		return n
	}
	if kind != protowire.VarintType {
		return protowire.ConsumeFieldValue(field, kind, b)
	}
	v, n := protowire.ConsumeVarint(b)
	switch field {
	case fieldRole:
		for role, number := range roleNumbers {
			if number == v {
				r.role = role
			}
		}
	case fieldWeight:
		r.Weight = int(min(v, backend.MaxWeight))
	case fieldDraining:
		r.Draining = protowire.DecodeBool(v)
	case fieldLeaving:
		r.leaving = protowire.DecodeBool(v)
	case fieldTLS:
		r.TLS = protowire.DecodeBool(v)
	}
	return n
}

// check reports what cannot be announced.
func (a *Announcement) check() error {
	for _, t := range []struct {
		what, text string
		most       int
	}{{"id", a.ID, backend.MaxID}, {"zone", a.Zone, maxZone}, {"version", a.Version, maxVersion}} {
		if t.text != "" && !isWord(t.text, t.most) {
			return fmt.Errorf("%s %q must be up to %d printable bytes without spaces", t.what, t.text, t.most)
		}
	}
	if a.Weight < 0 || a.Weight > backend.MaxWeight {
		return fmt.Errorf("weight %d must be 1 to %d", a.Weight, backend.MaxWeight)
	}
	if a.Addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(a.Addr)
	if err != nil || !isWord(host, 253) {
		return fmt.Errorf("address %q must be host:port", a.Addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %q must have a port from 1 to 65535", a.Addr)
	}
	return nil
}

// isWord reports whether s can stand in a log line or a metric as it is.
func isWord(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) })
}
