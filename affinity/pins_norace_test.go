//go:build !race

package affinity

const million = 1_000_000
