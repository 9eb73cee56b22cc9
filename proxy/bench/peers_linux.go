package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// peer is one of the proxies compared.
type peer struct {
	name     string // as in -only
	label    string // as in the tables
	binary   string // path of the program, "" when a package is missing
	version  string
	orphaned syscall.Signal
	// args writes the configuration files and returns the command line.
	args func(setup) ([]string, error)
}

// findPeers finds or builds the chosen proxies; builds go to dir.
func findPeers(ctx context.Context, o options, dir string) ([]peer, error) {
	var peers []peer
	var missing []string
	for _, name := range o.only {
		var p peer
		var err error
		switch name {
		case "dsproxy":
			p, err = dsproxyPeer(ctx, o, dir)
		case "httputil":
			p, err = httputilPeer(ctx, dir)
		case "nginx":
			p, err = nginxPeer(ctx)
		case "haproxy":
			p, err = haproxyPeer(ctx)
		}
		if err != nil {
			return nil, err
		}
		if p.binary == "" {
			missing = append(missing, name)
		}
		peers = append(peers, p)
	}
	if len(missing) > 0 {
		return nil, missingError(missing, o.only)
	}
	return peers, nil
}

func missingError(missing, only []string) error {
	list := strings.Join(missing, " ")
	var rest []string
	for _, name := range only {
		if !strings.Contains(" "+list+" ", " "+name+" ") {
			rest = append(rest, name)
		}
	}
	hint := ""
	if len(rest) > 0 {
		hint = fmt.Sprintf(", or leave out what is missing with -only %s", strings.Join(rest, ","))
	}
	return fmt.Errorf("not installed: %s\nInstall with\n\tsudo apt-get install -y %s\n(the services these packages start can be stopped, the benchmark runs its own)%s", list, list, hint)
}

func dsproxyPeer(ctx context.Context, o options, dir string) (peer, error) {
	p := peer{name: "dsproxy", label: "dsproxy", binary: o.dsproxy, orphaned: syscall.SIGKILL}
	if p.binary == "" {
		p.binary = filepath.Join(dir, "dsproxy-under-test")
		if err := build(ctx, p.binary, "github.com/dsproxy/dsproxy/cmd/dsproxy"); err != nil {
			return p, err
		}
	}
	p.version = firstVersion(ctx, p.binary, "version")
	p.args = func(s setup) ([]string, error) {
		return []string{
			"--listen", s.listen, "--backends", strings.Join(s.backends, ","),
			"--admin", s.admin, "--log-level", "error",
		}, nil
	}
	return p, nil
}

func httputilPeer(ctx context.Context, dir string) (peer, error) {
	p := peer{name: "httputil", label: "httputil", binary: filepath.Join(dir, "peer-under-test"), orphaned: syscall.SIGKILL}
	p.args = func(s setup) ([]string, error) {
		return []string{"-listen", s.listen, "-backends", strings.Join(s.backends, ",")}, nil
	}
	return p, build(ctx, p.binary, "github.com/dsproxy/dsproxy/proxy/bench/peer")
}

func nginxPeer(ctx context.Context) (peer, error) {
	// Told to go fast, the master takes its workers with it.
	p := peer{name: "nginx", label: "nginx", binary: look("nginx"), orphaned: syscall.SIGTERM}
	p.version = firstVersion(ctx, p.binary, "-v")
	p.args = func(s setup) ([]string, error) {
		file, err := writeConfig(s.dir, "nginx.conf", nginxConfig(s))
		return []string{"-c", file, "-p", s.dir, "-e", "stderr"}, err
	}
	return p, nil
}

func haproxyPeer(ctx context.Context) (peer, error) {
	p := peer{name: "haproxy", label: "HAProxy", binary: look("haproxy"), orphaned: syscall.SIGKILL}
	p.version = firstVersion(ctx, p.binary, "-v")
	p.args = func(s setup) ([]string, error) {
		file, err := writeConfig(s.dir, "haproxy.cfg", haproxyConfig(s))
		return []string{"-db", "-f", file}, err
	}
	return p, nil
}

// look finds a program also where Debian puts servers, which is not in every
// user's PATH; "" if there is none.
func look(name string) string {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	return ""
}

func build(ctx context.Context, to, pkg string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", to, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s (run this inside the source tree): %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	return nil
}

func writeConfig(dir, name, text string) (string, error) {
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return file, nil
}

var versionNumber = regexp.MustCompile(`\d+\.\d+[-+.~\w]*`)

// firstVersion is the first version number a program prints, "" if none.
func firstVersion(ctx context.Context, binary, arg string) string {
	if binary == "" {
		return ""
	}
	out, err := exec.CommandContext(ctx, binary, arg).CombinedOutput()
	if err != nil {
		return ""
	}
	return versionNumber.FindString(string(out))
}
