package proxy

import "syscall"

// sparedFiles are left to backends, the table, gossip and the admin listener, which
// has to answer when clients have taken all that there is.
const sparedFiles = 200

// clientFiles is how many files clients and their tunnels may take; 0 if that is not
// known.
func clientFiles() int64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) > 1<<40 {
		return 0
	}
	may := int64(limit.Cur)
	return may - min(sparedFiles, may/4)
}
