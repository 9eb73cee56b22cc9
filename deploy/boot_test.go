package deploy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

const bootPath = "terraform/boot/boot.sh"

// machine is a folder that boot.sh takes for the machine, with commands that only
// note how they were called.
type machine struct {
	t    *testing.T
	root string
}

// fakes stand in for what only a machine on AWS has.
var fakes = map[string]string{
	"aws": `case "$*" in
*get-secret-value*redis*) echo 0123456789abcdefREDIS ;;
*get-secret-value*) echo abcdefghijklmnopqrstuvwxyz012345 ;;
*describe-instances*) printf '10.20.10.5\t10.20.11.6\n' ;;
*change-resource-record-sets*) echo /change/C1 ;;
*cp\ *) for last; do :; done; echo package >"$last" ;;
esac`,
	"curl": `case "$*" in
*api/token*) echo TOKEN ;;
*local-ipv4*) echo 10.20.10.5 ;;
*instance-id*) echo i-0123456789abcdef0 ;;
*availability-zone*) echo eu-central-1a ;;
*target-lifecycle-state*) echo Terminated ;;
*-o*package.rpm*) for a; do [ "${p:-}" != -o ] || echo package >"$a"; p=$a; done ;;
esac`,
	"getent":    `printf '10.20.10.5 STREAM\n10.20.10.5 DGRAM\n'`,
	"install":   `for last; do from=${to:-}; to=$last; done; mkdir -p "${to%/*}"; cp "$from" "$to"`,
	"dnf":       "",
	"systemctl": "",
}

// boot runs user data on a new machine.
func boot(t *testing.T, userData string) *machine {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("boot.sh is written for Amazon Linux's bash and coreutils")
	}
	m := &machine{t, t.TempDir()}
	for name, body := range fakes {
		script := "#!/bin/bash\necho \"" + name + " $*\" >>" + m.root + "/calls\n" + body + "\n"
		m.write("bin/"+name, script, 0o755)
	}
	for _, dir := range []string{"etc/default", "etc/systemd/system", "usr/local/sbin", "root", "run"} {
		if err := os.MkdirAll(filepath.Join(m.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.write("boot", m.moved(userData), 0o755)
	m.run("boot")
	return m
}

// moved puts the paths of a script below the machine's folder.
func (m *machine) moved(script string) string {
	for _, dir := range []string{"/etc/", "/usr/local/sbin", "/root/", "/run/"} {
		script = strings.ReplaceAll(script, dir, m.root+dir)
	}
	return script
}

func (m *machine) write(name, content string, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) start(name string) ([]byte, error) {
	os.Remove(filepath.Join(m.root, "calls"))
	cmd := exec.Command("bash", filepath.Join(m.root, name))
	cmd.Env = []string{"PATH=" + m.root + "/bin:" + os.Getenv("PATH")}
	return cmd.CombinedOutput()
}

// run runs one of the machine's scripts and returns how commands were called.
func (m *machine) run(name string) string {
	m.t.Helper()
	if out, err := m.start(name); err != nil {
		m.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	calls, err := os.ReadFile(filepath.Join(m.root, "calls"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(calls)
}

// fails runs a script that must not succeed and must say why.
func (m *machine) fails(name, why string) {
	m.t.Helper()
	if out, err := m.start(name); err == nil || !strings.Contains(string(out), why) {
		m.t.Errorf("%s: %v, and it does not say %q:\n%s", name, err, why, out)
	}
}

func (m *machine) read(name string) string {
	m.t.Helper()
	src, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(src)
}

// variables reads an environment file as systemd does.
func (m *machine) variables(name string) map[string]string {
	m.t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(m.read(name)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || value == "" {
			m.t.Errorf("%s: %q gives nothing", name, line)
		}
		found[key] = value
	}
	return found
}

// userData renders what Terraform gives a machine.
func userData(t *testing.T, program, config string) string {
	t.Helper()
	m := loadModule(t, terraformDir)
	src, err := os.ReadFile(bootPath)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]cty.Value{}
	for name, value := range map[string]string{
		"program": program, "region": "eu-central-1", "fleet": "deepstream", "group": "deepstream-" + program,
		"hosted_zone": "Z0123456789", "members": "members.deepstream.internal", "redis": "redis.example.org:6379",
		"redis_secret": "arn:aws:secretsmanager:eu-central-1:1:secret:deepstream-redis-1", "gossip_secret": "arn:aws:secretsmanager:eu-central-1:1:secret:deepstream-gossip-1",
		"package": "s3://packages/" + program + ".rpm", "stop_seconds": "90", "config": config,
		"package_sha256": fmt.Sprintf("%x", sha256.Sum256([]byte("package\n"))),
	} {
		vars[name] = cty.StringVal(value)
	}
	return m.render(t, "boot.sh.tftpl", vars) + "\n" + string(src)
}

// proxyConfig and nodeConfig are rendered with the module's defaults.
func proxyConfig(t *testing.T) string {
	m := loadModule(t, terraformDir)
	return m.render(t, "dsproxy.yaml.tftpl", map[string]cty.Value{
		"trust":         cty.StringVal(`["10.20.0.0/24", "10.20.1.0/24"]`),
		"idle":          cty.NumberIntVal(int64(m.local(t, "proxy_idle_timeout"))),
		"drain_delay":   m.scope(t).Variables["var"].GetAttr("drain_delay"),
		"drain_timeout": m.scope(t).Variables["var"].GetAttr("drain_timeout"),
	})
}

func nodeConfig(t *testing.T) string {
	m := loadModule(t, terraformDir)
	return m.render(t, "deepstream.yml.tftpl", map[string]cty.Value{"drain_timeout": m.scope(t).Variables["var"].GetAttr("node_drain_timeout")})
}

func TestBootOfProxy(t *testing.T) {
	m := boot(t, userData(t, "dsproxy", proxyConfig(t)))
	env := m.variables("etc/default/dsproxy")
	for name, want := range map[string]string{
		"DSPROXY_REDIS": "rediss://:0123456789abcdefREDIS@redis.example.org:6379",
		"DSPROXY_JOIN":  "members.deepstream.internal:7946",
		"DSPROXY_ADMIN": "10.20.10.5:9180",
	} {
		if env[name] != want {
			t.Errorf("%s=%s, want %s", name, env[name], want)
		}
	}
	if !regexp.MustCompile(`^[1-9]\d+KiB$`).MatchString(env["GOMEMLIMIT"]) {
		t.Errorf("GOMEMLIMIT=%s, so that the alerts on memory are silent", env["GOMEMLIMIT"])
	}
	info, err := os.Stat(filepath.Join(m.root, "etc/default/dsproxy"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the secrets may be read by others: %v %v", info.Mode(), err)
	}
	check(t, "dsproxy", filepath.Join(m.root, "etc/dsproxy/dsproxy.yaml"), env)
	m.called("systemctl restart --no-block dsproxy.service", "--lifecycle-hook-name boot --lifecycle-action-result CONTINUE --instance-id i-0123456789abcdef0")
	if strings.Contains(m.read("calls"), "cloudformation") {
		t.Error("a stack is told that has none")
	}
}

func TestBootOfNode(t *testing.T) {
	m := boot(t, userData(t, "deepstream", nodeConfig(t)))
	env := m.variables("etc/default/deepstream")
	if env["DEEPSTREAM_NAME"] != "i-0123456789abcdef0" || env["DEEPSTREAM_ZONE"] != "eu-central-1a" || env["DEEPSTREAM_REDIS"] == "" {
		t.Errorf("environment: %v", env)
	}
	check(t, "deepstream", filepath.Join(m.root, "etc/deepstream/config.yml"), env)
	if env["DEEPSTREAM_ADMIN"] != "10.20.10.5:9120" {
		t.Errorf("Prometheus asks at 10.20.10.5:9120, the admin listener is at %q", env["DEEPSTREAM_ADMIN"])
	}
	m.called("curl -fsS -o /dev/null --max-time 5 http://10.20.10.5:9120/readyz")
}

// called checks that commands were called so, in this order.
func (m *machine) called(want ...string) {
	m.t.Helper()
	rest := m.read("calls")
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			m.t.Errorf("no call of %q after the others in:\n%s", w, m.read("calls"))
			return
		}
		rest = after
	}
}

// The packages read the files that boot.sh writes, where it writes them.
func TestBootFitsPackages(t *testing.T) {
	for program, config := range map[string]string{"dsproxy": "/etc/dsproxy/dsproxy.yaml", "deepstream": "/etc/deepstream/config.yml"} {
		unit, err := os.ReadFile("packages/" + program + ".service")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"\nEnvironmentFile=-/etc/default/" + program + "\n", " " + config + "\n", "\nGroup=" + program + "\n"} {
			if !strings.Contains(string(unit), want) {
				t.Errorf("%s.service has no %q", program, want)
			}
		}
	}
}

// URLs that are signed have characters in them that shells have a use for.
func TestBootFromSignedURL(t *testing.T) {
	const url = "https://packages.example.org/dsproxy.rpm?X-Amz-Expires=60&X-Amz-Signature=a(b);c*"
	_, terraforms, _ := strings.Cut(userData(t, "dsproxy", ""), "\nPACKAGE=")
	terraforms, _, _ = strings.Cut(terraforms, "\n")
	settings, _ := templateUserData(t, "ProxyTemplate")
	for where, value := range map[string]string{"boot.sh.tftpl": terraforms, templatePath: settings["PACKAGE"]} {
		value = strings.NewReplacer("s3://packages/dsproxy.rpm", url, "${DsproxyPackage}", url).Replace(value)
		out, err := exec.Command("bash", "-euc", "PACKAGE="+value+"\nprintf %s \"$PACKAGE\"").CombinedOutput()
		if err != nil || string(out) != url {
			t.Errorf("%s: the shell takes PACKAGE=%s for %q, %v", where, value, out, err)
		}
	}
}

func TestBootRefusesAnotherPackage(t *testing.T) {
	m := boot(t, "echo a machine")
	data := regexp.MustCompile(`PACKAGE_SHA256=..`).ReplaceAllString(userData(t, "dsproxy", proxyConfig(t)), "PACKAGE_SHA256=zz")
	m.write("boot", m.moved(data), 0o755)
	m.fails("boot", "has another SHA-256")
	if strings.Contains(m.read("calls"), "dnf") {
		t.Error("dnf was called")
	}
}

// A machine that cannot be set up says so on its console, and to its stack if it has
// one; it never tells its group that it is ready.
func TestBootSaysWhatFails(t *testing.T) {
	data := userData(t, "dsproxy", proxyConfig(t))
	for stack, told := range map[string]bool{"": false, "\nSTACK=fleet\nSTACK_RESOURCE=Proxies": true} {
		m := boot(t, "echo a machine")
		m.write("bin/dnf", "#!/bin/bash\nexit 1\n", 0o755)
		m.write("boot", m.moved(strings.Replace(data, "\nSTOP_SECONDS=90", "\nSTOP_SECONDS=90"+stack, 1)), 0o755)
		m.fails("boot", "fleet: dsproxy is not set up: \"dnf install -y")
		calls := m.read("calls")
		if got := strings.Contains(calls, "signal-resource --region eu-central-1 --stack-name fleet --logical-resource-id Proxies --unique-id i-0123456789abcdef0 --status FAILURE"); got != told {
			t.Errorf("stack %q: told: %t\n%s", stack, got, calls)
		}
		if strings.Contains(calls, "complete-lifecycle-action") {
			t.Errorf("the group is told that the machine is ready:\n%s", calls)
		}
	}
}

// The record is set from EC2's list, waited for the first time, and then left alone
// while it is right.
func TestMembersRecord(t *testing.T) {
	m := boot(t, userData(t, "dsproxy", proxyConfig(t)))
	calls := m.run("usr/local/sbin/fleet-members")
	_, batch, ok := strings.Cut(calls, "--change-batch ")
	batch, _, _ = strings.Cut(batch, "\n")
	var change struct {
		Changes []struct {
			Action            string
			ResourceRecordSet struct {
				Name, Type      string
				TTL             int
				ResourceRecords []struct{ Value string }
			}
		}
	}
	if err := json.Unmarshal([]byte(batch), &change); !ok || err != nil {
		t.Fatalf("%v in %q", err, calls)
	}
	r := change.Changes[0].ResourceRecordSet
	if r.Name != "members.deepstream.internal" || len(r.ResourceRecords) != 2 || r.ResourceRecords[1].Value != "10.20.11.6" {
		t.Errorf("record %+v", r)
	}
	m.called("route53 wait resource-record-sets-changed --id /change/C1")
	if strings.Contains(calls, "getent") {
		t.Error("looked up before it was set")
	}

	again := m.run("usr/local/sbin/fleet-members")
	if !strings.Contains(again, "change-resource-record-sets") || strings.Contains(again, "route53 wait") {
		t.Errorf("the record lacks a member:\n%s", again)
	}
	m.write("bin/getent", "#!/bin/bash\nprintf '10.20.11.6 STREAM\\n10.20.10.5 STREAM\\n'\n", 0o755)
	if still := m.run("usr/local/sbin/fleet-members"); strings.Contains(still, "route53") {
		t.Errorf("set again though it is right:\n%s", still)
	}
}

// A machine that is to go stops the program, which drains, before the group goes on.
func TestLifecycleDrains(t *testing.T) {
	m := boot(t, userData(t, "dsproxy", proxyConfig(t)))
	m.run("usr/local/sbin/fleet-lifecycle")
	m.called("systemctl stop dsproxy.service", "--lifecycle-hook-name drain --lifecycle-action-result CONTINUE")
}

// Without Secrets Manager a program starts again with what it had; a first start fails.
func TestSecretsAway(t *testing.T) {
	m := boot(t, userData(t, "dsproxy", proxyConfig(t)))
	before := m.read("etc/default/dsproxy")
	m.write("bin/aws", "#!/bin/bash\nexit 1\n", 0o755)
	m.run("usr/local/sbin/fleet-environment")
	if m.read("etc/default/dsproxy") != before {
		t.Error("the variables have changed")
	}
	m.write("etc/default/dsproxy", "# as the package has it\n", 0o600)
	m.fails("usr/local/sbin/fleet-environment", "secrets cannot be read")
}

// TestBootUnderSystemd sets a node's machine up with a systemd that is real, but for
// AWS: its units come up in order, and it drains when it is to go.
func TestBootUnderSystemd(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the packages")
	}
	m := newMachineWithSystemd(t)
	deb, err := os.ReadFile(packageFile(t, builtPackages(t, "v1.0.0"), "deepstream", ".deb"))
	if err != nil {
		t.Fatal(err)
	}
	m.write("/var/tmp/deepstream.deb", "0644", string(deb))
	for name, body := range map[string]string{
		"aws": fakes["aws"],
		"curl": `case "$*" in
*readyz*) exec /usr/bin/curl "$@" ;;
*target-lifecycle-state*) cat /run/state; exit ;;
esac
` + fakes["curl"],
		"dnf": "dpkg --force-depends --install /var/tmp/deepstream.deb",
	} {
		m.write("/usr/local/bin/"+name, "0755", "#!/bin/bash\necho \""+name+" $*\" >>/var/tmp/calls\n"+body+"\n")
	}
	m.must("sh", "-c", "ip address add 10.20.10.5 dev lo; echo InService >/run/state")
	m.write("/var/tmp/boot", "0755", userData(t, "deepstream", nodeConfig(t)))
	m.must("bash", "/var/tmp/boot")

	for _, unit := range []string{"deepstream.service", "fleet-members.timer", "fleet-lifecycle.service"} {
		if state, enabled := m.property(unit, "ActiveState"), m.must("systemctl", "is-enabled", unit); state != "active" || enabled != "enabled" {
			t.Errorf("%s is %s and %s", unit, state, enabled)
		}
	}
	m.await("the members' record is set before the node starts", func() bool {
		return m.property("fleet-members.service", "Result") == "success" && m.must("ls", "/run/fleet-members") != ""
	})
	pid := m.property("deepstream.service", "MainPID")
	env := m.must("sh", "-c", "tr '\\0' '\\n' </proc/"+pid+"/environ")
	for _, want := range []string{"DEEPSTREAM_GOSSIP_KEY=abcdefghijklmnopqrstuvwxyz012345", "DEEPSTREAM_NAME=i-0123456789abcdef0", "DEEPSTREAM_ADVERTISE=10.20.10.5:7946"} {
		if !strings.Contains(env, want) {
			t.Errorf("the node has no %s in\n%s", want, env)
		}
	}
	if got := m.property("deepstream.service", "TimeoutStopUSec"); got != "1min 30s" {
		t.Errorf("the node is killed after %s", got)
	}
	if calls := m.must("cat", "/var/tmp/calls"); !strings.Contains(calls, "--lifecycle-hook-name boot --lifecycle-action-result CONTINUE") {
		t.Errorf("the group is not told that the machine is ready:\n%s", calls)
	}

	m.must("sh", "-c", "echo Terminated >/run/state")
	m.await("the group is told that the node has drained", func() bool {
		return strings.Contains(m.must("cat", "/var/tmp/calls"), "--lifecycle-hook-name drain --lifecycle-action-result CONTINUE")
	})
	if state := m.property("deepstream.service", "ActiveState"); state != "inactive" {
		t.Errorf("the group is told that it has drained, and it is %s", state)
	}
}
