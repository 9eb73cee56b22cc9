//go:build e2e && linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// browser is a page in a real browser, driven by the protocol of its developer
// tools.
type browser struct {
	ws   *websocket.Conn
	next int
}

func findBrowser(t *testing.T) string {
	t.Helper()
	places := []string{"chromium", "chromium-browser", "google-chrome"}
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

// startProgram starts a program in a group of its own, which ends with the test, and
// returns what the pattern finds in its standard error and output.
func startProgram(t *testing.T, cmd *exec.Cmd, pattern string) (found string) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait() // it may have been waited for
	})
	said := make(chan string, 1)
	go func() {
		defer out.Close()
		what := regexp.MustCompile(pattern)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := what.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case said <- m[1]:
				default:
				}
			}
		}
		close(said)
	}()
	select {
	case found, ok := <-said:
		if !ok {
			t.Fatalf("%s ended without saying %s", cmd.Path, pattern)
		}
		return found
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not say %s", cmd.Path, pattern)
		return ""
	}
}

func openBrowser(t *testing.T, page string) *browser {
	t.Helper()
	profile, err := os.MkdirTemp("", "dsproxy-demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, profile) })
	tools := startProgram(t, exec.Command(findBrowser(t), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+profile,
		"--remote-debugging-port=0", page), `DevTools listening on ws://([0-9.:]+)/`)
	text, err := ask(http.MethodGet, "http://"+tools+"/json/list", "")
	if err != nil {
		t.Fatal(err)
	}
	var targets []struct{ Type, WebSocketDebuggerURL string }
	if err := json.Unmarshal([]byte(text), &targets); err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		if target.Type == "page" {
			ws, _, err := websocket.DefaultDialer.Dial(target.WebSocketDebuggerURL, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ws.Close() })
			return &browser{ws: ws}
		}
	}
	t.Fatalf("the browser has no page: %s", text)
	return nil
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

// run evaluates an expression in the page and returns its value as text.
func (b *browser) run(expression string) (string, error) {
	b.next++
	b.ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	if err := b.ws.WriteJSON(map[string]any{"id": b.next, "method": "Runtime.evaluate",
		"params": map[string]any{"expression": "String(" + expression + ")", "returnByValue": true}}); err != nil {
		return "", err
	}
	for {
		var answer struct {
			ID     int
			Result struct {
				Result           struct{ Value string }
				ExceptionDetails *struct{ Exception struct{ Description string } }
			}
		}
		if err := b.ws.ReadJSON(&answer); err != nil {
			return "", err
		}
		switch e := answer.Result.ExceptionDetails; {
		case answer.ID != b.next:
		case e != nil:
			return "", fmt.Errorf("%s: %s", expression, e.Exception.Description)
		default:
			return answer.Result.Result.Value, nil
		}
	}
}

// width makes the page as wide as a screen of so many pixels.
func (b *browser) width(t *testing.T, pixels int) {
	t.Helper()
	b.next++
	if err := b.ws.WriteJSON(map[string]any{"id": b.next, "method": "Emulation.setDeviceMetricsOverride",
		"params": map[string]any{"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": pixels < 700}}); err != nil {
		t.Fatal(err)
	}
}

// do evaluates an expression for what it does.
func (b *browser) do(t *testing.T, expression string) {
	t.Helper()
	if _, err := b.run(expression); err != nil {
		t.Fatal(err)
	}
}

// await returns when an expression has a value.
func (b *browser) await(t *testing.T, what, expression, want string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		got, err := b.run(expression)
		if err == nil && got == want {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			log, _ := b.run(`document.getElementById("log").innerText`)
			t.Fatalf("%s: %s is %q, want %q (%v); the page says:\n%s", what, expression, got, want, err, log)
		}
	}
}

// covered lists what lies outside of the page and which cards have buttons over their
// state.
const covered = `(() => {
	const faults = document.documentElement.scrollWidth > document.documentElement.clientWidth ? ["scrolls sideways"] : []
	for (const card of document.querySelectorAll(".part")) {
		const state = card.querySelector(".state")?.getBoundingClientRect()
		for (const button of card.querySelectorAll(".acts button")) {
			const at = button.getBoundingClientRect()
			if (at.left < state.right && at.right > state.left && at.top < state.bottom && at.bottom > state.top) faults.push(card.id + " " + button.innerText)
		}
	}
	return faults.join()
})()`

// TestDemoInBrowser has the page's clients talk in a real browser while parts of the
// fleet end, with the program as users build it.
func TestDemoInBrowser(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "dsproxy")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	demo := exec.Command(binary, "demo", "--listen", "127.0.0.1:0")
	page := startProgram(t, demo, `page +(http://\S+)`)
	b := openBrowser(t, page)

	const states = `demo.panes.map(p => p.root.dataset.state + " " + p.client.ready)`
	const up = "websocket true,websocket true"
	b.await(t, "both upgraded", states, up)
	b.await(t, "nodes are told", `demo.panes.every(p => /^node-\d$/.test(p.node) && /^proxy-\d$/.test(p.proxy))`, "true")
	b.await(t, "they see each other", `demo.panes.map(p => [...p.users])`, "Ben,Ada")
	b.await(t, "Ben on the other node, by new sessions", `(([ada, ben]) => {
		if (ada.node !== ben.node && ben.node && ben.client.ready) return true
		if (ada.node === ben.node) document.querySelector("#ben .renew").click()
		return false
	})(demo.panes)`, "true")
	b.await(t, "both upgraded again", states, up)

	b.do(t, `(() => { const note = document.querySelector("#ada textarea"); note.value = "ünï"; note.dispatchEvent(new Event("input")) })()`)
	b.await(t, "the record of Ada at Ben's", `document.querySelector("#ben textarea").value`, "ünï")
	b.do(t, `(() => { const f = document.querySelector("#ben .chat"); f.elements.text.value = "hello"; f.requestSubmit() })()`)
	b.await(t, "the event of Ben at Ada's", `document.querySelector("#ada .chat ol").innerText.includes("hello")`, "true")
	b.do(t, `document.querySelector("#ada .rpc").requestSubmit()`)
	b.await(t, "the call of Ada", `document.querySelector("#ada .path").innerText.startsWith("42 in ")`, "true")
	b.do(t, `demo.crowds.forEach(c => c.button.click())`)
	b.await(t, "fifty through dsproxy", `demo.crowds[0].counts().whole`, "50")
	b.await(t, "fifty without", `demo.crowds[1].counts().broken + demo.crowds[1].counts().whole + " " + (demo.crowds[1].counts().broken > 25)`, "50 true")

	b.do(t, `window.first = demo.panes[0].node`)
	b.do(t, `document.querySelector("#part-" + first + " .kill").click()`)
	b.await(t, "Ada elsewhere", `demo.panes[0].client.ready && demo.panes[0].node !== "" && demo.panes[0].node !== first`, "true")
	b.await(t, "both back", states, up)
	b.await(t, "the crowd back", `demo.crowds[0].counts().whole`, "50")
	b.await(t, "the page tells", `document.getElementById("log").innerText.includes("moved from " + first)`, "true")
	b.await(t, "the record is there", `demo.panes[0].record.data.note`, "ünï")

	b.do(t, `document.querySelector("#part-redis .stop").click()`)
	b.await(t, "Redis is down", `document.getElementById("part-redis").dataset.state`, "down")
	b.do(t, `demo.panes[1].record.set("note", "kept")`)
	b.await(t, "a write that is not saved", `demo.panes[1].record.fault !== ""`, "true")
	b.do(t, `document.querySelector("#part-redis .start").click()`)
	b.await(t, "the write of Ben at Ada's", `demo.panes[0].record.data.note + demo.panes[1].record.unsaved.size`, "kept0")

	b.do(t, `window.drained = document.querySelector("#nodes .drain").closest(".part")`)
	b.do(t, `drained.querySelector(".drain").click()`)
	b.await(t, "a node drains", `drained.dataset.state`, "draining")
	for _, width := range []int{320, 390, 680, 820, 1024, 1221, 1280, 1920} {
		b.width(t, width)
		b.await(t, fmt.Sprintf("the page at %d pixels", width), covered, "")
	}
	b.do(t, `drained.querySelector(".undrain").click()`)
	b.await(t, "it has new sessions again", `drained.dataset.state`, "up")

	b.do(t, `document.getElementById("log").replaceChildren()`)
	b.do(t, `document.querySelectorAll("#nodes .kill").forEach(button => button.click())`)
	b.await(t, "nobody is left", `document.getElementById("log").innerText.includes("0 kept, 0 reconnected, 50 not back")`, "true")
	b.do(t, `document.querySelectorAll("#nodes .start").forEach(button => button.click())`)
	b.await(t, "all are back", `demo.crowds[0].counts().whole`, "50")
	b.await(t, "the page tells that too", `/0 kept, 50 reconnected(?!, [1-9])/.test(document.getElementById("log").innerText)`, "true")

	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cut := time.AfterFunc(20*time.Second, func() { demo.Process.Kill() })
	defer cut.Stop()
	if err := demo.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if left := running(t, binary); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// running lists the processes of a program.
func running(t *testing.T, binary string) (commands []string) {
	t.Helper()
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range exes {
		if target, err := os.Readlink(exe); err == nil && target == binary {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(exe), "cmdline")) // it may have ended
			commands = append(commands, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return commands
}

// TestDemoKilled has nothing outlive a demo that is killed.
func TestDemoKilled(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "dsproxy")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	demo := exec.Command(binary, "demo", "--listen", "127.0.0.1:0")
	startProgram(t, demo, `page +(http://\S+)`)
	if n := len(running(t, binary)); n != 5 {
		t.Errorf("%d processes run, want the demo, two nodes and two proxies", n)
	}
	demo.Process.Kill()
	demo.Wait() // which says that it was killed
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); len(running(t, binary)) > 0; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("processes are left: %q", running(t, binary))
		}
	}
}
