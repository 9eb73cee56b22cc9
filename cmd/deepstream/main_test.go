package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
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
	"go.uber.org/goleak"

	"github.com/dsproxy/dsproxy/server/auth"
	"github.com/dsproxy/dsproxy/server/config"
)

// asProgram has the test binary be the command itself.
const asProgram = "DEEPSTREAM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	code := m.Run()
	if code == 0 {
		code = lookForLeaks()
	}
	os.Exit(code)
}

// lookForLeaks looks for goroutines left behind. A question that memberlist had under
// way when it was shut down ends with its time-out, which may take seconds.
func lookForLeaks() int {
	err := goleak.Find()
	for late := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(late); {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// call runs the command in this process.
func call(stdin string, env map[string]string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	p := program{args: args, getenv: func(k string) string { return env[k] },
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}
	code = p.run(context.Background())
	return out.String(), errs.String(), code
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandLine(t *testing.T) {
	bad := writeFile(t, "config.yml", "prot: 1\nrpc: { ackTimeot: 1 }\n")
	f := func(args string, wantCode int, wantOut, wantErr string) {
		t.Helper()
		out, errs, code := call("", nil, strings.Fields(args)...)
		if code != wantCode || !strings.Contains(out, wantOut) || !strings.Contains(errs, wantErr) {
			t.Errorf("deepstream %s: exit code %d, out %q, err %q; want %d, %q, %q", args, code, out, errs, wantCode, wantOut, wantErr)
		}
		if wantErr == "" && errs != "" {
			t.Errorf("deepstream %s says %q", args, errs)
		}
	}
	f("help", 0, "--disable-permissions", "")
	f("--help", 0, "--disable-permissions", "")
	f("start -h", 0, "--disable-permissions", "")
	f("hash --help", 0, "hash a password", "")
	f("version", 0, "deepstream devel", "")
	f("--version", 0, "deepstream devel", "")
	f("stop", 2, "", `unknown command "stop"`)
	f("--prot 1", 2, "", "flag provided but not defined: -prot; deepstream help lists the flags")
	f("start now", 2, "", `unexpected argument "now"`)
	f("--port sixty", 2, "", `--port must be a number up to 65535, not "sixty"`)
	f("--port 70000", 2, "", `--port must be a number`)
	f("--log-level loud", 2, "", "--log-level must be one of debug, info, warn, error and off")
	f("--colors=maybe", 2, "", "must be true or false")
	f("--admin 9120", 2, "", "--admin must be host:port or off")
	f("--admin :65536", 2, "", "--admin must be host:port or off")
	f("--redis cache:65536", 2, "", "--redis: a host is host or host:port, with a port from 1 to 65535")
	f("--join a:b:c", 1, "", "cluster: --join:")
	f("-c /nowhere/config.yml", 1, "", "configuration file not found at: /nowhere/config.yml")
	f("start --config "+bad, 1, "", `config.yml:1: unknown key "prot" in the configuration; did you mean "port"?`)
	f("start --config "+bad, 1, "", `config.yml:2: unknown key "ackTimeot" in rpc; did you mean "ackTimeout"?`)
	f("info -c "+bad, 0, bad, "")
	f("hash -c "+bad+" word", 1, "", "has no auth of type file with the option hash")
}

// TestPrecedence checks flag over environment over file over default, of which no
// command line runs a node.
func TestPrecedence(t *testing.T) {
	file := writeFile(t, "config.yml", "host: file.example\nport: 1111\nlogLevel: ERROR\nadmin: 127.0.0.1:1112\n"+
		"auth: { type: http, options: { endpointUrl: 'http://127.0.0.1/' } }\npermission: { type: config, options: { permissions: {} } }\n")
	open := writeFile(t, "config.yml", "logLevel: OFF\n")
	type env = map[string]string
	f := func(args string, e env, wantAddr, wantAdmin, wantLevel string, wantOpen bool) {
		t.Helper()
		p := program{getenv: func(k string) string { return e[k] }}
		s, err := p.settings(strings.Fields(args))
		if err != nil {
			t.Errorf("settings of %q: %v", args, err)
			return
		}
		c, ok := s.Node.Auth.(auth.Chain)
		isOpen := ok && len(c) == 1 && c[0] == (auth.Open{})
		if s.Node.Addr != wantAddr || s.Node.AdminAddr != wantAdmin || s.Log.Level.String() != wantLevel || isOpen != wantOpen {
			t.Errorf("settings of %q, %v: %s, admin %s, level %s, open %t; want %s, %s, %s, %t", args, e,
				s.Node.Addr, s.Node.AdminAddr, s.Log.Level, isOpen, wantAddr, wantAdmin, wantLevel, wantOpen)
		}
	}
	f("-c "+open, nil, ":6020", "127.0.0.1:9120", config.LevelOff.String(), true)
	f("--disable-permissions -c "+file, nil, "file.example:1111", "127.0.0.1:1112", "ERROR", false)
	f("--disable-permissions --disable-auth --colors false -l lib", env{"DEEPSTREAM_CONFIG": file}, "file.example:1111", "127.0.0.1:1112", "ERROR", true)
	f("", env{"DEEPSTREAM_CONFIG_DIRECTORY": filepath.Dir(file), "DEEPSTREAM_DISABLE_PERMISSIONS": "true", "DEEPSTREAM_PORT": "2222",
		"DEEPSTREAM_HOST": "env.example", "DEEPSTREAM_LOG_LEVEL": "debug", "DEEPSTREAM_ADMIN": "off"}, "env.example:2222", "", "DEBUG", false)
	f("--port 3333 --log-level 2 --admin :1 --host ::1", env{"DEEPSTREAM_CONFIG": file, "DEEPSTREAM_DISABLE_PERMISSIONS": "true", "DEEPSTREAM_PORT": "2222",
		"DEEPSTREAM_HOST": "env.example", "DEEPSTREAM_LOG_LEVEL": "debug", "DEEPSTREAM_ADMIN": "off"}, "[::1]:3333", ":1", "WARN", false)
	f("-c "+open, env{"DEEPSTREAM_PORT": "tcp://10.0.0.1:6020"}, ":6020", "127.0.0.1:9120", config.LevelOff.String(), true)
	f("--host [::1] -c "+open, nil, "[::1]:6020", "127.0.0.1:9120", config.LevelOff.String(), true)

	_, errs, code := call("", env{"DEEPSTREAM_DISABLE_AUTH": "perhaps"}, "start")
	if code != exitUsage || !strings.Contains(errs, `DEEPSTREAM_DISABLE_AUTH must be true or false, not "perhaps"`) {
		t.Errorf("a bad variable ends with code %d and %q", code, errs)
	}
}

func TestHash(t *testing.T) {
	// The users have no hashes yet, and the file names others that are not there.
	file := writeFile(t, "config.yml", `
cache: { name: unknown }
auth:
  - type: none
  - type: file
    options: { users: fileLoad(users.yml), hash: md5, iterations: 100, keyLength: 32 }
`)
	h, err := auth.NewHash("md5", 100, 32)
	if err != nil {
		t.Fatal(err)
	}
	f := func(stdin string, args ...string) {
		t.Helper()
		out, errs, code := call(stdin, nil, append([]string{"hash"}, args...)...)
		hashed, ok := strings.CutPrefix(strings.TrimSuffix(out, "\n"), "Password hash: ")
		if code != 0 || !ok {
			t.Errorf("hash %q: exit code %d, out %q, err %q", args, code, out, errs)
			return
		}
		if want, err := h.Sum("my word", hashed[44:]); err != nil || want != hashed {
			t.Errorf("hash %q printed %q, which is not the hash of the word", args, hashed)
		}
	}
	f("", "-c", file, "my word")
	f("", "my word", "--config", file)
	f("my word\nmore", "-c", file, "-")

	for _, args := range [][]string{{"-c", file}, {"-c", file, ""}, {"-c", file, "-"}} {
		if out, errs, code := call("\n", nil, append([]string{"hash"}, args...)...); code == 0 || errs == "" {
			t.Errorf("hash %q: exit code %d, out %q", args, code, out)
		}
	}
}

func TestInfo(t *testing.T) {
	out, _, code := call("", nil, "info", "-l", "lib")
	var m map[string]any
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	for _, key := range []string{"deepstreamVersion", "ref", "buildTime", "platform", "arch", "goVersion", "libs"} {
		if m[key] == nil {
			t.Errorf("info has no %s: %s", key, out)
		}
	}
}

func TestListenFrom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := map[string]bool{l.Addr().String(): true}
	for range 2 {
		next := listenFrom(l.Addr().String())
		if next == nil {
			t.Fatal("no port is found")
		}
		defer next.Close()
		if at := next.Addr().String(); taken[at] {
			t.Errorf("%s is taken twice", at)
		} else {
			taken[at] = true
		}
	}
}

// node is the command in a process of its own.
type node struct {
	cmd         *exec.Cmd
	log         *bufio.Scanner
	addr, admin string
	said        string // until it was ready
}

var (
	readyLine = regexp.MustCompile(`msg="node is ready".* addr=(\S+)`)
	adminLine = regexp.MustCompile(`msg=administration addr=(\S+)`)
)

func startNode(t *testing.T, args ...string) *node {
	t.Helper()
	n := &node{cmd: exec.Command(os.Args[0], args...)}
	n.cmd.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := n.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // it has ended, if the test passed
		if t.Failed() {
			log, code := n.end()
			t.Logf("a node, which ended with code %d, said\n%s%s", code, n.said, log)
		}
	})
	n.log = bufio.NewScanner(stderr)
	for n.addr == "" && n.log.Scan() {
		n.said += n.log.Text() + "\n"
		if m := readyLine.FindStringSubmatch(n.log.Text()); m != nil {
			n.addr = m[1]
		}
		if m := adminLine.FindStringSubmatch(n.log.Text()); m != nil {
			n.admin = m[1]
		}
	}
	if n.addr == "" {
		t.Fatalf("node did not start: %v\n%s", n.cmd.Wait(), n.said)
	}
	return n
}

// end reads the rest of the log and the exit code.
func (n *node) end() (string, int) {
	var rest strings.Builder
	for n.log.Scan() {
		rest.WriteString(n.log.Text() + "\n")
	}
	_ = n.cmd.Wait() // its exit code says the same
	return rest.String(), n.cmd.ProcessState.ExitCode()
}

func TestStart(t *testing.T) {
	config := writeFile(t, "config.yml", `
serverName: the-node
host: 127.0.0.1
logLevel: INFO
drainTimeout: 5000
redirectUrl: ws://other.example/deepstream
auth:
  - type: file
    options: { users: { ada: { password: secret } } }
connectionEndpoints:
  - type: ws-json
  - type: mqtt
`)
	n := startNode(t, "start", "-c", config, "--port", "0", "--admin", "127.0.0.1:0")

	get := func(url string) (int, string) {
		t.Helper()
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, _ := get("http://" + n.addr + "/health-check"); code != 200 {
		t.Errorf("health check answers %d", code)
	}
	for path, want := range map[string]string{"/healthz": "", "/readyz": "", "/metrics": "deepstream_", "/debug/pprof/goroutine?debug=1": "goroutine profile"} {
		if code, body := get("http://" + n.admin + path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s answers %d %.80q", path, code, body)
		}
	}

	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil { // ends nothing
		t.Fatal(err)
	}
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+n.addr+"/deepstream-json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	exchange := func(send, want string) {
		t.Helper()
		if err := ws.WriteMessage(websocket.TextMessage, []byte(send)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.ReadMessage(); err != nil || string(got) != want {
			t.Fatalf("answer to %s is %s, %v; want %s", send, got, err, want)
		}
	}
	exchange(`{"topic":2,"action":5,"url":"x"}`, `{"topic":2,"action":4}`)
	exchange(`{"topic":3,"action":2,"parsedData":{"username":"ada","password":"wrong"}}`, `{"topic":3,"action":4}`)
	exchange(`{"topic":3,"action":2,"parsedData":{"username":"ada","password":"secret"}}`, `{"topic":3,"action":3}`)

	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := ws.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, last, err := ws.ReadMessage()
	if want := `{"topic":2,"action":7,"url":"ws://other.example/deepstream"}`; err != nil || string(last) != want {
		t.Errorf("the last message of a stopping node is %s, %v; want %s", last, err, want)
	}
	_, _, err = ws.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("a client of a stopping node reads %v, want close code 1001", err)
	}
	ws.Close()
	log, code := n.end()
	if code != 0 || !strings.Contains(log, "msg=stopping signal=terminated") ||
		!strings.Contains(log, "configuration is read at the start only") {
		t.Errorf("node ended with code %d and said\n%s", code, log)
	}
}

// TestLogOfRedis: what the client of Redis says by itself is a line like all others.
func TestLogOfRedis(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody answers there
	n := startNode(t, "-c", writeFile(t, "config.yml", ""), "--host", "127.0.0.1", "--port", "0", "--admin", "off",
		"--redis", l.Addr().String())
	said := false
	for !said && n.log.Scan() {
		if line := n.log.Text(); strings.Contains(line, "failed to dial") {
			said = true
			if !strings.HasPrefix(line, "time=") || !strings.Contains(line, "level=WARN") {
				t.Errorf("the log has the line %q", line)
			}
		}
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if log, code := n.end(); code != 0 || !said {
		t.Errorf("node ended with code %d and said\n%s", code, log)
	}
}

// TestStartSaysWhereRecordsLie: the name of the cluster is in the keys of its nodes, which
// is said where nobody asked for it, and only there.
func TestStartSaysWhereRecordsLie(t *testing.T) {
	const line = "level=INFO msg=\"records lie in Redis behind the prefix of the cluster; cache.options.prefix: \\\"\\\" is the layout of deepstream.io, without one\" prefix="
	for name, c := range map[string]struct{ text, want string }{
		"nothing":        {"", line + "deepstream:cluster:deepstream:\n"},
		"a name":         {"cluster: { name: games }\n", line + "deepstream:cluster:games:\n"},
		"no prefix":      {"cache: { name: redis, options: { prefix: \"\" } }\n", ""},
		"another prefix": {"cache: { name: redis, options: { prefix: \"a:\" } }\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, "-c", writeFile(t, "config.yml", c.text), "--host", "127.0.0.1", "--port", "0", "--admin", "off",
				"--redis", "127.0.0.1:1") // nobody answers there
			if c.want == "" && strings.Contains(n.said, "records lie") || !strings.Contains(n.said, c.want) {
				t.Errorf("the node said\n%s\nwant %q", n.said, c.want)
			}
			if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if log, code := n.end(); code != 0 {
				t.Errorf("node ended with code %d and said\n%s", code, log)
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	empty := writeFile(t, "config.yml", "")
	_, errs, code := call("", nil, "-c", empty, "--host", "127.0.0.1", "--port", port, "--admin", "off")
	if code != exitFailed || !strings.Contains(errs, "address already in use") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}
