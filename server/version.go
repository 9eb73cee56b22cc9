package server

import "runtime/debug"

// version is set by the linker where the Go tool cannot tell it, as in images.
var version string

// Version is the module's version as the linker was told or the Go tool recorded
// it, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return "devel"
}
