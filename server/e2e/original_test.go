//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPollingAsTheOriginal holds the node against deepstream.io 1.1.1 itself: the
// same words over long-polling, in each of its encodings, are answered with the same
// bytes. Only ids of sockets differ, and how many messages a poll brings.
func TestPollingAsTheOriginal(t *testing.T) {
	script, err := os.ReadFile("testdata/polling.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"text", "binary", "jsonp"} {
		t.Run(form, func(t *testing.T) {
			want := converse(t, startOriginal(t), form, string(script))
			got := converse(t, startNode(t, nil), form, string(script))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the node differs (-original +node):\n%s", diff)
			}
			if !strings.Contains(want, "P|RES|add|c1|Sschön 😀+") {
				t.Errorf("the original said too little:\n%s", want)
			}
		})
	}
}

// startOriginal runs deepstream.io 1.1.1 and returns its URL.
func startOriginal(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), "node", "original1.js")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	var said []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http://") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return lines.Text()
		}
		said = append(said, lines.Text())
	}
	t.Fatalf("deepstream.io 1.1.1 did not start:\n%s", strings.Join(said, "\n"))
	return ""
}

// converse plays a script of lines "client> words", with | and + for the marks, and
// returns what all clients heard, by client. After each line everyone says something
// that has a known answer, so nothing is left out.
func converse(t *testing.T, base, form, script string) string {
	t.Helper()
	clients := make(map[string]*poller)
	var order []string
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, words, _ := strings.Cut(line, "> ")
		if clients[name] == nil {
			clients[name] = openPoller(t, base, form, name)
			order = append(order, name)
		}
		for _, c := range clients {
			fmt.Fprintf(&c.log, "%s\n", line)
		}
		clients[name].post("4" + words)
		clients[name].synchronise()
		for _, other := range order {
			clients[other].synchronise()
		}
	}
	var all strings.Builder
	for _, name := range order {
		fmt.Fprintf(&all, "client %s\n%s", name, &clients[name].log)
	}
	return all.String()
}

// poller is a client of engine.io 3 that only polls.
type poller struct {
	t         *testing.T
	http      *http.Client
	url       string
	form      string
	sid       string
	syncs     int
	log, rest strings.Builder
}

var (
	marks = strings.NewReplacer("|", "\x1f", "+", "\x1e")
	bars  = strings.NewReplacer("\x1f", "|", "\x1e", "+")
)

// openPoller connects and logs in.
func openPoller(t *testing.T, base, form, user string) *poller {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p := &poller{t: t, http: &http.Client{Transport: transport, Timeout: 20 * time.Second}, form: form,
		url: base + "/deepstream/?EIO=3&transport=polling" + map[string]string{"text": "&b64=1", "binary": "", "jsonp": "&b64=1&j=0"}[form]}
	header, body := p.do("GET", "", "")
	packets, err := p.decode(body)
	if err != nil {
		t.Fatalf("payload %q: %v", body, err)
	}
	var opened struct{ SID string }
	if len(packets) == 0 || json.Unmarshal([]byte(packets[0][1:]), &opened) != nil || opened.SID == "" {
		t.Fatalf("handshake: %q", packets)
	}
	p.sid = opened.SID
	p.url += "&sid=" + p.sid
	t.Cleanup(func() { p.post("1") }) // so that the node need not wait for a last poll
	fmt.Fprintf(&p.log, "handshake %s\n  %s\n", p.mask(header), p.mask(packets[0]))
	p.hear(packets[1:])
	p.await("C|CH+")
	p.post("4C|CHR|http://host:6020+")
	p.await("C|A+")
	p.post(`4A|REQ|{"username":"` + user + `"}+`)
	p.await("A|A+")
	return p
}

// mask takes out the id of the socket.
func (p *poller) mask(s string) string {
	if p.sid == "" {
		return s // not known yet
	}
	return strings.ReplaceAll(s, p.sid, "SID")
}

// await hears until some words were said, and notes all but those of synchronise.
func (p *poller) await(words string) {
	p.t.Helper()
	for !strings.Contains(p.rest.String(), words) {
		p.hear(p.get())
	}
	heard := strings.Replace(p.rest.String(), fmt.Sprintf("E|A|S|s%d+", p.syncs), "", 1)
	p.rest.Reset()
	if heard != "" {
		fmt.Fprintf(&p.log, "  %s\n", heard)
	}
}

// synchronise has the server answer something, and hears what comes before.
func (p *poller) synchronise() {
	p.t.Helper()
	p.syncs++
	p.post(fmt.Sprintf("4E|S|s%d+", p.syncs))
	p.await(fmt.Sprintf("E|A|S|s%d+", p.syncs))
}

// hear joins the messages: how they are spread over packets depends on the moment.
func (p *poller) hear(packets []string) {
	for _, packet := range packets {
		if packet[0] != '4' {
			fmt.Fprintf(&p.log, "  packet %q\n", packet)
			continue
		}
		p.rest.WriteString(bars.Replace(packet[1:]))
	}
}

// get polls once, notes the headers the first time, and returns the packets.
func (p *poller) get() []string {
	p.t.Helper()
	header, body := p.do("GET", "", "")
	if !strings.Contains(p.log.String(), "poll ") {
		fmt.Fprintf(&p.log, "poll %s\n", header)
	}
	packets, err := p.decode(body)
	if err != nil {
		p.t.Fatalf("payload %q: %v", body, err)
	}
	return packets
}

// post sends one packet, with | and + for the marks.
func (p *poller) post(packet string) {
	p.t.Helper()
	packet = marks.Replace(packet)
	body, kind := fmt.Sprintf("%d:%s", len(packet), twice(packet)), "text/plain;charset=UTF-8"
	switch p.form {
	case "binary":
		body, kind = "\x00", "application/octet-stream"
		for _, d := range strconv.Itoa(len(packet)) {
			body += string([]byte{byte(d - '0')})
		}
		body += "\xff" + packet
	case "jsonp":
		body, kind = "d="+url.QueryEscape(body), "application/x-www-form-urlencoded"
	}
	header, answer := p.do("POST", kind, body)
	if !strings.Contains(p.log.String(), "post ") {
		fmt.Fprintf(&p.log, "post %s %q\n", header, answer)
	}
}

// twice encodes the bytes of a packet as characters, as engine.io 3 does in text.
func twice(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// once is the reverse of twice.
func once(s string) (string, error) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return "", fmt.Errorf("character %q is no byte", r)
		}
		b = append(b, byte(r))
	}
	return string(b), nil
}

// do makes a request; the header that it returns is without what differs from
// moment to moment.
func (p *poller) do(method, kind, body string) (header, answer string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url, strings.NewReader(body))
	if p.t.Context().Err() != nil { // the goodbye of a test that is over
		req, err = http.NewRequest(method, p.url, strings.NewReader(body))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("Origin", "http://page.example")
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	// The node says that answers must not be stored, too.
	ignored := []string{"Date", "Connection", "Keep-Alive", "Content-Length", "Cache-Control"}
	if p.form == "jsonp" {
		// The original says text/plain, which no browser runs as a script where the
		// page asks it not to guess.
		ignored = append(ignored, "Content-Type", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials")
	}
	for _, name := range ignored {
		resp.Header.Del(name)
	}
	var parts []string
	for name, values := range resp.Header {
		parts = append(parts, name+": "+strings.Join(values, ", "))
	}
	slices.Sort(parts)
	return fmt.Sprintf("%d %s", resp.StatusCode, p.mask(strings.Join(parts, "; "))), string(b)
}

var jsonp = regexp.MustCompile(`(?s)^___eio\[0\]\((".*")\);$`)

// decode reads a body, and fails where another way to write the same packets was
// chosen than the one there is.
func (p *poller) decode(body string) (packets []string, err error) {
	if p.form == "jsonp" {
		m := jsonp.FindStringSubmatch(body)
		if m == nil {
			return nil, fmt.Errorf("is no call of ___eio[0]")
		}
		if err := json.Unmarshal([]byte(m[1]), &body); err != nil {
			return nil, err
		}
	}
	for len(body) > 0 {
		var packet string
		if p.form == "binary" {
			digits, rest, ok := strings.Cut(body[1:], "\xff")
			n := 0
			for _, d := range []byte(digits) {
				n = 10*n + int(d)
			}
			if body[0] != 0 || !ok || n < 1 || n > len(rest) {
				return nil, fmt.Errorf("packet of %d bytes", n)
			}
			packet, body = rest[:n], rest[n:]
		} else {
			digits, rest, _ := strings.Cut(body, ":")
			n, err := strconv.Atoi(digits)
			if runes := []rune(rest); err != nil || n < 1 || n > len(runes) {
				return nil, fmt.Errorf("packet of %q characters", digits)
			} else if packet, err = once(string(runes[:n])); err != nil {
				return nil, err
			} else {
				body = string(runes[n:])
			}
		}
		packets = append(packets, packet)
	}
	return packets, nil
}
