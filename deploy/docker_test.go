package deploy

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const dockerfilePath = "docker/Dockerfile"

// TestImages does what docker would do with the Dockerfile, in a copy of this
// machine in the place of its first image, and runs what comes of it as the image's
// user in a root directory that holds nothing else.
func TestImages(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the programs")
	}
	stages := readDockerfile(t, dockerfilePath)
	if len(stages) != 3 || stages[0].name != "build" || !strings.HasPrefix(stages[0].from, "golang:"+goOfModule(t)) {
		t.Fatalf("stages %+v", stages)
	}
	s := newSandbox(t)
	b := &imageBuild{s, ignored(t, dockerfilePath+".dockerignore"), map[string]string{
		"TARGETARCH": runtime.GOARCH, "VERSION": "v1.2.3", "REVISION": "0123abc"}, "/", nil}
	b.build(&stages[0])
	for _, image := range stages[1:] {
		t.Run(image.name, func(t *testing.T) {
			b.sandbox.t = t
			b.assemble(&image)
		})
	}
}

// goOfModule is the Go version of go.mod, without its patch.
func goOfModule(t *testing.T) string {
	t.Helper()
	src, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(src))
	if m == nil {
		t.Fatal("go.mod names no version of Go")
	}
	return m[1]
}

// imageBuild carries out the steps of a Dockerfile.
type imageBuild struct {
	*sandbox
	ignored func(file string) bool
	args    map[string]string
	dir     string // WORKDIR
	env     []string
}

func (b *imageBuild) build(s *stage) {
	b.t.Helper()
	goRoot, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		b.t.Fatal(err)
	}
	is := strings.Fields(string(goRoot))
	b.env = []string{"PATH=" + is[0] + "/bin:/usr/bin:/bin", "HOME=/root", "GOMODCACHE=" + is[1], "GOCACHE=" + is[2], "GOFLAGS=-mod=readonly"}
	for _, name := range []string{"GOPROXY", "GONOSUMDB", "GOSUMDB", "GOTOOLCHAIN"} { // how this machine gets modules
		if v := os.Getenv(name); v != "" {
			b.env = append(b.env, name+"="+v)
		}
	}
	for _, x := range s.steps {
		switch x.instruction {
		case "WORKDIR":
			b.dir = x.text
			b.sandbox.run("mkdir", "-p", b.dir)
		case "ENV":
			b.env = append(b.env, x.words()...)
		case "ARG":
			name, value, _ := strings.Cut(x.text, "=")
			if _, given := b.args[name]; !given {
				b.args[name] = value
			}
		case "COPY":
			b.copyContext(x)
		case "RUN":
			env := slices.Clone(b.env)
			for name, value := range b.args {
				env = append(env, name+"="+value)
			}
			run := b.command(env, "sh", "-ec", "cd "+b.dir+"; "+x.text)
			if out, err := run.CombinedOutput(); err != nil {
				b.t.Fatalf("RUN %s: %v\n%s", x.text, err, out)
			}
		default:
			b.t.Fatalf("stage %s: %s is not looked for there", s.name, x.instruction)
		}
	}
}

// copyContext copies from this repository what .dockerignore leaves.
func (b *imageBuild) copyContext(x step) {
	b.t.Helper()
	words := x.words()
	from, to := words[:len(words)-1], words[len(words)-1]
	var files []string
	for _, source := range from {
		before := len(files)
		err := fs.WalkDir(os.DirFS(".."), source, func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case b.ignored(file):
				if d.IsDir() {
					return fs.SkipDir
				}
			case d.Type().IsRegular():
				files = append(files, file)
			}
			return nil
		})
		if err != nil || len(files) == before {
			b.t.Fatalf("COPY %s: nothing of %s is in the build's context (%v)", x.text, source, err)
		}
	}
	if len(from) == 1 && to != from[0] && to != "./" {
		b.t.Fatalf("COPY %s: one that renames is not looked for here", x.text)
	}
	tar := exec.Command("tar", append([]string{"-C", "..", "-cf", "-"}, files...)...)
	untar := b.command(nil, "tar", "-C", b.dir, "-xf", "-")
	pipe, err := tar.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	untar.Stdin = pipe
	if err := tar.Start(); err != nil {
		b.t.Fatal(err)
	}
	out, err := untar.CombinedOutput()
	if waitErr := tar.Wait(); err != nil || waitErr != nil {
		b.t.Fatalf("COPY %s: %v, %v\n%s", x.text, err, waitErr, out)
	}
}

// assemble makes the root of an image that begins with nothing, and runs it.
func (b *imageBuild) assemble(s *stage) {
	t := b.t
	if s.from != "scratch" {
		t.Fatalf("image %s begins with %s", s.name, s.from)
	}
	root := "/tmp/image-" + s.name
	b.sandbox.run("mkdir", root)
	for _, x := range s.steps {
		if x.instruction != "COPY" {
			continue
		}
		words := x.words()
		from, to := words[0], words[1]
		b.sandbox.run("mkdir", "-p", root+path.Dir(to))
		if x.flags["from"] == "" {
			if b.ignored(from) {
				t.Errorf("COPY %s: it is not in the build's context", x.text)
			}
			b.sandbox.bring(filepath.Join("..", from), root+to)
		} else {
			b.sandbox.run("cp", "-rL", from, root+to)
		}
		if owner := x.flags["chown"]; owner != "" {
			b.sandbox.run("chown", "-R", owner, root+to)
		}
	}
	user := s.only(t, "USER").text
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Fatalf("USER %s: must be numbers, and not root's, for a runtime to see that it is not root", user)
	}
	entry := s.only(t, "ENTRYPOINT").list(t)
	inside := func(env []string, args ...string) *exec.Cmd {
		return b.command(env, append([]string{"chroot", "--userspec=" + user, root}, args...)...)
	}
	if out, err := inside(nil, append(slices.Clone(entry), "version")...).CombinedOutput(); err != nil || string(out) != s.name+" v1.2.3\n" {
		t.Errorf("version of the image: %v, %s", err, out)
	}
	b.checkRuns(s, inside, entry)
}

// checkRuns starts the program as a container does, and asks for its health as the
// image says.
func (b *imageBuild) checkRuns(s *stage, inside func(env []string, args ...string) *exec.Cmd, entry []string) {
	t := b.t
	manager, socket := newServiceManager(t)
	admin := freeAddr(t)
	env := []string{"NOTIFY_SOCKET=" + socket, "DSPROXY_LISTEN=127.0.0.1:0", "DSPROXY_BACKENDS=127.0.0.1:1", "DSPROXY_DRAIN_DELAY=0s",
		"DEEPSTREAM_HOST=127.0.0.1", "DEEPSTREAM_PORT=0", "DSPROXY_ADMIN=" + admin, "DEEPSTREAM_ADMIN=" + admin}
	container := inside(env, entry...)
	var log strings.Builder
	container.Stderr = &log
	if err := container.Start(); err != nil {
		t.Fatal(err)
	}
	err := manager.await("READY=1")
	if err == nil {
		health := s.only(t, "HEALTHCHECK")
		_, command, ok := strings.Cut(health.text, "CMD ")
		if !ok {
			t.Errorf("HEALTHCHECK %s: no command", health.text)
		}
		args := step{instruction: "HEALTHCHECK", text: command}.list(t)
		if out, err := inside(env, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	if s.only(t, "STOPSIGNAL").text != "SIGTERM" {
		t.Error("STOPSIGNAL is not the signal that drains")
	}
	_ = container.Process.Signal(os.Interrupt) // which nsenter, chroot and env have become
	if waitErr := container.Wait(); err != nil || waitErr != nil {
		t.Errorf("the container: %v, %v\n%s", err, waitErr, &log)
	}
}

// The images open the ports that the programs listen on by default.
func TestImagePorts(t *testing.T) {
	for _, s := range readDockerfile(t, dockerfilePath)[1:] {
		want := map[string]string{"dsproxy": "8080 9180 7946/tcp 7946/udp", "deepstream": "6020 9120 7946/tcp 7946/udp"}[s.name]
		if got := s.only(t, "EXPOSE").text; got != want {
			t.Errorf("image %s exposes %s, not %s", s.name, got, want)
		}
		title := fmt.Sprintf(`org.opencontainers.image.title=%q`, s.name)
		if label := s.only(t, "LABEL"); !strings.Contains(label.text, title) {
			t.Errorf("image %s has the label %s", s.name, label.text)
		}
	}
}
