package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bootSystemd starts systemd in the sandbox at $1, whose process 1 it is, with a
// network, /dev and cgroups, named $2, of its own, until standard input ends. It cannot
// touch the machine's sysctls.
const bootSystemd = `set -e
for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
	if [ -w "$top/cgroup.procs" ] && mkdir "$top/$2"; then
		echo $$ >"$top/$2/cgroup.procs" || rmdir "$top/$2"
	fi
done 2>/dev/null
unshare --cgroup --pid --fork --kill-child --mount --uts --ipc --net sh -ec '
cd "$1"
hostname sandbox
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sys sys
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
	mount -t cgroup2 cgroup sys/fs/cgroup
else
	mount -t tmpfs cgroup sys/fs/cgroup
	mkdir sys/fs/cgroup/systemd
	mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mount -t tmpfs dev dev
for file in null zero full random urandom tty; do
	: >dev/$file
	mount --bind /dev/$file dev/$file
done
mkdir dev/shm dev/pts dev/mqueue
mount -t devpts -o newinstance,ptmxmode=666 pts dev/pts
ln -s pts/ptmx dev/ptmx
ip link set lo up
exec env -i container=sandbox PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --system --unit=sandbox.target
' sh "$1" &
read -r end || :
pkill -KILL --parent $! || :
wait $! || :`

// machineWithSystemd is a sandbox that systemd runs.
type machineWithSystemd struct {
	*sandbox
	init string // process 1, by its number outside
}

// newMachineWithSystemd skips the test where there can be none. A machine that is
// run by systemd itself is left alone.
func newMachineWithSystemd(t *testing.T) *machineWithSystemd {
	t.Helper()
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs this machine; a second one might take its cgroups")
	}
	for _, tool := range []string{"/lib/systemd/systemd", "ip", "pgrep", "pkill", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	s := newSandbox(t)
	// Nothing of this machine is started but what the units under test ask for.
	s.write("/etc/systemd/system/sandbox.target", "0644", "[Unit]\nDescription=nothing\n")
	s.run("sh", "-c", "rm -f /usr/sbin/policy-rc.d; mkdir -p /var/log/journal")

	name := "deploy-test-" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() { // all are empty by now
		_ = exec.Command("find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*/"+name+"*", "-exec", "rmdir", "{}", "+").Run()
	})
	boot := exec.Command("nsenter", "--mount=/proc/"+s.pid+"/ns/mnt", "sh", "-c", bootSystemd, "sh", s.root, name)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	boot.Stdout, boot.Stderr = log, log
	stdin, err := boot.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := boot.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = boot.Wait() // systemd was killed
	})
	m := &machineWithSystemd{sandbox: s}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); ; {
		if m.init = childOf(childOf(strconv.Itoa(boot.Process.Pid))); m.init != "" {
			if out, _ := m.in("systemctl", "is-active", "sandbox.target"); out == "active" {
				return m
			}
		}
		select {
		case <-tick.C:
		case <-late:
			said, _ := os.ReadFile(log.Name())
			t.Skipf("systemd does not start here: %s", said)
		}
	}
}

// childOf is the only child of a process; "" if there is none yet.
func childOf(pid string) string {
	if pid == "" {
		return ""
	}
	out, _ := exec.Command("pgrep", "--parent", pid).Output() // fails if there is none
	return strings.TrimSpace(string(out))
}

// in runs a command on the machine.
func (m *machineWithSystemd) in(args ...string) (string, error) {
	cmd := exec.Command("nsenter", append([]string{"--target", m.init, "--mount", "--pid", "--uts", "--ipc", "--net", "--root", "--wd",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, args...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// must runs a command that has to succeed.
func (m *machineWithSystemd) must(args ...string) string {
	m.t.Helper()
	out, err := m.in(args...)
	if err != nil {
		journal, _ := m.in("journalctl", "--no-pager", "-n", "40")
		m.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, journal)
	}
	return out
}

// property is one that systemd has of a unit.
func (m *machineWithSystemd) property(unit, name string) string {
	m.t.Helper()
	return m.must("systemctl", "show", "--value", "-p", name, unit)
}

func (m *machineWithSystemd) await(what string, holds func() bool) {
	m.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			m.t.Fatalf("still not: %s\n%s", what, m.must("journalctl", "--no-pager", "-n", "40"))
		}
	}
}

// TestUnitsUnderSystemd installs both packages on a machine that systemd runs, and
// has it start, reload, restart, upgrade and stop what they bring.
func TestUnitsUnderSystemd(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the packages")
	}
	m := newMachineWithSystemd(t)
	older, newer := builtPackages(t, "v1.0.0"), builtPackages(t, "v1.0.1-rc.1")
	install := func(dist string) {
		t.Helper()
		for _, p := range packages {
			from := packageFile(t, dist, p.name, ".deb")
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			m.write("/var/tmp/"+p.name+".deb", "0644", string(b))
			m.must("dpkg", "--force-depends", "--install", "/var/tmp/"+p.name+".deb")
		}
	}
	install(older)
	for _, p := range slices.Backward(packages) { // the node first, or the proxy would not be ready
		if got, _ := m.in("systemctl", "is-active", p.name); got != "inactive" {
			t.Errorf("a first install has started %s: %s", p.name, got)
		}
		m.must("systemctl", "enable", "--now", p.name) // returns when it is ready
		if got := m.property(p.name, "StatusText"); !strings.HasPrefix(got, "serving 0 ") {
			t.Errorf("%s says that it is %q", p.name, got)
		}
		m.must(p.name, "healthcheck", "--ready")
		if got := m.must("stat", "--format", "%U", "/proc/"+m.property(p.name, "MainPID")); got != p.name {
			t.Errorf("%s runs as %s", p.name, got)
		}
	}
	if got := m.must("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/health-check"); got != "200" {
		t.Errorf("a node behind the proxy answers %s", got)
	}

	m.must("sh", "-c", "cp -p /etc/dsproxy/dsproxy.yaml /tmp/good; echo 'log: {level: debug}' >>/etc/dsproxy/dsproxy.yaml")
	m.must("systemctl", "reload", "dsproxy")
	before := m.property("dsproxy", "MainPID")
	m.must("sh", "-c", "echo 'nonsense: 1' >>/etc/dsproxy/dsproxy.yaml")
	if out, err := m.in("systemctl", "reload", "dsproxy"); err == nil {
		t.Errorf("a configuration that would be refused is taken over: %s", out)
	}
	if got := m.property("dsproxy", "MainPID"); got != before || m.property("dsproxy", "ActiveState") != "active" {
		t.Errorf("a reload that fails ends the proxy: process %s, was %s", got, before)
	}
	m.must("sh", "-c", "cp -p /tmp/good /etc/dsproxy/dsproxy.yaml; echo DSPROXY_LISTEN=:80 >>/etc/default/dsproxy")

	m.must("systemctl", "kill", "-s", "KILL", "dsproxy")
	m.await("a killed proxy is back, at a port below 1024", func() bool {
		got, _ := m.in("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/health-check")
		return got == "200"
	})

	was := map[string]string{}
	for _, p := range packages {
		was[p.name] = m.property(p.name, "MainPID")
	}
	install(newer)
	for _, p := range packages {
		if got := m.property(p.name, "MainPID"); got == was[p.name] || got == "0" {
			t.Errorf("%s was not restarted by its upgrade: process %s", p.name, got)
		}
		if got := m.must(p.name, "version"); got != p.name+" v1.0.1-rc.1" {
			t.Errorf("after the upgrade the version is %q", got)
		}
	}
	if got := m.must("tail", "-n1", "/etc/default/dsproxy"); got != "DSPROXY_LISTEN=:80" {
		t.Errorf("after the upgrade the variables end with %q", got)
	}

	for _, p := range packages {
		m.must("dpkg", "--purge", p.name)
		if got, _ := m.in("pgrep", "-x", p.name); got != "" {
			t.Errorf("%s still runs after its removal", p.name)
		}
		if got, _ := m.in("systemctl", "is-enabled", p.name); strings.HasPrefix(got, "enabled") {
			t.Errorf("%s is still started at boot after its removal", p.name)
		}
	}
}
