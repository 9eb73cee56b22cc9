package config

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/dsproxy/dsproxy/server/auth"
)

var rewrite = flag.Bool("rewrite", false, "write what came out into the want files of testdata")

// TestFiles reads every archive of testdata: its first file is the configuration,
// env sets the environment, and want is what comes out: how the settings differ
// from the defaults and the warnings, or the errors.
func TestFiles(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives in testdata: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			env := map[string]string{}
			want := -1
			for i, f := range a.Files {
				switch f.Name {
				case "want":
					want = i
				case "env":
					for line := range strings.Lines(string(f.Data)) {
						k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
						env[k] = v
					}
				default:
					path := filepath.Join(dir, f.Name)
					if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, f.Data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			got := outcome(filepath.Join(dir, a.Files[0].Name), Options{Getenv: func(k string) string { return env[k] }})
			got = strings.ReplaceAll(got, dir+"/", "")
			if *rewrite {
				if want < 0 {
					a.Files = append(a.Files, txtar.File{Name: "want"})
					want = len(a.Files) - 1
				}
				a.Files[want].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want < 0 {
				t.Fatal("archive has no want; run the test with -rewrite")
			}
			if diff := cmp.Diff(string(a.Files[want].Data), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		})
	}
}

func outcome(path string, o Options) string {
	s, err := Load(path, o)
	if err != nil {
		return fmt.Sprintf("error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nerror: "))
	}
	d := Default()
	d.Node.Name = s.Node.Name
	var lines []string
	if !strings.Contains(s.Node.Name, "-") || strings.HasPrefix(s.Node.Name, "node-") {
		lines = append(lines, "Node.Name = "+s.Node.Name)
	}
	s.File = ""
	warnings := s.Warnings
	s.Warnings = nil
	differ(&lines, "", reflect.ValueOf(*d), reflect.ValueOf(*s))
	for _, w := range warnings {
		lines = append(lines, "warning: "+w.String())
	}
	if len(lines) == 0 {
		return "defaults\n"
	}
	return strings.Join(lines, "\n") + "\n"
}

// differ lists the fields in which two structs differ.
func differ(lines *[]string, path string, was, is reflect.Value) {
	t := is.Type()
	switch {
	case t == reflect.TypeFor[*tls.Config]():
		if !is.IsNil() {
			*lines = append(*lines, fmt.Sprintf("%s = %d certificates", path, len(is.Interface().(*tls.Config).Certificates)))
		}
	case t == reflect.TypeFor[auth.Method]():
		for i, m := range is.Interface().(auth.Chain) {
			if _, open := m.(auth.Open); !open || len(is.Interface().(auth.Chain)) > 1 {
				*lines = append(*lines, fmt.Sprintf("%s[%d] = %T", path, i, m))
			}
		}
	case t.Kind() == reflect.Pointer:
		switch {
		case is.IsNil() && !was.IsNil():
			*lines = append(*lines, path+" = off")
		case !is.IsNil():
			if was.IsNil() {
				was = reflect.New(t.Elem())
				*lines = append(*lines, path+" = on")
			}
			differ(lines, path, was.Elem(), is.Elem())
		}
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() || f.Type.Kind() == reflect.Func || f.Type.Kind() == reflect.Interface && f.Name != "Auth" {
				continue
			}
			differ(lines, strings.TrimPrefix(path+"."+f.Name, "."), was.Field(i), is.Field(i))
		}
	case !reflect.DeepEqual(was.Interface(), is.Interface()):
		*lines = append(*lines, fmt.Sprintf("%s = %v", path, is.Interface()))
	}
}

// TestErrorsAreTyped checks that callers can tell the faults of a file apart.
func TestErrorsAreTyped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte("a: 1\nb: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, Options{Getenv: os.Getenv})
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 || all[0].Line != 1 || all[1].Line != 2 {
		t.Errorf("got %v, want two faults in lines 1 and 2", err)
	}
}

func TestDisabledSectionsAreNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yml")
	text := "auth:\n  - type: storage\npermission:\n  type: config\n  options:\n    permissions: fileLoad(missing.yml)\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, Options{Getenv: os.Getenv}); err == nil {
		t.Fatal("the sections were not read at all")
	}
	s, err := Load(path, Options{Getenv: os.Getenv, DisableAuth: true, DisablePermissions: true})
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := s.Node.Auth.(auth.Chain); !ok || len(c) != 1 || c[0] != (auth.Open{}) {
		t.Errorf("authentication is %v, want open", s.Node.Auth)
	}
}

// TestHomes checks that the keys that advice sends elsewhere are known there.
func TestHomes(t *testing.T) {
	forms := map[string]string{
		"httpServer.options":                             "httpServer:\n  type: default\n  options:\n    %s: {}\n",
		"the options of an entry of connectionEndpoints": "connectionEndpoints:\n  - type: ws-binary\n    options:\n      %s: {}\n",
		"the options of an entry of auth":                "auth:\n  - type: file\n    options:\n      %s: {}\n  - type: http\n    options:\n      %[1]s: {}\n",
		"permission.options":                             "permission:\n  type: config\n  options:\n    %s: {}\n",
		"the top of the file":                            "%s: {}\n",
	}
	for key, home := range homes {
		form := forms[home]
		if form == "" {
			form = home + ":\n  %s: {}\n"
		}
		path := filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(path, fmt.Appendf(nil, form, key), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, Options{Getenv: os.Getenv})
		unknown := 0
		if err != nil {
			unknown = strings.Count(err.Error(), fmt.Sprintf("unknown key %q", key))
		}
		// One of the two kinds of auth does not know the key.
		if most := strings.Count(form, "%") - 1; unknown > most {
			t.Errorf("key %q is unknown in %s: %v", key, home, err)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	places := []string{filepath.Join(dir, "a", "config"), filepath.Join(dir, "b", "config")}
	f := func(named, want, wantErr string) {
		t.Helper()
		got, err := Find(named, places)
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("Find(%q) = %q, %v; want %q, %q", named, got, err, want, wantErr)
		}
	}
	f("", "", "")
	second := write("b/config.json")
	f("", second, "")
	first := write("a/config.yaml")
	f("", first, "")
	yml := write("a/config.yml")
	f("", yml, "")
	f(second, second, "")
	f(filepath.Join(dir, "a"), yml, "")
	f(dir, "", "has no config.yml")
	f(filepath.Join(dir, "none.yml"), "", "configuration file not found at: ")
}

func TestNearest(t *testing.T) {
	known := []string{"host", "port", "healthCheckPath", "maxMessageSize"}
	f := func(word, want string) {
		t.Helper()
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	f("prot", "port")
	f("Host", "host")
	f("healtCheckPath", "healthCheckPath")
	f("max-message-size", "maxMessageSize")
	f("telemetry", "")
	f("x", "")
}

// FuzzLoad checks that no file makes the reader panic or load something that the
// node would not take.
func FuzzLoad(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	f.Add([]byte("a: &a [*a]\nauth: *a\n"))
	f.Add([]byte("<<: {<<: {port: 1}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load(path, Options{Getenv: func(k string) string { return k }})
		if err == nil && s.Node.Addr == "" {
			t.Error("settings without an address")
		}
	})
}
