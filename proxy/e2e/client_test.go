//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// result is what a client process says of its sessions.
type result struct {
	Sessions   int
	Failed     int
	Transports map[string]int // of sound sessions
	Backends   map[string]int // of sound sessions
	Errors     []string       // the first few
}

func (r result) String() string {
	return fmt.Sprintf("%d of %d sessions failed; transports %v, backends %v\n\t%s",
		r.Failed, r.Sessions, r.Transports, r.Backends, strings.Join(r.Errors, "\n\t"))
}

// runClient runs sessions of a scenario: `node node/clients/x.js URL N SCENARIO`.
// A session that is not done within the limit has failed.
func runClient(t testing.TB, client, url string, sessions int, scenario string, limit time.Duration, env ...string) result {
	t.Helper()
	cmd := exec.Command("node", filepath.Join("node", "clients", client+".js"), url, strconv.Itoa(sessions), scenario)
	cmd.Env = append(os.Environ(), append(env, fmt.Sprintf("SESSION_LIMIT_MS=%d", limit.Milliseconds()))...)
	done := make(chan result, 1)
	p := start(t, "client "+client+" "+scenario, cmd, func(line string) bool {
		var r result
		if json.Unmarshal([]byte(line), &r) != nil || r.Sessions == 0 {
			return false
		}
		done <- r
		return true
	})
	if err := p.waitEnd(limit + startLimit); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	select {
	case r := <-done:
		return r
	default:
		t.Fatalf("%s gave no result", p.name)
		panic("unreachable")
	}
}
