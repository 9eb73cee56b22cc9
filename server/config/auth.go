package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dsproxy/dsproxy/server/auth"
)

// eachAuth calls f with the entries of auth, a list in the 10.x line and one entry
// before; alone says that there is no other.
func (r *reader) eachAuth(top *section, f func(p *plugin, alone bool)) {
	v, ok := top.take("auth")
	if !ok {
		if top.given("auth") {
			top.fail("auth", "must not be without a value: to let everyone in, write a list with the type none")
		}
		return
	}
	entries := []*yaml.Node{v.node}
	path := func(int) string { return "auth" }
	if v.node.Kind == yaml.SequenceNode {
		entries = v.node.Content
		path = func(i int) string { return fmt.Sprintf("auth[%d]", i) }
	}
	if len(entries) == 0 {
		top.fail("auth", "must not be empty: nobody could log in; to let everyone in, write the type none")
	}
	for i, n := range entries {
		if isNull(n) {
			r.fail(v.file, n.Line, "%s must be a section with a type", path(i))
		} else if p := readPlugin(r.section(value{v.file, n}, path(i))); p != nil {
			f(p, len(entries) == 1)
		}
	}
}

// readAuth reads who may log in. Where a method is not alone it leaves what it does
// not like to the next, unless it is told not to.
func readAuth(top *section, to *Settings) {
	if top.r.options.DisableAuth {
		top.skip("auth")
		return
	}
	var chain auth.Chain
	top.r.eachAuth(top, func(p *plugin, alone bool) {
		if m := readMethod(p, alone); m != nil {
			chain = append(chain, m)
		}
	})
	if len(chain) > 0 {
		to.Node.Auth = chain
	}
}

func readMethod(p *plugin, report bool) auth.Method {
	s := p.options
	switch {
	case p.is("auth", "none"):
		s.close()
		return auth.Open{}
	case p.is("auth", "file"):
		return readFileAuth(p, report)
	case p.is("auth", "http"):
		return readWebhook(p, report)
	case p.is("auth", "storage"):
		p.refuse("storage is not possible yet; use file or http")
	default:
		p.refuse("must be none, file or http: there is no authentication %q", p.kind)
	}
	return nil
}

func readFileAuth(p *plugin, report bool) auth.Method {
	s := p.options
	if s == nil {
		p.refuse("file needs options: users, and hash for hashed passwords")
		return nil
	}
	users := readUsers(s)
	hash := readHash(s)
	s.flag("reportInvalidParameters", &report)
	s.close()
	if users == nil || len(p.at.r.errs) > 0 {
		return nil
	}
	m, err := auth.NewFile(users, hash, report)
	if err != nil {
		p.refuse("cannot be used: %v", err)
		return nil
	}
	return m
}

// readHash reads how passwords are hashed; nil for clear text.
func readHash(s *section) *auth.Hash {
	digest, iterations, length := "", 0, 0
	if v, ok := s.take("hash"); ok && v.node.Value != "false" {
		s.text("hash", &digest)
	}
	s.number("iterations", &iterations, 1, 1<<30)
	s.number("keyLength", &length, 1, 1<<20)
	if digest == "" {
		return nil
	}
	h, err := auth.NewHash(digest, iterations, length)
	if err != nil {
		s.fail("hash", "cannot be used: %v", err)
		return nil
	}
	return h
}

// readUsers reads the users: in place, by fileLoad(), or by the path of the 1.x
// line.
func readUsers(s *section) map[string]auth.User {
	list := s.sub("users")
	var path string
	if list == nil && s.text("path", &path) {
		root, err := s.r.open(s.r.path(path))
		if err != nil {
			s.fail("path", "cannot be read: %v", err)
			return nil
		}
		list = s.r.section(value{s.r.path(path), root}, "users")
	} else {
		s.skip("path")
	}
	if list == nil {
		if len(s.r.errs) == 0 {
			s.r.fail(s.at.file, s.at.node.Line, "%s needs users", s.path)
		}
		return nil
	}
	users := make(map[string]auth.User, len(list.keys))
	for _, name := range list.keys {
		u := list.sub(name)
		if u == nil {
			list.fail(name, "must be a section with a password")
			continue
		}
		var user auth.User
		if !u.text("password", &user.Password) {
			list.fail(name, "has no password")
		}
		user.ClientData = readJSON(u, "clientData")
		user.ServerData = readJSON(u, "serverData")
		u.skip("data") // the 1.0 name of the data for permissions
		if user.ServerData == nil {
			user.ServerData = readJSON(u, "data")
		}
		u.close()
		users[name] = user
	}
	return users
}

// readJSON turns any value into JSON.
func readJSON(s *section, key string) json.RawMessage {
	v, ok := s.take(key)
	if !ok {
		return nil
	}
	var data any
	err := v.node.Decode(&data)
	if err == nil {
		data = s.r.expandAll(data)
		var b []byte
		if b, err = json.Marshal(data); err == nil {
			return b
		}
	}
	s.fail(key, "cannot be written as JSON: %v", err)
	return nil
}

// expandAll fills the environment into the texts of a value.
func (r *reader) expandAll(data any) any {
	switch d := data.(type) {
	case string:
		text, _ := r.expand(d)
		return text
	case []any:
		for i := range d {
			d[i] = r.expandAll(d[i])
		}
	case map[string]any:
		for k, v := range d {
			d[k] = r.expandAll(v)
		}
	}
	return data
}

func readWebhook(p *plugin, report bool) auth.Method {
	s := p.options
	c := auth.WebhookConfig{ReportInvalidParameters: report}
	if !s.text("endpointUrl", &c.EndpointURL) {
		p.refuse("http needs the option endpointUrl")
	}
	c.PermittedStatusCodes = []int{200}
	s.numbers("permittedStatusCodes", &c.PermittedStatusCodes, 100, 599)
	c.RequestTimeout = 2 * time.Second
	s.millis("requestTimeout", &c.RequestTimeout, 1)
	s.texts("promoteToHeader", &c.PromoteToHeader)
	s.numbers("retryStatusCodes", &c.RetryStatusCodes, 100, 599)
	s.number("retryAttempts", &c.RetryAttempts, 0, 1000)
	s.millis("retryInterval", &c.RetryInterval, 0)
	s.flag("reportInvalidParameters", &c.ReportInvalidParameters)
	s.close()
	if len(p.at.r.errs) > 0 {
		return nil
	}
	m, err := auth.NewWebhook(c)
	if err != nil {
		p.refuse("cannot be used: %s", strings.TrimSpace(err.Error()))
		return nil
	}
	return m
}
