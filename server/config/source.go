package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader is one reading of a configuration and the files that it loads.
type reader struct {
	dir     string // of the configuration file; file() and fileLoad() start there
	getenv  func(string) string
	options Options
	loading int // depth of fileLoad

	errs     Errors
	warnings []Warning
}

func (r *reader) fail(file string, line int, format string, args ...any) {
	r.errs = append(r.errs, Error{file, line, fmt.Sprintf(format, args...)})
}

func (r *reader) warn(file string, line int, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{file, line, fmt.Sprintf(format, args...)})
}

// A ${NAME} is put between marks while the file is parsed and replaced in the
// values afterwards. So it may stand wherever the original takes one, inside of
// braces and of JSON too, and what the environment holds can change a value but
// not the structure of the file.
const (
	markOpen  = "\uE000"
	markClose = "\uE001"
)

var (
	variable   = regexp.MustCompile(`\$\{([^}\n]+)\}`)
	marked     = regexp.MustCompile(markOpen + `([^` + markClose + `]*)` + markClose)
	yamlAtLine = regexp.MustCompile(`^yaml: line (\d+): (?s:(.*))$`)
	loadCall   = regexp.MustCompile(`^\s*fileLoad\(([^()]+)\)\s*$`)
	fileCall   = regexp.MustCompile(`(^|[^A-Za-z0-9_])file\(([^()]+)\)`)
)

// maxFile bounds a configuration file, in bytes, and maxLoading how deep files
// may load files.
const (
	maxFile    = 16 << 20
	maxLoading = 8
)

// open parses a file by its extension and returns the root of its tree.
func (r *reader) open(path string) (*yaml.Node, error) {
	switch ext := filepath.Ext(path); ext {
	case ".yml", ".yaml", ".json":
	case ".js":
		return nil, Error{File: path, Text: "a JavaScript configuration cannot be run; write it as .yml or .json"}
	default:
		return nil, Error{File: path, Text: fmt.Sprintf("%q is not the extension of a configuration file; use .yml, .yaml or .json", ext)}
	}
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(path) == ".json" {
		text = withoutEscapes(text)
	}
	return parse(path, text)
}

// jsonEscape is any escape of JSON; that of a character beyond U+FFFF is two halves.
var jsonEscape = regexp.MustCompile(`\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)`)

// withoutEscapes fills in the escapes of JSON that YAML does not have: of a slash, and
// of halves of a character.
func withoutEscapes(text []byte) []byte {
	return jsonEscape.ReplaceAllFunc(text, func(escape []byte) []byte {
		var s string
		if escape[1] != '/' && len(escape) == 2 || json.Unmarshal([]byte(`"`+string(escape)+`"`), &s) != nil {
			return escape
		}
		return []byte(s)
	})
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read configuration: %w", err)
	case len(text) > maxFile:
		return nil, Error{File: path, Text: fmt.Sprintf("is larger than %d bytes", maxFile)}
	}
	return text, nil
}

func parse(path string, text []byte) (*yaml.Node, error) {
	if bytes.Contains(text, []byte(markOpen)) || bytes.Contains(text, []byte(markClose)) {
		return nil, Error{File: path, Text: "has characters for private use (U+E000 or U+E001)"}
	}
	text = variable.ReplaceAll(text, []byte(markOpen+"$1"+markClose))
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1}, nil
	case err != nil:
		return nil, syntaxError(path, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, Error{File: path, Text: "has more than one YAML document"}
	}
	return doc.Content[0], nil
}

func syntaxError(path string, err error) error {
	text := strings.NewReplacer(markOpen, "${", markClose, "}").Replace(err.Error())
	if m := yamlAtLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits, says the expression
		return Error{path, line, m[2]}
	}
	return Error{File: path, Text: strings.TrimPrefix(text, "yaml: ")}
}

// value is a place in a file.
type value struct {
	file string
	node *yaml.Node
}

// resolve follows an alias, fills in the environment and carries out file() and
// fileLoad(). It reports false after a fault.
func (r *reader) resolve(v value) (value, bool) {
	for v.node.Kind == yaml.AliasNode {
		v.node = v.node.Alias
	}
	if v.node.Kind != yaml.ScalarNode {
		return v, true
	}
	text, fromEnv := r.expand(v.node.Value)
	if m := loadCall.FindStringSubmatch(text); m != nil {
		return r.load(v, r.path(m[1]))
	}
	if fileCall.MatchString(text) {
		text = fileCall.ReplaceAllStringFunc(text, func(call string) string {
			m := fileCall.FindStringSubmatch(call)
			return m[1] + r.path(m[2])
		})
	}
	if text == v.node.Value {
		return v, true
	}
	plain := v.node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if fromEnv && plain && (strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{")) {
		// A whole list or object may come from the environment.
		if root, err := parse(v.file, []byte(text)); err == nil {
			setLines(root, v.node.Line)
			return value{v.file, root}, true
		}
	}
	n := *v.node
	n.Value = text
	if plain {
		n.Tag = "" // what was a word may be a number now
	}
	return value{v.file, &n}, true
}

func (r *reader) expand(text string) (expanded string, changed bool) {
	if !strings.Contains(text, markOpen) {
		return text, false
	}
	return marked.ReplaceAllStringFunc(text, func(m string) string {
		return r.getenv(m[len(markOpen) : len(m)-len(markClose)])
	}), true
}

func setLines(n *yaml.Node, line int) {
	n.Line = line
	for _, c := range n.Content {
		setLines(c, line)
	}
}

// path is how the original finds files: from the directory of the configuration.
func (r *reader) path(name string) string {
	name = strings.TrimSpace(name)
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// load replaces a fileLoad() by what is in the file: the tree of a YAML or JSON
// file, the text of any other.
func (r *reader) load(v value, path string) (value, bool) {
	if r.loading >= maxLoading {
		r.fail(v.file, v.node.Line, "files load each other more than %d deep", maxLoading)
		return v, false
	}
	var root *yaml.Node
	var err error
	switch filepath.Ext(path) {
	case ".yml", ".yaml", ".json", ".js":
		root, err = r.open(path)
	default:
		var text []byte
		if text, err = read(path); err == nil {
			filled := variable.ReplaceAllStringFunc(string(text), func(m string) string { return r.getenv(m[2 : len(m)-1]) })
			root = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.LiteralStyle, Value: filled, Line: 1}
			return value{path, root}, true
		}
	}
	if err != nil {
		var own Error
		if errors.As(err, &own) {
			r.errs = append(r.errs, own)
		} else {
			r.fail(v.file, v.node.Line, "%v", err)
		}
		return v, false
	}
	r.loading++
	defer func() { r.loading-- }()
	return r.resolve(value{path, root})
}
