package deploy

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// sandbox is this machine as it would be if what happens in it had happened: an
// overlay over /, in a mount namespace of its own, that vanishes with the test.
type sandbox struct {
	t    *testing.T
	root string // as seen in the namespace
	pid  string // of a process in it
}

// enter makes in the namespace what $1, an empty folder, is to hold, and stays
// there until standard input ends.
const enter = `set -e
mount -t tmpfs sandbox "$1"
mkdir "$1/changed" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changed,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs run "$1/root/run"
mount -t tmpfs tmp -o mode=1777 "$1/root/tmp"
echo ready
read -r end || :`

// newSandbox skips the test where there can be none.
func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for a mount namespace with an overlay over /")
	}
	for _, tool := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	dir, err := os.MkdirTemp("", "sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	keeper := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", enter, "sh", dir)
	var errs bytes.Buffer
	keeper.Stderr = &errs
	stdin, err := keeper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = keeper.Wait() // it has read to the end
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		_, _ = io.Copy(io.Discard, stdout)
		t.Skipf("no overlay over / can be had here: %s", errs.String())
	}
	return &sandbox{t, filepath.Join(dir, "root"), strconv.Itoa(keeper.Process.Pid)}
}

// command runs in the sandbox, as root, with a plain environment and variables
// beside it.
func (s *sandbox) command(env []string, args ...string) *exec.Cmd {
	in := []string{"--mount=/proc/" + s.pid + "/ns/mnt", "chroot", s.root, "env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	return exec.Command("nsenter", append(append(in, env...), args...)...)
}

// run runs a command that has to succeed and returns what it says.
func (s *sandbox) run(args ...string) string {
	s.t.Helper()
	out, err := s.command(nil, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// bring copies what may lie in a folder that is hidden in the sandbox.
func (s *sandbox) bring(from, to string) {
	s.t.Helper()
	here, err := filepath.Abs(from)
	if err != nil {
		s.t.Fatal(err)
	}
	cp := exec.Command("nsenter", "--mount=/proc/"+s.pid+"/ns/mnt", "cp", "-rL", here, s.root+to)
	if out, err := cp.CombinedOutput(); err != nil {
		s.t.Fatalf("copy %s: %v\n%s", from, err, out)
	}
}

// write puts a file into the sandbox.
func (s *sandbox) write(path, mode, content string) {
	s.t.Helper()
	cmd := s.command(nil, "sh", "-ec", `mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"`, "sh", path, mode)
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("write %s: %v\n%s", path, err, out)
	}
}
