package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// extensions are those that a configuration file may have, in the order in which
// they are looked for. The original also runs .js files, which we cannot.
var extensions = []string{".yml", ".yaml", ".json", ".js"}

// Places returns where a configuration is looked for when none is named, without
// extensions: the places of the 10.x line, then those of the 1.x line. binary is
// the path of this program.
func Places(binary string) []string {
	near := filepath.Dir(binary)
	return []string{
		"/etc/deepstream/conf",
		filepath.Join("conf", "config"),
		filepath.Join("..", "conf", "config"),
		filepath.Join(near, "conf", "config"),
		filepath.Join(near, "..", "conf", "config"),
		"/etc/deepstream/config",
		"/usr/local/etc/deepstream/config",
	}
}

// Find returns the configuration file to use: named, if it is not empty, which
// may be a directory with a file called config in it; else the first that is
// there in places; else "".
func Find(named string, places []string) (string, error) {
	if named != "" {
		info, err := os.Stat(named)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("configuration file not found at: %s", named)
		case err != nil:
			return "", fmt.Errorf("configuration file: %w", err)
		case !info.IsDir():
			return named, nil
		}
		if path := firstOf([]string{filepath.Join(named, "config")}); path != "" {
			return path, nil
		}
		return "", fmt.Errorf("directory %s has no config.yml, config.yaml or config.json", named)
	}
	return firstOf(places), nil
}

func firstOf(places []string) string {
	for _, place := range places {
		for _, ext := range extensions {
			if info, err := os.Stat(place + ext); err == nil && !info.IsDir() {
				return place + ext
			}
		}
	}
	return ""
}
