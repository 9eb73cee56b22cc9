package affinity

import "unicode/utf8"

// The payloads of engine.io's polling transport:
//
//	EIO 4: packets parted by 0x1e          40<1e>42["hi"]
//	EIO 3: length:packet, the length in    2:40 11:42["hi",{}]
//	       UTF-16 units
//	EIO 3, binary (engine.io 1 and 2 with XHR2): a zero for text or a one for
//	       bytes, the digits of the length as bytes 0 to 9, 0xff, packet
//
// A packet begins with its type: '0' open, '1' close, '4' message.

// engineIOOpen finds the JSON of an open packet at the start of a payload of
// any of the three forms. It may run past the packet's end.
func engineIOOpen(b []byte) (json []byte, st found) {
	if len(b) == 0 {
		return nil, partial
	}
	switch i := 0; {
	case b[0] == 0:
		if b, _, st = binaryPacket(b); st == broken || len(b) == 0 {
			return nil, st
		}
	default:
		for i < len(b) && i < maxLengthDigits && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		if i == len(b) {
			return nil, partial
		}
		if i > 0 && b[i] == ':' {
			b = b[i+1:]
		}
	}
	switch {
	case len(b) == 0:
		return nil, partial
	case b[0] != '0':
		return nil, broken
	}
	return b[1:], partial
}

// maxLengthDigits bounds the length prefixes of EIO 3.
const maxLengthDigits = 10

// binaryPacket returns the inside of the first packet of a binary payload, and
// what follows it.
func binaryPacket(b []byte) (packet, rest []byte, st found) {
	n := 0
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == 0xff && i > 1:
			b = b[i+1:]
			if len(b) < n {
				return b, nil, partial
			}
			return b[:n], b[n:], whole
		case c > 9 || i > maxLengthDigits:
			return nil, nil, broken
		default:
			n = n*10 + int(c)
		}
	}
	return nil, nil, partial
}

// engineIO4Closes reports whether an EIO 4 payload has a close packet.
func engineIO4Closes(b []byte) bool {
	start := true
	for _, c := range b {
		if start && c == '1' {
			return true
		}
		start = c == 0x1e
	}
	return false
}

// engineIO3Closes reports whether an EIO 3 payload, text or binary, has a close
// packet. A payload that is cut off is read as far as it goes.
func engineIO3Closes(b []byte) bool {
	for len(b) > 0 {
		if b[0] <= 1 {
			packet, rest, st := binaryPacket(b)
			if st != broken && b[0] == 0 && len(packet) > 0 && packet[0] == '1' {
				return true
			}
			if st != whole {
				return false
			}
			b = rest
			continue
		}
		n, i := 0, 0
		for i < len(b) && i < maxLengthDigits && b[i] >= '0' && b[i] <= '9' {
			n = n*10 + int(b[i]-'0')
			i++
		}
		if i == 0 || i+1 >= len(b) || b[i] != ':' || n == 0 {
			return false
		}
		b = b[i+1:]
		if b[0] == '1' {
			return true
		}
		for n > 0 && len(b) > 0 {
			r, size := utf8.DecodeRune(b)
			if n--; r > 0xffff {
				n--
			}
			b = b[size:]
		}
	}
	return false
}

// engineIOPost returns the payload of a POST body: that itself, or what a JSONP
// client put into the form field d.
func engineIOPost(b []byte) []byte {
	if len(b) < 2 || b[0] != 'd' || b[1] != '=' {
		return b
	}
	value, _ := formField(b, "d")
	return decodeForm(make([]byte, 0, len(value)), value)
}
