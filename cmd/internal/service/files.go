package service

import "log/slog"

// otherFiles is what a program keeps open beside its clients: logs, Redis, gossip,
// idle connections to backends.
const otherFiles = 200

// WarnOfFiles logs when the program may not have as many files open as the clients
// take that it lets in, each so many, and how many clients there can be instead.
func WarnOfFiles(log *slog.Logger, clients, each int) {
	if may, known := fileLimit(); known {
		warnOfFiles(log, may, clients, each)
	}
}

func warnOfFiles(log *slog.Logger, may uint64, clients, each int) {
	if uint64(clients*each+otherFiles) <= may {
		return
	}
	room := max(0, int(may)-otherFiles) / each
	log.Warn("fewer files may be open than the clients take that are let in: raise LimitNOFILE or ulimit -n, or lower the limit of connections",
		"files", may, "limit", clients, "room", room)
}
