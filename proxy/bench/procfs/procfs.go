// Package procfs reads from /proc what the benchmark charges to a proxy: the
// CPU time and the resident memory of a process and all its descendants.
//
// The files are read through an [io/fs.FS], so that the parsers are tested on
// fixed text and run on any system; the figures exist on Linux only.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"
)

// Tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every
// Linux architecture Go supports (proc_pid_stat(5), sysconf(_SC_CLK_TCK)).
const Tick = 10 * time.Millisecond

// Stat holds the fields of /proc/PID/stat the benchmark uses. The times cover
// all threads of the process, those that ended included; the child times cover
// children that ended and were waited for.
type Stat struct {
	PID, Parent            int
	Command                string
	State                  byte
	User, System           time.Duration
	ChildUser, ChildSystem time.Duration
	Threads                int
}

// ParseStat reads the text of /proc/PID/stat. The command stands in
// parentheses and may itself hold spaces and parentheses, so fields are counted
// from the last closing one.
func ParseStat(text []byte) (Stat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return Stat{}, errors.New("stat: no command in parentheses")
	}
	var s Stat
	var err error
	if s.PID, err = strconv.Atoi(string(bytes.TrimSpace(text[:open]))); err != nil {
		return Stat{}, fmt.Errorf("stat: process id: %w", err)
	}
	s.Command = string(text[open+1 : end])
	// fields[0] is field 3 of proc_pid_stat(5), the state.
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 18 {
		return Stat{}, fmt.Errorf("stat: %d fields after the command, want at least 18", len(fields))
	}
	s.State = fields[0][0]
	ints := map[int]*int{4: &s.Parent, 20: &s.Threads}
	for number, dst := range ints {
		if *dst, err = strconv.Atoi(string(fields[number-3])); err != nil {
			return Stat{}, fmt.Errorf("stat: field %d: %w", number, err)
		}
	}
	times := map[int]*time.Duration{14: &s.User, 15: &s.System, 16: &s.ChildUser, 17: &s.ChildSystem}
	for number, dst := range times {
		ticks, err := strconv.ParseInt(string(fields[number-3]), 10, 64)
		if err != nil {
			return Stat{}, fmt.Errorf("stat: field %d: %w", number, err)
		}
		*dst = time.Duration(ticks) * Tick
	}
	return s, nil
}

// Memory is resident memory in bytes. RSS counts shared pages in full in every
// process that maps them, PSS divides them among those processes.
type Memory struct {
	RSS, PSS int64
}

// ParseRollup reads the text of /proc/PID/smaps_rollup.
func ParseRollup(text []byte) (Memory, error) {
	var m Memory
	found := 0
	for line := range bytes.Lines(text) {
		name, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		var dst *int64
		switch string(name) {
		case "Rss":
			dst = &m.RSS
		case "Pss":
			dst = &m.PSS
		default:
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) != 2 || string(fields[1]) != "kB" {
			return Memory{}, fmt.Errorf("smaps_rollup: %s is %q, want a number of kB", name, bytes.TrimSpace(rest))
		}
		kb, err := strconv.ParseInt(string(fields[0]), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("smaps_rollup: %s: %w", name, err)
		}
		*dst = kb << 10
		found++
	}
	if found != 2 {
		return Memory{}, fmt.Errorf("smaps_rollup: found %d of Rss and Pss", found)
	}
	return m, nil
}

// Usage is what a process and its descendants used so far, and hold now.
type Usage struct {
	User, System time.Duration
	Memory       Memory
	Processes    int
	Threads      int
}

// CPU is the time spent in user and kernel mode together.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// ReadTree sums the process pid and everything descended from it; proc is the
// root of the /proc file system. A process that ends while being read is
// skipped, unless it is pid itself: its time is then in its parent's child
// times.
func ReadTree(proc fs.FS, pid int) (Usage, error) {
	stats, err := readStats(proc)
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	for _, id := range tree(stats, pid) {
		s := stats[id]
		text, err := fs.ReadFile(proc, strconv.Itoa(id)+"/smaps_rollup")
		if err != nil {
			if id != pid {
				continue
			}
			return Usage{}, fmt.Errorf("memory of process %d: %w", id, err)
		}
		m, err := ParseRollup(text)
		if err != nil {
			return Usage{}, fmt.Errorf("memory of process %d: %w", id, err)
		}
		u.User += s.User + s.ChildUser
		u.System += s.System + s.ChildSystem
		u.Memory.RSS += m.RSS
		u.Memory.PSS += m.PSS
		u.Processes++
		u.Threads += s.Threads
	}
	if u.Processes == 0 {
		return Usage{}, fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	return u, nil
}

func readStats(proc fs.FS) (map[int]Stat, error) {
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	stats := make(map[int]Stat)
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := fs.ReadFile(proc, e.Name()+"/stat")
		if err != nil {
			continue // ended since the directory was read
		}
		s, err := ParseStat(text)
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", id, err)
		}
		stats[id] = s
	}
	return stats, nil
}

// tree returns pid and its descendants that are in stats, parents first.
func tree(stats map[int]Stat, pid int) []int {
	if _, ok := stats[pid]; !ok {
		return nil
	}
	children := make(map[int][]int)
	for id, s := range stats {
		if id != s.Parent {
			children[s.Parent] = append(children[s.Parent], id)
		}
	}
	found := []int{pid}
	for i := 0; i < len(found); i++ {
		next := children[found[i]]
		slices.Sort(next)
		found = append(found, next...)
	}
	return found
}
