package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// stage is one FROM of a Dockerfile, with what follows it.
type stage struct {
	name, from string
	steps      []step
}

// step is an instruction.
type step struct {
	instruction string
	flags       map[string]string // of COPY: from, chown; the last of each
	text        string            // what follows the flags
}

// words splits a step's text at spaces outside quotes, which it takes away.
func (s step) words() []string {
	var words []string
	for _, w := range regexp.MustCompile(`(?:[^\s"]|"[^"]*")+`).FindAllString(s.text, -1) {
		words = append(words, strings.ReplaceAll(w, `"`, ""))
	}
	return words
}

// list is the JSON form of CMD and ENTRYPOINT: no shell is needed for it.
func (s step) list(t *testing.T) []string {
	t.Helper()
	var words []string
	if err := json.Unmarshal([]byte(s.text), &words); err != nil {
		t.Fatalf("%s %s: not in the form of a list: %v", s.instruction, s.text, err)
	}
	return words
}

// instructions that this reader knows.
var instructions = regexp.MustCompile(`^(FROM|ARG|ENV|WORKDIR|COPY|RUN|LABEL|USER|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT)$`)

// readDockerfile reads a Dockerfile into its stages.
func readDockerfile(t *testing.T, path string) []stage {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var stages []stage
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(src), "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		s := step{flags: map[string]string{}}
		var rest string
		s.instruction, rest, _ = strings.Cut(line, " ")
		if !instructions.MatchString(s.instruction) {
			t.Fatalf("%s: %s: unknown instruction", path, line)
		}
		for rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "--"); {
			flag, after, _ := strings.Cut(rest, " ")
			name, value, _ := strings.Cut(flag[2:], "=")
			s.flags[name] = value
			rest = strings.TrimSpace(after)
		}
		s.text = rest
		if s.instruction == "FROM" {
			words := s.words()
			if len(words) != 3 || words[1] != "AS" {
				t.Fatalf("%s: %s: a stage needs a name", path, line)
			}
			stages = append(stages, stage{name: words[2], from: words[0]})
			continue
		}
		if len(stages) == 0 {
			t.Fatalf("%s: %s: stands before FROM", path, line)
		}
		last := &stages[len(stages)-1]
		last.steps = append(last.steps, s)
	}
	return stages
}

// only returns the one step of that instruction.
func (s *stage) only(t *testing.T, instruction string) step {
	t.Helper()
	var found []step
	for _, x := range s.steps {
		if x.instruction == instruction {
			found = append(found, x)
		}
	}
	if len(found) != 1 {
		t.Fatalf("stage %s has %d of %s, not one", s.name, len(found), instruction)
	}
	return found[0]
}

// ignored applies the patterns of a .dockerignore file: the last that matches a
// path or a folder above it decides.
func ignored(t *testing.T, path string) func(file string) bool {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		match *regexp.Regexp
		keep  bool
	}
	var rules []rule
	for line := range strings.SplitSeq(string(src), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		pattern, keep := strings.CutPrefix(line, "!")
		p := regexp.QuoteMeta(pattern)
		p = strings.ReplaceAll(p, `\*\*/`, `(?:.*/)?`)
		p = strings.ReplaceAll(p, `\*`, `[^/]*`)
		rules = append(rules, rule{regexp.MustCompile(`^` + p + `(?:/.*)?$`), keep})
	}
	return func(file string) bool {
		out := false
		for _, r := range rules {
			if r.match.MatchString(file) {
				out = !r.keep
			}
		}
		return out
	}
}
