//go:build !linux

package tunnel

func otherLoops() []competitor { return nil }
