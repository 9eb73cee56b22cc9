package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/proxy"
	"github.com/dsproxy/dsproxy/server"
)

// packaged is what the packages of a program put where.
type packaged struct {
	name, config string
	files        map[string]string // mode, user and group, of those of both formats
}

var packages = []packaged{
	{"dsproxy", "/etc/dsproxy/dsproxy.yaml", map[string]string{
		"/usr/share/doc/dsproxy/README.md":             "-rw-r--r-- root root",
		"/usr/share/doc/dsproxy/examples/dsproxy.yaml": "-rw-r--r-- root root",
	}},
	{"deepstream", "/etc/deepstream/config.yml", map[string]string{
		"/usr/share/doc/deepstream/COMPATIBILITY.md":    "-rw-r--r-- root root",
		"/usr/share/doc/deepstream/examples/config.yml": "-rw-r--r-- root root",
	}},
}

func init() {
	for _, p := range packages {
		p.files["/usr/bin/"+p.name] = "-rwxr-xr-x root root"
		p.files["/usr/lib/systemd/system/"+p.name+".service"] = "-rw-r--r-- root root"
		p.files["/etc/"+p.name] = "drwxr-x--- root " + p.name
		p.files[p.config] = "-rw-r----- root " + p.name
		p.files["/etc/default/"+p.name] = "-rw-r----- root root"
		p.files["/usr/share/doc/"+p.name+"/CHANGELOG.md"] = "-rw-r--r-- root root"
	}
}

// packageDirs are where packages were built, by their version. The tests run one
// after another.
var packageDirs = map[string]string{}

// builtPackages builds the packages of a version, once, and returns their folder,
// which lasts as long as the tests.
func builtPackages(t *testing.T, version string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the packages are for Linux")
	}
	if dist := packageDirs[version]; dist != "" {
		return dist
	}
	dist, err := os.MkdirTemp("", "deploy-test-")
	if err != nil {
		t.Fatal(err)
	}
	packageDirs[version] = dist
	build := exec.Command("packages/build.sh", runtime.GOARCH)
	build.Env = append(os.Environ(), "VERSION="+version, "DIST="+dist, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	return dist
}

// format is one of packages, as its tool installs it.
type format struct {
	extension string
	tool      string
	install   []string // and upgrade
	remove    []string
	list      []string // of configuration files, of the package that follows
	licence   string   // where it is, of a program
	// What systemctl is asked for by an install, an upgrade and a removal.
	installed, upgraded, removed string
}

var formats = []format{
	{
		".deb", "dpkg", []string{"dpkg", "--force-depends", "--install"}, []string{"dpkg", "--purge"},
		[]string{"dpkg-query", "--show", "--showformat", "${Conffiles}"}, "/usr/share/doc/PROGRAM/copyright",
		"--system daemon-reload",
		"--system daemon-reload\ntry-restart PROGRAM.service",
		"stop PROGRAM.service\n--system --no-reload disable PROGRAM.service\n--system daemon-reload",
	},
	{
		".rpm", "rpm", []string{"rpm", "--upgrade", "--nodeps", "--force-debian"}, []string{"rpm", "--erase", "--nodeps"},
		[]string{"rpm", "--query", "--configfiles"}, "/usr/share/licenses/PROGRAM/LICENSE",
		"daemon-reload\n--no-reload preset PROGRAM.service",
		"daemon-reload\ndaemon-reload\ntry-restart PROGRAM.service",
		"--no-reload disable --now PROGRAM.service\ndaemon-reload",
	},
}

// TestPackages installs, upgrades and removes the packages in a copy of this
// machine, and runs there what they bring.
func TestPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the packages")
	}
	older, newer := builtPackages(t, "v1.0.0"), builtPackages(t, "v1.0.1-rc.1")
	for _, f := range formats {
		for _, p := range packages {
			t.Run(p.name+f.extension, func(t *testing.T) {
				if _, err := exec.LookPath(f.tool); err != nil {
					t.Skipf("needs %s: %v", f.tool, err)
				}
				s := newSandbox(t)
				for _, path := range []string{"/usr/bin/" + p.name, "/etc/" + p.name} {
					if _, err := os.Stat(path); err == nil {
						t.Skipf("%s is there already, on this machine itself", path)
					}
				}
				m := &machineWithPackages{s, p, f}
				m.pretendSystemd()
				m.install(packageFile(t, older, p.name, f.extension), f.installed)
				m.checkFiles()
				m.checkUnit()
				m.checkProgram("v1.0.0")

				s.run("sh", "-c", "echo '# changed here' >>"+p.config)
				m.install(packageFile(t, newer, p.name, f.extension), f.upgraded)
				if got := s.run("tail", "-n1", p.config); got != "# changed here" {
					t.Errorf("after the upgrade %s ends with %q", p.config, got)
				}
				if got := s.run("/usr/bin/"+p.name, "version"); got != p.name+" v1.0.1-rc.1" {
					t.Errorf("after the upgrade the version is %q", got)
				}
				m.remove()
			})
		}
	}
}

func packageFile(t *testing.T, dist, name, extension string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist, name+"*"+extension))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages %s*%s: %v, %v", name, extension, found, err)
	}
	return found[0]
}

type machineWithPackages struct {
	*sandbox
	packaged
	format
}

// pretendSystemd has the scripts believe that systemd runs, and a systemctl that
// only notes what it is asked for.
func (m *machineWithPackages) pretendSystemd() {
	m.sandbox.run("mkdir", "-p", "/run/systemd/system")
	m.sandbox.run("rm", "-f", "/usr/sbin/policy-rc.d") // that of image builds keeps services from starting
	m.write("/usr/sbin/systemctl", "0755", "#!/bin/sh\necho \"$*\" >>/run/asked\n")
}

// asked returns what systemctl was asked for since the last time.
func (m *machineWithPackages) asked() string {
	return m.sandbox.run("sh", "-c", "cat /run/asked 2>/dev/null; rm -f /run/asked")
}

func (m *machineWithPackages) filled(text string) string {
	return strings.ReplaceAll(text, "PROGRAM", m.name)
}

func (m *machineWithPackages) install(file, wantAsked string) {
	m.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		m.t.Fatal(err)
	}
	inside := "/tmp/" + filepath.Base(file)
	m.write(inside, "0644", string(b))
	m.sandbox.run(append(slices.Clone(m.format.install), inside)...)
	if got, want := m.asked(), m.filled(wantAsked); got != want {
		m.t.Errorf("%s asks systemctl for\n%s\nand not for\n%s", filepath.Base(file), got, want)
	}
}

func (m *machineWithPackages) checkFiles() {
	m.t.Helper()
	files := map[string]string{m.filled(m.licence): "-rw-r--r-- root root"}
	for path, want := range m.files {
		files[path] = want
	}
	for path, want := range files {
		if got := m.sandbox.run("stat", "--format", "%A %U %G", path); got != want {
			m.t.Errorf("%s is %s, not %s", path, got, want)
		}
	}
	configs := m.sandbox.run(append(slices.Clone(m.list), m.name)...)
	for _, path := range []string{m.config, "/etc/default/" + m.name} {
		if !strings.Contains(configs, path) {
			m.t.Errorf("%s is no configuration file of the package: %s", path, configs)
		}
	}
	user := m.sandbox.run("getent", "passwd", m.name)
	if f := strings.Split(user, ":"); f[5] != "/var/lib/"+m.name || f[6] != "/usr/sbin/nologin" {
		m.t.Errorf("the user is %s", user)
	}
	if id, _ := strconv.Atoi(m.sandbox.run("id", "-u", m.name)); id < 1 || id > 999 {
		m.t.Errorf("the user's number is %d, not one of the system's", id)
	}
}

// unitValue is what a unit says of a key; there may be several.
func unitValues(t *testing.T, program, key string) []string {
	t.Helper()
	src, err := os.ReadFile("packages/" + program + ".service")
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, m := range regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(string(src), -1) {
		values = append(values, m[1])
	}
	return values
}

// checkUnit has systemd read the unit where everything that it names is there.
func (m *machineWithPackages) checkUnit() {
	m.t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		m.t.Logf("unit not verified: %v", err)
		return
	}
	if out := m.sandbox.run("systemd-analyze", "verify", "/usr/lib/systemd/system/"+m.name+".service"); out != "" {
		m.t.Errorf("systemd-analyze verify: %s", out)
	}
}

// checkProgram runs the program as the unit does: as its user, with the
// configuration as it was installed.
func (m *machineWithPackages) checkProgram(version string) {
	m.t.Helper()
	as := []string{"setpriv", "--reuid", m.name, "--regid", m.name, "--clear-groups", "--no-new-privs"}
	if got := m.sandbox.run("/usr/bin/"+m.name, "version"); got != m.name+" "+version {
		m.t.Errorf("the version is %q", got)
	}
	flag := map[string]string{"dsproxy": "--config", "deepstream": "-c"}[m.name]
	if got := m.sandbox.run(append(slices.Clone(as), "/usr/bin/"+m.name, "check", flag, m.config)...); !strings.Contains(got, "configuration is valid") {
		m.t.Errorf("check says %s", got)
	}

	manager, socket := newServiceManager(m.t)
	start := unitValues(m.t, m.name, "ExecStart")
	if len(start) != 1 {
		m.t.Fatalf("ExecStart: %q", start)
	}
	env := []string{"NOTIFY_SOCKET=" + socket, "DSPROXY_LISTEN=127.0.0.1:0", "DSPROXY_ADMIN=127.0.0.1:0",
		"DSPROXY_DRAIN_DELAY=0s", "DEEPSTREAM_HOST=127.0.0.1", "DEEPSTREAM_PORT=0", "DEEPSTREAM_ADMIN=127.0.0.1:0"}
	run := m.command(env, append(slices.Clone(as), strings.Fields(start[0])...)...)
	var log strings.Builder
	run.Stderr = &log
	if err := run.Start(); err != nil {
		m.t.Fatal(err)
	}
	if err := manager.await("READY=1"); err != nil {
		_ = run.Process.Kill()
		_ = run.Wait()
		m.t.Fatalf("%s is not ready: %v\n%s", m.name, err, &log)
	}
	_ = run.Process.Signal(os.Interrupt)
	if err := run.Wait(); err != nil {
		m.t.Errorf("%s: %v\n%s", m.name, err, &log)
	}
}

func (m *machineWithPackages) remove() {
	m.t.Helper()
	m.sandbox.run(append(slices.Clone(m.format.remove), m.name)...)
	if got, want := m.asked(), m.filled(m.removed); got != want {
		m.t.Errorf("the removal asks systemctl for\n%s\nand not for\n%s", got, want)
	}
	left := m.sandbox.run("sh", "-c", `for f; do if [ -e "$f" ]; then echo "$f"; fi; done`, "sh",
		"/usr/bin/"+m.name, "/usr/lib/systemd/system/"+m.name+".service", m.config, "/usr/share/doc/"+m.name)
	if left != "" {
		m.t.Errorf("left over: %s", left)
	}
	m.sandbox.run("getent", "passwd", m.name) // stays, see deb.postrm
}

// The units give the programs the time and the files that they may need.
func TestUnitsFitThePrograms(t *testing.T) {
	p, s := proxy.Defaults(), server.Defaults()
	for _, u := range []struct {
		program string
		drain   time.Duration
		files   int
	}{
		{"dsproxy", p.Drain.Delay + p.Drain.Timeout, 2 * p.Limits.Connections},
		{"deepstream", s.DrainTimeout + 10*time.Second, s.MaxConnections},
	} {
		one := func(key string) int {
			t.Helper()
			v := unitValues(t, u.program, key)
			if len(v) != 1 {
				t.Fatalf("%s.service: %s is %q", u.program, key, v)
			}
			n, err := strconv.Atoi(v[0])
			if err != nil {
				t.Fatalf("%s.service: %s: %v", u.program, key, err)
			}
			return n
		}
		if stop := time.Duration(one("TimeoutStopSec")) * time.Second; stop < u.drain+5*time.Second {
			t.Errorf("%s.service: TimeoutStopSec of %s is too short for a drain of %s", u.program, stop, u.drain)
		}
		if n := one("LimitNOFILE"); n < u.files+10_000 {
			t.Errorf("%s.service: LimitNOFILE of %d is too low for %d files of clients", u.program, n, u.files)
		}
		if got := unitValues(t, u.program, "Type"); !slices.Equal(got, []string{"notify"}) {
			t.Errorf("%s.service: Type %q", u.program, got)
		}
		if got := unitValues(t, u.program, "EnvironmentFile"); !slices.Equal(got, []string{"-/etc/default/" + u.program}) {
			t.Errorf("%s.service: EnvironmentFile %q", u.program, got)
		}
	}
	reload := unitValues(t, "dsproxy", "ExecReload")
	if len(reload) != 2 || !strings.HasPrefix(reload[0], "/usr/bin/dsproxy check ") {
		t.Errorf("a reload does not check the configuration first: %q", reload)
	}
}

// The variables that the packages' files speak of are those of the programs.
func TestPackagedVariablesExist(t *testing.T) {
	for _, p := range packages {
		flags := flagsOf(t, p.name)
		for _, file := range []string{"packages/" + p.name + ".default", "packages/" + p.name + "." + filepath.Base(p.config)} {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found := regexp.MustCompile(strings.ToUpper(p.name)+`_([A-Z_]+)`).FindAllStringSubmatch(string(src), -1)
			if len(found) == 0 {
				t.Errorf("%s names no variable", file)
			}
			for _, m := range found {
				if _, ok := flags[strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))]; !ok {
					t.Errorf("%s: %s is no variable of %s", file, m[0], p.name)
				}
			}
		}
	}
}
