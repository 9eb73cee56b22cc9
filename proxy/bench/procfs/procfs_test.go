package procfs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// stat is the text of one /proc/PID/stat; times are in ticks.
func stat(pid int, command string, parent, user, system, cuser, csystem, threads int) string {
	head := fmt.Sprintf("%d (%s) S %d 10317 4286 0 -1 4194304 103 7 8 9 %d %d %d %d", pid, command, parent, user, system, cuser, csystem)
	return head + fmt.Sprintf(" 20 0 %d 0 81516 3133440 420 18446744073709551615 0 0 0\n", threads)
}

func rollup(rss, pss int) string {
	return fmt.Sprintf("563258e3f000-7fff50ed9000 ---p 00000000 00:00 0    [rollup]\nRss: %15d kB\nPss: %15d kB\nPss_Dirty:           112 kB\nShared_Clean:       1332 kB\n", rss, pss)
}

func TestParseStat(t *testing.T) {
	f := func(text string, want Stat) {
		t.Helper()
		got, err := ParseStat([]byte(text))
		if err != nil {
			t.Fatalf("ParseStat(%q): %v", text, err)
		}
		if got != want {
			t.Errorf("ParseStat(%q)\n got %+v\nwant %+v", text, got, want)
		}
	}
	f(stat(10325, "cat", 10317, 3, 4, 5, 6, 2), Stat{
		PID: 10325, Parent: 10317, Command: "cat", State: 'S', Threads: 2,
		User: 30 * time.Millisecond, System: 40 * time.Millisecond,
		ChildUser: 50 * time.Millisecond, ChildSystem: 60 * time.Millisecond,
	})
	f(stat(7, "a) S 1 (b c", 1, 1, 0, 0, 0, 1), Stat{
		PID: 7, Parent: 1, Command: "a) S 1 (b c", State: 'S', Threads: 1, User: 10 * time.Millisecond,
	})
	f(stat(7, "nginx: worker process", 1, 100, 200, 0, 0, 1), Stat{
		PID: 7, Parent: 1, Command: "nginx: worker process", State: 'S', Threads: 1, User: time.Second, System: 2 * time.Second,
	})
}

func TestParseStatRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseStat([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseStat(%q): error %v, want one with %q", text, err, want)
		}
	}
	f("", "no command")
	f("1 )x( S", "no command")
	f("x (cat) S 1", "process id")
	f("1 (cat) S 1 2 3", "fields after the command")
	f(strings.Replace(stat(1, "cat", 5, 1, 1, 1, 1, 1), "S 5", "S x", 1), "field 4")
	f(strings.Replace(stat(1, "cat", 5, 12345, 1, 1, 1, 1), "12345", "1.5", 1), "field 14")
}

func TestParseRollup(t *testing.T) {
	got, err := ParseRollup([]byte(rollup(1696, 331)))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Memory{RSS: 1696 << 10, PSS: 331 << 10}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	f := func(text, want string) {
		t.Helper()
		_, err := ParseRollup([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRollup(%q): error %v, want one with %q", text, err, want)
		}
	}
	f("", "found 0")
	f("Rss: 12 kB\n", "found 1")
	f("Rss: 12 MB\nPss: 1 kB\n", "want a number of kB")
	f("Rss: x kB\nPss: 1 kB\n", "Rss")
}

func proc(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestReadTree(t *testing.T) {
	files := map[string]string{
		"version": "Linux",
		"1/stat":  stat(1, "init", 0, 900, 900, 0, 0, 1), "1/smaps_rollup": rollup(9, 9),
		// A master with two workers, one of which has a child of its own.
		"20/stat": stat(20, "nginx: master", 1, 1, 2, 3, 4, 1), "20/smaps_rollup": rollup(100, 10),
		"21/stat": stat(21, "nginx: worker", 20, 10, 20, 0, 0, 1), "21/smaps_rollup": rollup(200, 20),
		"22/stat": stat(22, "nginx: worker", 20, 100, 200, 0, 0, 5), "22/smaps_rollup": rollup(300, 30),
		"9/stat": stat(9, "grandchild", 22, 1000, 2000, 0, 0, 1), "9/smaps_rollup": rollup(400, 40),
		// Another process, and one that ended between the two reads.
		"30/stat": stat(30, "other", 1, 5000, 5000, 0, 0, 1), "30/smaps_rollup": rollup(9, 9),
		"23/stat": stat(23, "gone", 20, 7, 7, 0, 0, 1),
	}
	got, err := ReadTree(proc(files), 20)
	if err != nil {
		t.Fatal(err)
	}
	want := Usage{
		User: 1114 * Tick, System: 2226 * Tick,
		Memory:    Memory{RSS: 1000 << 10, PSS: 100 << 10},
		Processes: 4, Threads: 8,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.CPU() != 33400*time.Millisecond {
		t.Errorf("CPU is %v", got.CPU())
	}
}

func TestReadTreeFails(t *testing.T) {
	if _, err := ReadTree(proc(map[string]string{"1/stat": stat(1, "init", 0, 0, 0, 0, 0, 1)}), 2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such process: error %v", err)
	}
	if _, err := ReadTree(proc(map[string]string{"2/stat": stat(2, "x", 1, 0, 0, 0, 0, 1)}), 2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no memory file: error %v", err)
	}
	if _, err := ReadTree(proc(map[string]string{"2/stat": "garbage"}), 2); err == nil {
		t.Error("a broken stat file is not an error")
	}
}

// The parent field of a process may name itself or form no tree at all: the walk must end.
func TestTreeOfItself(t *testing.T) {
	got := tree(map[int]Stat{5: {PID: 5, Parent: 5}, 6: {PID: 6, Parent: 5}}, 5)
	if !slices.Equal(got, []int{5, 6}) {
		t.Errorf("got %v", got)
	}
}
