package proxy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// RawYAML is a part of the configuration file that another package reads,
// with the line numbers it had in the file.
type RawYAML struct{ Node yaml.Node }

// UnmarshalYAML keeps the node as it stands.
func (r *RawYAML) UnmarshalYAML(n *yaml.Node) error {
	r.Node = *n
	return nil
}

// MarshalYAML writes the node back.
func (r RawYAML) MarshalYAML() (any, error) { return &r.Node, nil }

// IsZero reports that the file did not mention this part.
func (r RawYAML) IsZero() bool { return r.Node.Kind == 0 }

// LoadFile reads one YAML file over c. A key that is not known is an error with its line.
func (c *Config) LoadFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	if err := c.decode(b); err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	return nil
}

func (c *Config) decode(b []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return plain(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document; write one")
	}
	return nil
}

// plain says what the decoder means in the words of the file: which key nobody knows,
// and what a value should have been.
func plain(err error) error {
	var mistakes *yaml.TypeError
	if !errors.As(err, &mistakes) {
		return err
	}
	errs := make([]error, len(mistakes.Errors))
	for i, text := range mistakes.Errors {
		text = unknownKey.ReplaceAllString(text, `unknown key "$1"`)
		if m := wrongType.FindStringSubmatch(text); m != nil {
			if want := wanted[m[3]]; want != "" {
				text = fmt.Sprintf("%s%s is not %s", m[1], cmp.Or(m[2], "what stands there"), want)
			}
		}
		errs[i] = errors.New(text)
	}
	return errors.Join(errs...)
}

var (
	unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)
	wrongType  = regexp.MustCompile("^(line \\d+: )cannot unmarshal !!\\w+(?: `(.*)`)? into (\\S+)$")
	wanted     = map[string]string{
		"time.Duration":   "a duration; write it like 10s, 2m or 1h",
		"int":             "a whole number",
		"int64":           "a whole number",
		"bool":            "true or false",
		"string":          "a text",
		"[]string":        "a list; write it like [a, b]",
		"[]proxy.Network": "a list; write it like [10.0.0.0/8]",
		"proxy.Listener":  "a listener; write it like {address: \":8080\"}",
	}
)

// YAML renders the configuration as a file would hold it, with secrets hidden.
func (c Config) YAML() ([]byte, error) {
	c.Redis = hideUserinfo(c.Redis)
	if c.Gossip.Key != "" {
		c.Gossip.Key = "xxxxx"
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("render configuration: %w", err)
	}
	return b.Bytes(), enc.Close()
}

// hideUserinfo removes the passwords from an address of Redis that is shown, also from
// one that is written wrong.
func hideUserinfo(raw string) string {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		scheme, rest = "", raw
	} else {
		scheme += "://"
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, _, named := strings.Cut(rest[:i], ":")
		if !named {
			user = "" // it may be the password
		}
		rest = user + ":xxxxx" + rest[i:]
	}
	return scheme + passwordOption.ReplaceAllString(rest, "${1}xxxxx")
}

var passwordOption = regexp.MustCompile(`([?&][^=&]*password=)[^&]*`)
