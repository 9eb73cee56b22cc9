package main

import (
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd how the program is, for units of Type=notify. Where
// NOTIFY_SOCKET is not set, nobody wants to know.
type notifier struct {
	// status says what the program holds. It hangs when the program does, and then
	// systemd's watchdog is not told that all is well.
	status func() string
	log    *slog.Logger
}

// statusPeriod is the time between two statuses, unless a watchdog wants them
// sooner.
const statusPeriod = 10 * time.Second

// run says that the program serves and returns; what goes on is told until done is
// closed, and the beginning of the stop when stopping is.
//
// The channel that it returns is closed when nothing more will be told.
func (n notifier) run(stopping, done <-chan struct{}) <-chan struct{} {
	ended := make(chan struct{})
	if !n.tell(daemon.SdNotifyReady, "STATUS=serving "+n.status()) {
		close(ended)
		return ended
	}
	every := statusPeriod
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("watchdog of the service manager is not served", "err", err)
	} else if watchdog > 0 {
		every = min(every, watchdog/2)
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		doing := "serving "
		for {
			var lines []string
			select {
			case <-stopping:
				stopping, doing = nil, "draining "
				lines = append(lines, daemon.SdNotifyStopping)
			case <-tick.C:
			case <-done:
				select {
				case <-stopping: // the stop was quicker than this
					n.tell(daemon.SdNotifyStopping)
				default:
				}
				return
			}
			lines = append(lines, "STATUS="+doing+n.status())
			if watchdog > 0 {
				lines = append(lines, daemon.SdNotifyWatchdog)
			}
			n.tell(lines...)
		}
	}()
	return ended
}

// reload has systemd wait until what it does is done.
func (n notifier) reload(do func()) {
	n.tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
	do()
	n.tell(daemon.SdNotifyReady)
}

// tell reports whether somebody was told.
func (n notifier) tell(lines ...string) bool {
	told, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
	if err != nil {
		n.log.Warn("service manager not told", "err", err)
	}
	return told
}
