package load

import (
	"time"

	"golang.org/x/sys/unix"
)

func threadUsage() rusage  { return usageOf(unix.RUSAGE_THREAD, unix.CLOCK_THREAD_CPUTIME_ID) }
func processUsage() rusage { return usageOf(unix.RUSAGE_SELF, unix.CLOCK_PROCESS_CPUTIME_ID) }

// usageOf reads what a thread or process used so far: its processor time from
// the clock, since what getrusage has of a thread that runs is as of the last
// tick.
func usageOf(who int, clock int32) (u rusage) {
	var r unix.Rusage
	var t unix.Timespec
	if unix.Getrusage(who, &r) != nil || unix.ClockGettime(clock, &t) != nil {
		return u
	}
	return rusage{time.Duration(t.Nano()), r.Nvcsw, r.Nivcsw}
}

// pause waits about d. A timer of the runtime would be up to a millisecond
// late: it waits in epoll, which counts in milliseconds.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // shorter is no fault: the caller looks at the clock
}
