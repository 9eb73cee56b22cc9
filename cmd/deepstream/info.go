package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/dsproxy/dsproxy/server"
)

// meta has the keys of the original, and goVersion in place of nodeVersion.
type meta struct {
	Version   string   `json:"deepstreamVersion"`
	Ref       string   `json:"ref"`
	BuildTime string   `json:"buildTime"`
	Platform  string   `json:"platform"`
	Arch      string   `json:"arch"`
	GoVersion string   `json:"goVersion"`
	Libs      []string `json:"libs"`
	Config    string   `json:"configFile,omitempty"`
}

// info prints what the program is made of.
func (p *program) info(args []string) error {
	var o options
	if _, err := parse(newFlags("info", &o), args, 0); err != nil {
		return err
	}
	path, err := p.file(o.config)
	if err != nil {
		return err
	}
	m := meta{
		Version: server.Version(), Ref: "N/A", BuildTime: "N/A",
		Platform: runtime.GOOS, Arch: runtime.GOARCH, GoVersion: runtime.Version(), Libs: []string{}, Config: path,
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				m.Ref = s.Value
			case "vcs.time":
				m.BuildTime = s.Value
			}
		}
		for _, d := range b.Deps {
			m.Libs = append(m.Libs, d.Path+":"+d.Version)
		}
	}
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	return e.Encode(m)
}
