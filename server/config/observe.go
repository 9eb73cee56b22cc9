package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// readLogger reads logger. The log has two forms: text, and JSON where the
// original has pino.
func readLogger(p *plugin, to *LogSettings) {
	switch {
	case p == nil:
		return
	case p.is("logger", "default", "std"):
		to.JSON = false
	case p.is("logger", "pino", "json"):
		to.JSON = true
	case p.is("logger", "winston"):
		p.warn("winston has no effect: the log goes to standard error")
	default:
		p.refuse("must be default or pino: there is no logger %q", p.kind)
		return
	}
	p.options.skip("colors", "options", "host", "redact")
	readLevel(p.options, "logLevel", to)
	p.options.close()
}

// readObservation reads monitoring and telemetry.
func readObservation(top *section) {
	if t := top.plugin("telemetry"); t != nil {
		on := false
		t.options.flag("enabled", &on)
		t.options.skip("debug", "deploymentId")
		t.options.close()
		if on {
			t.options.warn("enabled", "has no effect: nothing is ever sent to anyone")
		}
	}
	v, ok := top.take("monitoring")
	if !ok {
		return
	}
	one := func(v value, path string) {
		p := readPlugin(top.r.section(v, path))
		if p != nil && p.key != "" && !p.is("monitoring", "none") {
			p.warn("%s has no effect: figures are served by the admin listener under /metrics", p.kind)
		}
	}
	if v.node.Kind == yaml.SequenceNode {
		top.list("monitoring", func(i int, v value) { one(v, fmt.Sprintf("monitoring[%d]", i)) })
		return
	}
	one(v, "monitoring")
}
