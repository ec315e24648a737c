//go:build !linux

package load

import "time"

// Elsewhere nothing is known of processor time, and the client's timers are
// as late as the runtime's are.

func threadUsage() rusage  { return rusage{} }
func processUsage() rusage { return rusage{} }

func pause(d time.Duration) { <-time.After(d) }
