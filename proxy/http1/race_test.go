//go:build race

package http1

// raceEnabled: sync.Pool drops things at random under the race detector.
const raceEnabled = true
