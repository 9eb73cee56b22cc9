package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// unpack shows the packets of a body, or "error" after those before the fault.
func (f payloadForm) unpack(body string) string {
	var packets []string
	err := f.decode([]byte(body), func(kind byte, data []byte) error {
		packets = append(packets, fmt.Sprintf("%c%s", kind, data))
		return nil
	})
	if err != nil {
		packets = append(packets, "error")
	}
	return strings.Join(packets, " ")
}

// TestPayloadBytes: bodies as servers and clients of engine.io 1.6 wrote them.
func TestPayloadBytes(t *testing.T) {
	pack := func(f payloadForm, want string, packets ...string) {
		t.Helper()
		var got []byte
		for _, p := range packets {
			got = f.appendPacket(got, []byte(p[:1]), []byte(p[1:]))
		}
		if string(got) != want {
			t.Errorf("form %d of %q is %q, want %q", f, packets, got, want)
		}
	}
	pack(formText, "6:4C\x1fCH\x1e", "4C\x1fCH\x1e")
	pack(formText, "1:61:3", "6", "3")
	pack(formText, "3:4\u00c3\u00bc", "4ü") // the bytes are characters, encoded again
	pack(formBinary, "\x00\x06\xff4C\x1fCH\x1e", "4C\x1fCH\x1e")
	pack(formBinary, "\x00\x01\xff3\x00\x01\xff6", "3", "6")
	pack(formBinary, "\x00\x03\xff4ü", "4ü")
	pack(formBinary, "\x00\x01\x02\xff4"+strings.Repeat("a", 11), "4"+strings.Repeat("a", 11))
	pack(formEIO4, "4a\x1e4b\x1e3", "4a", "4b", "3")

	f := func(form payloadForm, body, want string) {
		t.Helper()
		if got := form.unpack(body); got != want {
			t.Errorf("form %d of %q is %q, want %q", form, body, got, want)
		}
	}
	f(formText, "", "")
	f(formText, "23:4C\x1fCHR\x1f127.0.0.1:21010\x1e", "4C\x1fCHR\x1f127.0.0.1:21010\x1e")
	f(formText, "1:2", "2")
	f(formText, "1:21:22:4a", "2 2 4a")
	f(formText, "3:4\u00c3\u00bc", "4ü")
	f(formText, "2:4€", "4€") // not encoded twice
	f(formText, "3:4😀", "4😀") // two of JavaScript's units
	f(formText, "2:4", "error")
	f(formText, "x:4", "error")
	f(formText, ":4", "error")
	f(formText, "0:", "error")
	f(formText, "-1:4", "error")
	f(formText, "1:29", "2 error")
	f(formText, "9999999999:4", "error")
	f(formText, "2:4\xff", "error")

	f(formBinary, "\x00\x02\x02\xff4C\x1fCHR\x1fws://host:6020\x1e", "4C\x1fCHR\x1fws://host:6020\x1e")
	f(formBinary, "\x00\x01\xff2", "2")
	f(formBinary, "\x00\x01\xff2\x00\x02\xff4a", "2 4a")
	f(formBinary, "\x01\x03\xff\x04ab", "4ab") // a packet of bytes has its type as a number
	f(formBinary, "\x02\x01\xff2", "error")
	f(formBinary, "\x00\xff2", "error")
	f(formBinary, "\x00\x00\xff2", "error")
	f(formBinary, "\x00\x0a\xff2", "error")
	f(formBinary, "\x00\x02\xff2", "error")
	f(formBinary, "\x00\x01\xff2\x00", "2 error")
	f(formBinary, "\x00"+strings.Repeat("\x09", 10)+"\xff2", "error")

	f(formEIO4, "4a\x1e4b\x1e2probe", "4a 4b 2probe")
	f(formEIO4, "4E\x1fS\x1fa\x1eE\x1fS\x1fb\x1e", "4E\x1fS\x1fa 4E\x1fS\x1fb")
	f(formEIO4, "\x1e\x1e", "")
}

// TestPayloadStops: an error of the receiver ends the reading.
func TestPayloadStops(t *testing.T) {
	stop := errors.New("enough")
	for form, body := range map[payloadForm]string{formText: "1:21:2", formBinary: "\x00\x01\xff2\x00\x01\xff2", formEIO4: "2\x1e2"} {
		n := 0
		if err := form.decode([]byte(body), func(byte, []byte) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
			t.Errorf("form %d: %v after %d packets", form, err, n)
		}
	}
}

// FuzzPayload reads garbage in every form, and reads back what was written.
func FuzzPayload(f *testing.F) {
	f.Add([]byte("23:4C\x1fCHR\x1f127.0.0.1:21010\x1e"))
	f.Add([]byte("\x00\x02\x02\xff4C\x1fCHR\x1fws://host:6020\x1e"))
	f.Add([]byte("4a\x1e4b\x1e2probe"))
	f.Add([]byte("9:4\u00c3\u00bc\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, form := range []payloadForm{formText, formBinary, formEIO4} {
			size := 0
			_ = form.decode(body, func(_ byte, data []byte) error { // garbage may well be refused
				size += 1 + len(data)
				return nil
			})
			// A packet of engine.io 4 may get its type here.
			if most := len(body) + bytes.Count(body, []byte{eio4Separator}) + 1; size > most {
				t.Errorf("form %d made %d bytes of %d", form, size, len(body))
			}
			var payload, want, got []byte
			for _, p := range bytes.SplitAfter(body, []byte("|")) {
				if form == formEIO4 && bytes.IndexByte(p, eio4Separator) >= 0 {
					continue // it cannot stand inside a packet there
				}
				payload = form.appendPacket(payload, []byte{eioMessage}, p)
				want = append(append(want, eioMessage), p...)
			}
			if err := form.decode(payload, func(kind byte, data []byte) error {
				got = append(append(got, kind), data...)
				return nil
			}); err != nil || !bytes.Equal(got, want) {
				t.Errorf("form %d: wrote %q as %q and read %q, %v", form, want, payload, got, err)
			}
		}
	})
}

// FuzzJSONP has JavaScript itself read what is written into its string.
func FuzzJSONP(f *testing.F) {
	f.Add(`97:0{"sid":"a\\b"}`)
	f.Add("a\"b\\c\n\r\u2028\u2029</script>\x00\x1f\x7fü😀")
	vm := goja.New()
	f.Fuzz(func(t *testing.T, payload string) {
		if !utf8.ValidString(payload) {
			t.Skip("payloads of this form are text")
		}
		script := `"` + string(escapeJSONP([]byte(payload))) + `"`
		if strings.ContainsAny(script, "<\n\r\u2028\u2029") {
			t.Fatalf("%q may end the script early", script)
		}
		v, err := vm.RunString(script)
		if err != nil || v.String() != payload {
			t.Fatalf("JavaScript reads %q as %v, %v; want %q", script, v, err, payload)
		}
	})
}

// TestJSONPForm: what the client's form makes of newlines is undone.
func TestJSONPForm(t *testing.T) {
	f := func(sent string) {
		t.Helper()
		// As the client of engine.io does before it fills the form.
		area := strings.ReplaceAll(strings.ReplaceAll(sent, `\n`, "\\\n"), "\n", `\n`)
		if got := string(unescapeJSONP(area)); got != sent {
			t.Errorf("%q went through the form as %q and is %q", sent, area, got)
		}
	}
	f("")
	f("12:4E\x1fS\x1fname\x1e")
	f("a\nb")
	f(`{"text":"a\nb"}`)
	f("x\n\ny\\nz\\\\ u")
	f("a\x00b")
}
