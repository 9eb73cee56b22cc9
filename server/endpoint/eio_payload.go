package endpoint

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Packet types of engine.io; on the wire they are digits.
const (
	eioOpen    = '0'
	eioClose   = '1'
	eioPing    = '2'
	eioPong    = '3'
	eioMessage = '4'
	eioUpgrade = '5'
	eioNoop    = '6'
)

// The forms in which several packets travel in one HTTP body.
type payloadForm uint8

const (
	// formText is for clients that asked for no binary (b64=1, JSONP): the
	// number of characters, a colon, the packet; the packet's UTF-8 bytes are
	// characters of their own and are encoded a second time.
	formText payloadForm = iota
	// formBinary: 0 for a string packet, the number of bytes as digits of
	// values 0 to 9, 0xff, the packet in UTF-8.
	formBinary
	// formEIO4 is that of engine.io 4: packets with 0x1e between them.
	formEIO4
)

const eio4Separator = '\x1e'

// appendPacket adds one packet, its type included.
func (f payloadForm) appendPacket(dst []byte, packet ...[]byte) []byte {
	size := 0
	for _, p := range packet {
		size += len(p)
	}
	switch f {
	case formText:
		dst = strconv.AppendInt(dst, int64(size), 10)
		dst = append(dst, ':')
		for _, p := range packet {
			for _, c := range p {
				dst = utf8.AppendRune(dst, rune(c))
			}
		}
		return dst
	case formBinary:
		dst = append(dst, 0)
		for _, d := range strconv.Itoa(size) {
			dst = append(dst, byte(d-'0'))
		}
		dst = append(dst, 0xff)
	case formEIO4:
		if len(dst) > 0 {
			dst = append(dst, eio4Separator)
		}
	}
	for _, p := range packet {
		dst = append(dst, p...)
	}
	return dst
}

var errPayload = errors.New("payload cannot be read")

// decode calls packet with each packet of a body. The bytes may alias the body.
func (f payloadForm) decode(body []byte, packet func(kind byte, data []byte) error) error {
	switch f {
	case formText:
		return decodeText(body, packet)
	case formBinary:
		return decodeBinary(body, packet)
	}
	return decodeEIO4(body, packet)
}

// maxLength bounds the digits of a packet's length.
const maxLength = 9

func decodeText(body []byte, packet func(byte, []byte) error) error {
	for len(body) > 0 {
		i := bytes.IndexByte(body, ':')
		if i < 1 || i > maxLength {
			return errPayload
		}
		n, err := strconv.Atoi(string(body[:i]))
		if err != nil || n < 1 {
			return errPayload
		}
		raw := make([]byte, 0, min(n, len(body)))
		rest := body[i+1:]
		for units := 0; units < n; units++ {
			r, size := utf8.DecodeRune(rest)
			switch {
			case size == 0 || r == utf8.RuneError && size == 1:
				return errPayload
			case r <= 0xff:
				raw = append(raw, byte(r))
			default:
				// A client that did not encode twice.
				raw = append(raw, rest[:size]...)
				if r > 0xffff {
					units++ // two of JavaScript's
				}
			}
			rest = rest[size:]
		}
		body = rest
		if err := packet(raw[0], raw[1:]); err != nil {
			return err
		}
	}
	return nil
}

func decodeBinary(body []byte, packet func(byte, []byte) error) error {
	for len(body) > 0 {
		if body[0] > 1 {
			return errPayload
		}
		end := bytes.IndexByte(body, 0xff)
		if end < 2 || end > maxLength+1 {
			return errPayload
		}
		n := 0
		for _, d := range body[1:end] {
			if d > 9 {
				return errPayload
			}
			n = n*10 + int(d)
		}
		if rest := len(body) - end - 1; n < 1 || n > rest {
			return errPayload
		}
		data := body[end+1 : end+1+n]
		kind := data[0]
		if body[0] == 1 && kind <= 9 {
			kind += '0' // binary packets have their type as a number
		}
		body = body[end+1+n:]
		if err := packet(kind, data[1:]); err != nil {
			return err
		}
	}
	return nil
}

// decodeEIO4 has to live with the end mark of the text protocol being the mark
// between packets: what does not begin with a digit continues a message.
func decodeEIO4(body []byte, packet func(byte, []byte) error) error {
	for len(body) > 0 {
		var p []byte
		p, body, _ = bytes.Cut(body, []byte{eio4Separator})
		switch {
		case len(p) == 0:
		case p[0] >= '0' && p[0] <= '9':
			if err := packet(p[0], p[1:]); err != nil {
				return err
			}
		default:
			if err := packet(eioMessage, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// escapeJSONP makes a payload the content of a JavaScript string in quotes.
func escapeJSONP(payload []byte) []byte {
	out := make([]byte, 0, len(payload)+16)
	for _, r := range string(payload) {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < ' ' || r == 0x2028 || r == 0x2029 || r == '<':
			const digits = "0123456789abcdef"
			out = append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// unescapeJSONP undoes what the client's form does to newlines: an escaped one
// stands for itself, an escape that is escaped for the escape.
func unescapeJSONP(d string) []byte { return []byte(jsonpNewlines.Replace(d)) }

var jsonpNewlines = strings.NewReplacer(`\\n`, `\n`, `\n`, "\n")
