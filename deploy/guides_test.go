package deploy

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/proxy"
)

const (
	haproxyGuide    = "haproxy-to-dsproxy.md"
	deepstreamGuide = "deepstream-to-go.md"
)

func readGuide(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Flags and metrics that the guides name are those of the programs.
func TestGuidesNameWhatExists(t *testing.T) {
	metrics := proxy.MetricNames()
	for _, m := range regexp.MustCompile(`(?m)^# HELP (deepstream_\w+)`).FindAllStringSubmatch(nodeMetrics(t), -1) {
		metrics = append(metrics, m[1])
	}
	for guide, name := range map[string]string{haproxyGuide: "dsproxy", deepstreamGuide: "deepstream"} {
		text := readGuide(t, guide)
		flags := flagsOf(t, name)
		named := regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(text, -1)
		for _, m := range named {
			if _, ok := flags[m[1]]; !ok {
				t.Errorf("%s: %s has no --%s", guide, name, m[1])
			}
		}
		shown := regexp.MustCompile("`((?:dsproxy|deepstream)_[a-z_]+)`").FindAllStringSubmatch(text, -1)
		for _, m := range shown {
			if !slices.Contains(metrics, m[1]) {
				t.Errorf("%s: there is no metric %s", guide, m[1])
			}
		}
		if len(named) < 5 || len(shown) < 5 {
			t.Errorf("%s: found %d flags and %d metrics only", guide, len(named), len(shown))
		}
	}
}

// nodeMetrics is what a node of a cluster shows.
func nodeMetrics(t *testing.T) string {
	t.Helper()
	manager, socket := newServiceManager(t)
	admin := freeAddr(t)
	node := exec.Command(program(t, "deepstream"), "--host", "127.0.0.1", "--port", "0", "--admin", admin, "--redis", freeAddr(t))
	node.Env = []string{"NOTIFY_SOCKET=" + socket}
	node.Dir = t.TempDir()
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = node.Process.Kill()
		_ = node.Wait() // killed
	}()
	if err := manager.await("READY=1"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Keys of dsproxy's configuration that the guide names stand in the example.
func TestGuideNamesKeysOfDsproxy(t *testing.T) {
	example := readYAML(t, "dsproxy.example.yaml")
	commented := readGuide(t, "dsproxy.example.yaml")
	found := 0
	for _, m := range regexp.MustCompile("`(affinity|health|timeouts|limits|drain)\\.([a-z_]+)`").FindAllStringSubmatch(readGuide(t, haproxyGuide), -1) {
		found++
		if at(example, m[1], m[2]) == nil && !strings.Contains(commented, "# "+m[2]+": ") {
			t.Errorf("%s: there is no key %s.%s", haproxyGuide, m[1], m[2])
		}
	}
	if found < 10 {
		t.Errorf("found %d keys only", found)
	}
}

// The guide lets clients of 2.x and 3.x in at their own default path, at which they
// wait for the node's first word, beside those of 4.x and later, which speak first.
func TestGuideServesOldClients(t *testing.T) {
	_, section, _ := strings.Cut(readGuide(t, deepstreamGuide), "## Clients of 2.x and 3.x\n")
	_, block, _ := strings.Cut(section, "```yaml\n")
	config, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatalf("%s shows no configuration for them", deepstreamGuide)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	manager, socket := newServiceManager(t)
	addr := freeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	node := exec.Command(program(t, "deepstream"), "-c", "config.yml", "--host", "127.0.0.1", "--port", port, "--admin", "off")
	node.Env, node.Dir = []string{"NOTIFY_SOCKET=" + socket}, dir
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = node.Process.Kill()
		_ = node.Wait() // killed
	}()
	if err := manager.await("READY=1"); err != nil {
		t.Fatal(err)
	}
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/deepstream", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second)) // a read that fails says so
	if _, word, err := ws.ReadMessage(); err != nil || string(word) != "C\x1fCH\x1e" {
		t.Errorf("the node's first word is %q (%v)", word, err)
	}
}

// The guide moves records of deepstream.io to where a cluster finds them, and nothing else.
func TestGuideRenamesKeys(t *testing.T) {
	m := regexp.MustCompile("(?s)```sh\n(redis-cli .*?)```").FindStringSubmatch(readGuide(t, deepstreamGuide))
	if m == nil {
		t.Fatalf("%s shows no command that renames keys", deepstreamGuide)
	}
	_, port, _ := strings.Cut(startRedis(t), ":")
	cli := "redis-cli -h 127.0.0.1 -p " + port
	run := func(command string) string {
		t.Helper()
		out, err := exec.Command("sh", "-c", command).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	const cluster = "deepstream:cluster:deepstream:"
	run(cli + ` EVAL '
		for i = 1, 5000 do redis.call("MSET", "many/" .. i .. "_v", i, "many/" .. i .. "_d", "{}") end
		redis.call("MSET", "two words\n_v", 7, "two words\n_d", "[1]", "other_v", 1, "dsproxy:pin:a", "b",
			"twice_v", 1, "twice_d", "1", "` + cluster + `twice_v", 2, "` + cluster + `twice_d", "2",
			"deepstream:cluster:games:mine_v", 3, "deepstream:cluster:games:mine_d", "3")
		redis.call("EXPIRE", "many/1_v", 1000)' 0`)
	rename := strings.Replace(m[1], "redis-cli -h 10.0.0.9", cli, 1)
	for _, want := range []string{"5001", "0"} {
		if got := run(rename); got != want {
			t.Errorf("it moves %q records, want %s", got, want)
		}
	}
	for key, want := range map[string]string{
		cluster + "many/5000_v": "5000", cluster + "many/5000_d": "{}", "many/5000_v": "", "many/5000_d": "",
		cluster + "two words\n_v": "7", cluster + "two words\n_d": "[1]", "other_v": "1", "dsproxy:pin:a": "b",
		cluster + "twice_v": "2", cluster + "twice_d": "2", "twice_v": "1", "twice_d": "1",
		"deepstream:cluster:games:mine_v": "3",
	} {
		if got := run(cli + " GET '" + key + "'"); got != want {
			t.Errorf("%q is %q, want %q", key, got, want)
		}
	}
	if ttl := run(cli + " TTL " + cluster + "many/1_v"); strings.HasPrefix(ttl, "-") {
		t.Errorf("a key that was to expire has the time to live %s", ttl)
	}
	if keys := run(cli + " DBSIZE"); keys != "10010" {
		t.Errorf("there are %s keys", keys)
	}
}

// startRedis returns the address of a Redis of the test's own.
func startRedis(t *testing.T) string {
	t.Helper()
	addr := freeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return addr
		}
	}
	t.Fatal("redis-server ended")
	return ""
}

// Configurations that the guides and packages show are accepted by the programs.
func TestShownConfigurationsAreAccepted(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for guide, args := range map[string][]string{
		haproxyGuide:    {"dsproxy", "check", "--config"},
		deepstreamGuide: {"deepstream", "check", "-c"},
	} {
		blocks := block.FindAllStringSubmatch(readGuide(t, guide), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no configuration", guide)
		}
		for _, b := range blocks {
			file := filepath.Join(t.TempDir(), "config.yml")
			if err := os.WriteFile(file, []byte(b[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(program(t, args[0]), args[1], args[2], file).CombinedOutput()
			if err != nil || strings.Contains(string(out), "warning") {
				t.Errorf("%s: %v\n%s", guide, err, out)
			}
		}
	}
}
