package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/wire"
)

// TestWritersOnSockets has clients of two nodes with one cache, in memory and in a
// real Redis, write one record at the same time. Every write is answered once, and
// the record holds all that were accepted and nothing else.
func TestWritersOnSockets(t *testing.T) {
	shared := store.NewMemory(0)
	address := startRedis(t)
	for name, cache := range map[string]func() store.Cache{
		"memory": func() store.Cache { return shared },
		"redis": func() store.Cache {
			return store.NewRedis(redis.NewClient(&redis.Options{Addr: address}), store.RedisConfig{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var writers []*peer
			for range 2 {
				s := startNode(t, func(c *Config) { c.Cache, c.Store.CacheTimeout = cache(), time.Minute })
				writers = append(writers, dial(t, s, "one"), dial(t, s, "two"))
			}
			records := 0
			rapid.Check(t, func(rt *rapid.T) {
				records++
				// Versions that each writer sends: any (-1), or a number.
				var plan [][]int64
				for range writers {
					plan = append(plan, rapid.SliceOfN(rapid.Int64Range(-1, 5), 0, 6).Draw(rt, "versions"))
				}
				if err := writeAtOnce(writers, plan, fmt.Sprintf("rec/%d", records)); err != nil {
					rt.Fatal(err)
				}
			})
		})
	}
}

// writeAtOnce carries out a plan and compares what became of it with what the
// writers were told.
func writeAtOnce(writers []*peer, plan [][]int64, record string) error {
	create := &message.Message{Topic: message.Record, Action: message.RecordCreateAndUpdate, Name: record, Version: -1, HasVersion: true,
		Data: `{}`, CorrelationID: "create", IsWriteAck: true, HasWriteAck: true}
	if err := writers[0].write(create); err != nil {
		return err
	}
	if m, err := writers[0].read(); err != nil || m.Action != message.RecordWriteAcknowledgement {
		return fmt.Errorf("creating the record was answered with %s, %v", message.ActionName(m.Topic, m.Action), err)
	}
	accepted := make([]map[string]bool, len(writers))
	final := make([]message.Message, len(writers))
	var g errgroup.Group
	for i, p := range writers {
		g.Go(func() (err error) {
			accepted[i], err = p.carryOut(plan[i], record, fmt.Sprintf("w%d", i))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	total := 0
	for i, p := range writers {
		if err := p.write(&message.Message{Topic: message.Record, Action: message.RecordRead, Name: record}); err != nil {
			return err
		}
		var err error
		if final[i], err = p.read(); err != nil || final[i].Action != message.RecordReadResponse {
			return fmt.Errorf("reading was answered with %s, %v: a write was answered twice", message.ActionName(final[i].Topic, final[i].Action), err)
		}
		if final[i].Version != final[0].Version || final[i].Data != final[0].Data {
			return fmt.Errorf("two clients read %d %s and %d %s", final[0].Version, final[0].Data, final[i].Version, final[i].Data)
		}
		total += len(accepted[i])
	}
	// Version 1 is the creation.
	if final[0].Version != int64(total+1) {
		return fmt.Errorf("%d writes were accepted, the record has version %d", total, final[0].Version)
	}
	var data map[string]int
	if err := json.Unmarshal([]byte(final[0].Data), &data); err != nil {
		return err
	}
	for i := range writers {
		for path := range accepted[i] {
			if _, there := data[path]; !there {
				return fmt.Errorf("%s was acknowledged and is lost: %s", path, final[0].Data)
			}
			delete(data, path)
		}
	}
	if len(data) > 0 {
		return fmt.Errorf("%v was refused and is there", data)
	}
	return nil
}

// carryOut sends patches of the given versions, each of a path of its own, and
// returns the paths that were acknowledged.
func (p *peer) carryOut(versions []int64, record, name string) (map[string]bool, error) {
	accepted := make(map[string]bool)
	for i, v := range versions {
		id := fmt.Sprintf("%s_%d", name, i)
		if err := p.write(&message.Message{Topic: message.Record, Action: message.RecordPatch, Name: record, Path: id, Data: "1",
			Version: v, HasVersion: true, CorrelationID: id, IsWriteAck: true, HasWriteAck: true}); err != nil {
			return nil, err
		}
	}
	answered := make(map[string]bool)
	for range versions {
		m, err := p.read()
		switch {
		case err != nil:
			return nil, err
		case answered[m.CorrelationID] || !strings.HasPrefix(m.CorrelationID, name+"_"):
			return nil, fmt.Errorf("write %q was answered twice or never sent", m.CorrelationID)
		}
		answered[m.CorrelationID] = true
		switch m.Action {
		case message.RecordWriteAcknowledgement:
			accepted[m.CorrelationID] = true
		case message.RecordVersionExists, message.RecordInvalidVersion:
		default:
			return nil, fmt.Errorf("write %s was answered with %s", m.CorrelationID, message.ActionName(m.Topic, m.Action))
		}
	}
	return accepted, nil
}

// write and read are send and receive for goroutines that are not the test's.
func (p *peer) write(m *message.Message) error {
	return p.ws.WriteMessage(websocket.BinaryMessage, wire.For(wire.Protobuf).Append(nil, m))
}

func (p *peer) read() (message.Message, error) {
	if err := p.ws.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return message.Message{}, err
	}
	_, frame, err := p.ws.ReadMessage()
	if err != nil {
		return message.Message{}, err
	}
	var l lastMessage
	err = wire.For(wire.Protobuf).Decode(frame, &l)
	return l.m, err
}

// startRedis starts a server of its own and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	addr, _ := startRedisProcess(t)
	return addr
}

func startRedisProcess(t *testing.T) (string, *exec.Cmd) {
	t.Helper()
	return startRedisIn(t, t.TempDir(), "")
}

// startRedisIn starts a server that has a directory for its files, at an address if
// that is not empty.
func startRedisIn(t *testing.T, dir, addr string) (string, *exec.Cmd) {
	t.Helper()
	for range 5 { // somebody else may take a port that was free
		at := addr
		if at == "" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			at = l.Addr().String()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if cmd := tryRedis(t, dir, at); cmd != nil {
			return at, cmd
		}
	}
	t.Fatal("redis-server did not start")
	return "", nil
}

// tryRedis returns nil if the server ends instead of starting.
func tryRedis(t *testing.T, dir, addr string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test needs redis-server in the path: install redis")
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return cmd
		}
	}
	return nil
}

// stop has a process hang until resume.
func stop(t *testing.T, cmd *exec.Cmd) { signal(t, cmd, syscall.SIGSTOP) }

func resume(t *testing.T, cmd *exec.Cmd) { signal(t, cmd, syscall.SIGCONT) }

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	signal(t, cmd, syscall.SIGKILL)
	_ = cmd.Wait()
}

func signal(t *testing.T, cmd *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
