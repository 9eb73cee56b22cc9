package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

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
		return err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document; write one")
	}
	return nil
}

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

// hideUserinfo removes the password from a URL that is shown.
func hideUserinfo(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "xxxxx")
	}
	return u.String()
}
