package proxy

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// certificateFiles writes a self-signed certificate for 127.0.0.1.
func certificateFiles(t testing.TB, dir, name string) TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func tlsClient(t testing.TB, http2 bool) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: http2}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// echoing answers with what it got, and its trailers.
func echoing(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).EnableFullDuplex()
	w.Header().Set("Trailer", "X-Sum")
	w.Header().Set("X-Proto", r.Header.Get("X-Forwarded-Proto"))
	w.Header().Set("X-Got-Host", r.Host)
	n, _ := io.Copy(w, r.Body)
	w.Header().Set("X-Sum", fmt.Sprint(n))
}

func TestTLS(t *testing.T) {
	files := certificateFiles(t, t.TempDir(), "first")
	p := start(t, func(c *Config) { c.Listen[0].TLS = &files }, httpBackend(t, echoing))
	for _, v2 := range []bool{false, true} {
		body := strings.Repeat("x", 300_000)
		resp, err := tlsClient(t, v2).Post("https://"+p.Addr()+"/a?b", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != body {
			t.Errorf("HTTP/2 %v: %d bytes back, error %v", v2, len(got), err)
		}
		if v2 != (resp.ProtoMajor == 2) {
			t.Errorf("spoke %s", resp.Proto)
		}
		if resp.Header.Get("X-Proto") != "https" || resp.Header.Get("X-Got-Host") != p.Addr() || resp.Trailer.Get("X-Sum") != "300000" {
			t.Errorf("HTTP/2 %v: headers %v, trailers %v", v2, resp.Header, resp.Trailer)
		}
	}
}

func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	files := certificateFiles(t, dir, "first")
	p := start(t, func(c *Config) { c.Listen[0].TLS = &files }, httpBackend(t, echoing))
	name := func() string {
		c, err := tls.Dial("tcp", p.Addr(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	open, err := tls.Dial("tcp", p.Addr(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if got := name(); got != "first" {
		t.Fatalf("serves %q", got)
	}
	certificateFiles(t, dir, "second")
	p.listeners[0].cert.refresh()
	if got := name(); got != "second" {
		t.Errorf("serves %q after the files changed", got)
	}
	// A pair that does not fit leaves the old one in use.
	os.WriteFile(files.Key, []byte("nonsense"), 0o600)
	p.listeners[0].cert.refresh()
	if got := name(); got != "second" {
		t.Errorf("serves %q after a broken change", got)
	}
	io.WriteString(open, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	b, _ := io.ReadAll(open)
	contains(t, string(b), "HTTP/1.1 200 OK\r\n")
}

func TestPriorKnowledgeHTTP2(t *testing.T) {
	p := start(t, nil, httpBackend(t, echoing))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: &protocols}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Post(p.url("/"), "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.ProtoMajor != 2 || string(b) != "hello" || resp.Header.Get("X-Proto") != "http" {
		t.Errorf("%s %q %v", resp.Proto, b, resp.Header)
	}
	tr.CloseIdleConnections()
	eventually(t, "the connection is given back", func() bool { return p.conns.open.Load() == 0 })
}

func TestSessionsOverHTTP2(t *testing.T) {
	p := start(t, nil, sessions(t, "a"), sessions(t, "b"), sessions(t, "c"))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: &protocols}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: patience}
	fetch := func(path string) (int, string) {
		resp, err := c.Get(p.url(path))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	for range 20 {
		_, open := fetch(polling)
		sid := sidOf(t, open)
		if status, body := fetch(polling + "&sid=" + sid); status != 200 || body != "4"+sid[:1] {
			t.Fatalf("session %s: %d %s", sid, status, body)
		}
	}
}

// TestExtendedConnect speaks RFC 8441 frame by frame: no Go client does.
func TestExtendedConnect(t *testing.T) {
	heads := make(chan string, 1)
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		h := readHead(r)
		if h == "" {
			return
		}
		heads <- h
		io.WriteString(c, strings.Replace(switching, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n", 1)+"greeting ")
		echo(c, r)
	}))
	nc, _ := dial(t, p.Addr())
	io.WriteString(nc, http2.ClientPreface)
	fr := http2.NewFramer(nc, nc)
	fr.WriteSettings()
	announced := false
	for !announced {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			v, has := s.Value(http2.SettingEnableConnectProtocol)
			if !has || v != 1 {
				t.Fatal("extended CONNECT is not announced")
			}
			announced = true
		}
	}
	fr.WriteSettingsAck()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{
		{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/ws?x=1"}, {":authority", "example.org"},
		{"sec-websocket-version", "13"}, {"sec-websocket-protocol", "chat"}, {"origin", "http://example.org"},
	} {
		enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	fr.WriteData(1, false, []byte("ping"))

	h := <-heads
	contains(t, h, "GET /ws?x=1 HTTP/1.1\r\n", "Host: example.org\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Sec-WebSocket-Key: ")
	lacks(t, h, ":protocol")
	var got strings.Builder
	status := ""
	for got.String() != "greeting ping" {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			fields, err := hpack.NewDecoder(4096, nil).DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range fields {
				status += x.Name + "=" + x.Value + ";"
			}
		case *http2.DataFrame:
			got.Write(f.Data())
		case *http2.RSTStreamFrame:
			t.Fatalf("stream was reset: %v", f.ErrCode)
		}
	}
	contains(t, status, ":status=200;", "sec-websocket-protocol=chat;")
	lacks(t, status, "sec-websocket-accept")
	if p.relay.Open() != 1 {
		t.Errorf("%d tunnels", p.relay.Open())
	}
	fr.WriteData(1, true, nil)
	eventually(t, "the tunnel ends with its stream", func() bool { return p.relay.Open() == 0 })
}
