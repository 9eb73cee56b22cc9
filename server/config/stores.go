package config

// readStores reads cache and storage, and plugins, which holds them in the 1.x
// line.
func readStores(top *section, to *Settings) {
	plugins := top.sub("plugins")
	readCache(plugins.plugin("cache"), to)
	readStorage(plugins.plugin("storage"), to)
	readBus(plugins.plugin("message"), to, "msg")
	readLogger(plugins.plugin("logger"), &to.Log)
	if plugins != nil {
		for _, key := range plugins.keys {
			switch key {
			case "cache", "storage", "message", "logger":
			default:
				plugins.skip(key)
				plugins.fail(key, "is not possible: plugins are JavaScript")
			}
		}
	}
	plugins.close()
	readCache(top.plugin("cache"), to)
	readStorage(top.plugin("storage"), to)
}

func readCache(p *plugin, to *Settings) {
	switch {
	case p == nil:
	case p.is("cache", "default", "memory"):
		bytes := 0
		if p.options.number("maxBytes", &bytes, 0, 1<<50) {
			to.CacheBytes = int64(bytes)
		}
		p.options.close()
		to.CacheRedis = nil
	case p.is("cache", "redis"):
		to.CacheRedis = readRedis(p.options)
	default:
		p.refuse("must be default or redis: there is no cache %q", p.kind)
	}
}

func readStorage(p *plugin, to *Settings) {
	switch {
	case p == nil:
	case p.is("storage", "default", "none"):
		p.options.close()
		to.StorageFile = ""
	case p.is("storage", "bbolt"):
		var path string
		if !p.options.text("path", &path) {
			p.refuse("bbolt needs the option path, the file to write to")
			return
		}
		to.StorageFile = p.at.r.path(path)
		p.options.close()
	default:
		p.refuse("must be default (none) or bbolt: there is no storage %q, and records would be lost", p.kind)
	}
}

// readBus reads what joins nodes to a cluster.
func readBus(p *plugin, to *Settings, section string) {
	switch {
	case p == nil:
	case p.is(section, "default", "none"):
		p.options.skip("host", "port")
		p.options.close()
	case p.is(section, "vertical"):
		p.options.close()
		p.warn("vertical has no effect: one process uses all processors")
	case p.is(section, "redis"):
		to.Bus = readRedis(p.options)
	default:
		p.refuse("must be default or redis: there is no message bus %q", p.kind)
	}
}

// readCluster reads clusterNode; the rest is about the original's own protocol
// between nodes.
func readCluster(s *section, to *Settings) {
	readBus(s.plugin("clusterNode"), to, "clusternode")
	s.skip("clusterRegistry", "clusterStates", "locks", "subscriptions")
}
