//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"
)

// browsers are usual places of Chromium and Chrome.
var browsers = []string{
	"/usr/bin/chromium",
	"/usr/bin/chromium-browser",
	"/usr/bin/google-chrome",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	"/Applications/Chromium.app/Contents/MacOS/Chromium",
}

func findBrowser(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROME"); path != "" {
		return path
	}
	for _, path := range browsers {
		if _, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	t.Fatalf("no browser: install Chromium or Chrome, or set CHROME to its path; looked at %q", browsers)
	panic("unreachable")
}

// tabs is the number of sessions in the browser.
const tabs = 8

func TestBrowser(t *testing.T) {
	env := []string{"CHROME=" + findBrowser(t)}
	for _, p := range []protocol{
		{name: "socket.io 4", server: "socketio4", client: "browser", env: env, scenarios: []scenario{
			{name: "socketio", sessions: tabs, transport: "websocket"},
		}},
		{name: "socket.io 2", server: "socketio2", client: "browser", env: env, scenarios: []scenario{
			{name: "socketio", sessions: tabs, transport: "websocket"},
		}},
		{name: "deepstream 1.1.1", server: "deepstream1", client: "browser", env: env, scenarios: []scenario{
			{name: "deepstream", sessions: tabs, transport: "websocket"},
			{name: "deepstream-cors", sessions: tabs, transport: "websocket"},
		}},
	} {
		t.Run(p.name, func(t *testing.T) { testProtocol(t, p) })
	}
}
