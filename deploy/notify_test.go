package deploy

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// serviceManager hears what a program tells systemd.
type serviceManager struct{ conn *net.UnixConn }

// newServiceManager returns it with the value of NOTIFY_SOCKET: an abstract name,
// which needs no file system in common.
func newServiceManager(t *testing.T) (serviceManager, string) {
	t.Helper()
	name := fmt.Sprintf("@deploy-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return serviceManager{conn}, name
}

// await returns when a line was told, or an error after half a minute.
func (m serviceManager) await(line string) error {
	if err := m.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			return err
		}
		if slices.Contains(strings.Split(string(b[:n]), "\n"), line) {
			return nil
		}
	}
}

// freeAddr is one that was free a moment ago, for programs that do not tell which
// they took.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
