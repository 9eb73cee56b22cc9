package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"
)

// Benchmarks run what they measure in a process of its own, so that its
// processor time and memory are its own too. The process joins every
// connection it accepts to one that it dials.

const (
	childEnv   = "TUNNEL_TEST_RELAY"   // the competitor to be
	backendEnv = "TUNNEL_TEST_BACKEND" // the address to dial
)

// competitor is one way to join two connections.
type competitor struct {
	name  string
	tls   bool
	files int // a tunnel
	join  func() func(c, s net.Conn)
}

func competitors() []competitor {
	cs := []competitor{{"copy", false, 6, byCopy}, {"copy-tls", true, 2, byCopy}}
	for _, p := range paths() {
		cs = append(cs, competitor{p.name, p.tls, 2, func() func(c, s net.Conn) {
			r, err := NewRelay(Config{Portable: p.portable})
			if err != nil {
				log.Fatal(err)
			}
			return byRelay(r)
		}})
	}
	return append(cs, otherLoops()...)
}

func byRelay(r *Relay) func(c, s net.Conn) {
	return func(c, s net.Conn) {
		if _, err := r.Start(c, s, nil, nil, Options{IdleTimeout: time.Hour}, nil); err != nil {
			log.Print(err)
		}
	}
}

// byCopy is what most proxies do. Between two sockets each direction has a pipe
// to splice through.
func byCopy() func(c, s net.Conn) {
	return func(c, s net.Conn) {
		one := func(dst, src net.Conn) {
			io.Copy(dst, src)
			dst.(interface{ CloseWrite() error }).CloseWrite()
		}
		go func() {
			done := make(chan struct{})
			go func() { one(c, s); close(done) }()
			one(s, c)
			<-done
			c.Close()
			s.Close()
		}()
	}
}

// usage is what a process has used so far.
type usage struct {
	CPU time.Duration
	RSS int64 // bytes, after a collection; 0 where /proc is not
}

func relayProcess(name string) {
	log.SetFlags(0)
	raiseFileLimit()
	var c competitor
	for _, c = range competitors() {
		if c.name == name {
			break
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	join := c.join()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				if c.tls {
					in = tls.Server(in, &tls.Config{Certificates: []tls.Certificate{testCert()}})
				}
				out, err := net.Dial("tcp", os.Getenv(backendEnv))
				if err != nil {
					log.Fatal(err)
				}
				join(in, out)
			}()
		}
	}()
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u usage
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			log.Fatal(err)
		}
		u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
		if in.Text() == "memory" {
			runtime.GC()
			debug.FreeOSMemory()
			u.RSS = residentBytes()
		}
		json.NewEncoder(os.Stdout).Encode(u)
	}
}

func residentBytes() int64 {
	var size, resident int64
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fmt.Sscan(string(statm), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// raiseFileLimit asks for what 10,000 tunnels need and returns what is allowed.
func raiseFileLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 256
	}
	const want = 32 << 10
	if l.Cur < want {
		raised := syscall.Rlimit{Cur: want, Max: max(want, l.Max)}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			return want
		}
	}
	return int(l.Cur)
}

// child is a running relayProcess.
type child struct {
	b       *testing.B
	tls     bool
	addr    string
	in      io.Writer
	out     *bufio.Reader
	backend *net.TCPListener
}

func startChild(b *testing.B, c competitor) *child {
	ctx, cancel := context.WithCancel(context.Background())
	backend := listen(b)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+c.name, backendEnv+"="+backend.Addr().String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		cmd.Wait()
		backend.Close()
	})
	p := &child{b: b, tls: c.tls, in: in, out: bufio.NewReader(out), backend: backend.(*net.TCPListener)}
	line, err := p.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	p.addr = line[:len(line)-1]
	return p
}

func (p *child) usage(what string) (u usage) {
	p.b.Helper()
	fmt.Fprintln(p.in, what)
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &u)
	}
	if err != nil {
		p.b.Fatal(err)
	}
	return u
}

// open makes one tunnel and returns its far ends.
func (p *child) open() (client, backend peer) {
	p.b.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.b.Fatal(err)
	}
	client = peer{c, c.(*net.TCPConn)}
	if p.tls {
		client.Conn = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	p.backend.SetDeadline(time.Now().Add(patience))
	s, err := p.backend.Accept()
	if err != nil {
		p.b.Fatal(err)
	}
	backend = peer{s, s.(*net.TCPConn)}
	return client, backend
}
