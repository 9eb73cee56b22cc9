//go:build race

package affinity

// The race detector makes a million of anything slow; this is still more than
// the front holds.
const million = 300_000
