//go:build e2e

package e2e

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// page loads a client of deepstream 1 and one of 7 and has them share an event, a
// record and a call; the page is of another origin than the node.
const page = `<!doctype html><title>clients</title>
<script src="/client1/dist/deepstream.js"></script>
<script>const deepstream1 = window.deepstream</script>
<script src="/client7/dist/bundle/ds.min.js"></script>
<script>
const tell = (result) => fetch('/result', {method: 'POST', body: result})
const node = new URLSearchParams(location.search).get('node')
window.onerror = (message) => tell('error: ' + message)
const until = async (what, f) => {
  for (let i = 0; i < 1000; i++) {
    if (f()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('waited in vain for ' + what)
}
async function run () {
  const old = deepstream1(node)
  await new Promise((resolve, reject) => old.login({username: 'old'}, (ok, code) => ok ? resolve() : reject(new Error(code))))
  const DeepstreamClient = window.DeepstreamClient.DeepstreamClient || window.DeepstreamClient
  const modern = new DeepstreamClient(node + '/deepstream')
  await modern.login({username: 'modern'})
  let heard
  old.event.subscribe('news', (data) => { heard = data })
  await until('an event', () => { modern.event.emit('news', {text: 'ü'}); return heard })
  const mine = old.record.getRecord('shared')
  await new Promise((resolve) => mine.whenReady(resolve))
  const theirs = modern.record.getRecord('shared')
  await theirs.whenReady()
  mine.set('from.old', 1)
  await until('the record of old', () => theirs.get('from.old') === 1)
  theirs.set('from.modern', 2)
  await until('the record of modern', () => mine.get('from.modern') === 2)
  old.rpc.provide('double', (n, response) => response.send(2 * n))
  let answer
  await until('a call', () => { modern.rpc.make('double', 21).then((r) => { answer = r }, () => {}); return answer })
  const moved = performance.getEntriesByType('resource').filter((e) => e.name.includes('transport=polling')).length
  tell(JSON.stringify({heard, record: mine.get(), answer, polled: moved > 0}))
}
run().catch((e) => tell('failed: ' + e.message))
</script>`

// findBrowser returns the path of a Chromium or Chrome: that of the variable
// CHROME, or one at a usual place.
func findBrowser(t *testing.T) string {
	t.Helper()
	places := []string{"chromium", "chromium-browser", "google-chrome",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"}
	if path := os.Getenv("CHROME"); path != "" {
		places = []string{path}
	}
	for _, place := range places {
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	t.Fatalf("no browser: install Chromium or Chrome, or set CHROME to its path; looked at %q", places)
	return ""
}

// TestBrowser runs the clients in a real browser.
func TestBrowser(t *testing.T) {
	chromium := findBrowser(t)
	node := startNode(t, nil)
	result := make(chan string, 1)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("node_modules")))
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	})
	mux.HandleFunc("/result", func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case result <- string(body):
		default:
		}
	})
	web := httptest.NewServer(mux)
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	profile, err := os.MkdirTemp("", "deepstream-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+profile, "--remote-debugging-port=0",
		web.URL+"/page?node="+strings.Replace(node, "http", "ws", 1))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has processes of its own
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was told to end
		removeAll(t, profile)
	}()
	const want = `{"heard":{"text":"ü"},"record":{"from":{"old":1,"modern":2}},"answer":42,"polled":true}`
	select {
	case got := <-result:
		if got != want {
			t.Errorf("the page saw %s, want %s", got, want)
		}
	case <-ctx.Done():
		t.Error("the page did not report")
	}
}

// removeAll removes a folder in which the last processes of a browser may still
// write while they are being killed.
func removeAll(t *testing.T, dir string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		err := os.RemoveAll(dir)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("the browser's profile stays: %v", err)
			return
		}
	}
}
