// Package service is what the programs share of being a service of a machine: they
// tell systemd how they are (sd_notify(3)), and ask one that runs whether it is alive.
package service

import (
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells systemd how the program is, for units of Type=notify. Where
// NOTIFY_SOCKET is not set, nobody wants to know.
type Notifier struct {
	// Status says what the program holds. It hangs when the program does, and then
	// systemd's watchdog is not told that all is well.
	Status func() string
	Log    *slog.Logger
}

// statusPeriod is the time between two statuses, unless a watchdog wants them
// sooner.
const statusPeriod = 10 * time.Second

// endTime bounds how long what is told last is waited for.
const endTime = time.Second

// Run says that the program serves and returns; what goes on is told until end is
// called, and the beginning of the stop when stopping is closed. end returns when
// nothing more will be told, but does not wait long for a program that hangs.
func (n Notifier) Run(stopping <-chan struct{}) (end func()) {
	if !n.tell(daemon.SdNotifyReady, "STATUS=serving "+n.Status()) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	every := statusPeriod
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.Log.Warn("watchdog of the service manager is not served", "err", err)
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
					n.tell(daemon.SdNotifyStopping, "STATUS=draining "+n.Status())
				default:
				}
				return
			}
			lines = append(lines, "STATUS="+doing+n.Status())
			if watchdog > 0 {
				lines = append(lines, daemon.SdNotifyWatchdog)
			}
			n.tell(lines...)
		}
	}()
	return func() {
		close(done)
		select {
		case <-ended:
		case <-time.After(endTime):
		}
	}
}

// Reload has systemd wait until what it does is done.
func (n Notifier) Reload(do func()) {
	n.tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
	do()
	n.tell(daemon.SdNotifyReady)
}

// tell reports whether somebody was told.
func (n Notifier) tell(lines ...string) bool {
	told, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
	if err != nil {
		n.Log.Warn("service manager not told", "err", err)
	}
	return told
}
