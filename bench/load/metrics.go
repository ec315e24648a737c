package load

import (
	"bytes"
	"math"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rusage is what a thread or process used.
type rusage struct {
	cpu     time.Duration
	waited  int64 // times it gave up its processor
	preempt int64 // times the system took it away
}

// gauge is what a process knows of its effort so far.
type gauge struct {
	CPU    time.Duration `json:"cpu"`
	GC     float64       `json:"gc"`   // processor seconds, as of the last cycle's end
	Used   float64       `json:"used"` // processor seconds that were not idle, as of then
	Cycles uint64        `json:"cycles"`
	Stops  []uint64      `json:"stops"` // of the world, by stopBounds
}

// read takes the gauge's measures. With fresh it ends a garbage collection
// before, since what the runtime tells of processor time is as of the last
// one's end: between two readings lie whole cycles.
func read(fresh bool) gauge {
	if fresh {
		runtime.GC()
	}
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/cpu/classes/idle:cpu-seconds"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: stopsName},
	}
	metrics.Read(samples)
	return gauge{
		CPU:    processUsage().cpu,
		GC:     samples[0].Value.Float64(),
		Used:   samples[1].Value.Float64() - samples[2].Value.Float64(),
		Cycles: samples[3].Value.Uint64(),
		Stops:  samples[4].Value.Float64Histogram().Counts,
	}
}

const stopsName = "/sched/pauses/total/gc:seconds"

// effort is what went on between two readings.
func effort(from, to *gauge, requests int, took time.Duration) Effort {
	cpu := to.CPU - from.CPU
	e := Effort{
		Cores:      cpu.Seconds() / took.Seconds(),
		PerRequest: float64(cpu.Nanoseconds()) / float64(max(requests, 1)),
		GCCycles:   int(to.Cycles - from.Cycles),
		Stopped:    longestStop(from.Stops, to.Stops),
	}
	if e.used = to.Used - from.Used; e.used > 0 {
		e.GC = (to.GC - from.GC) / e.used
	}
	return e
}

// longestStop is the upper end of the highest bucket that grew.
func longestStop(from, to []uint64) time.Duration {
	sample := []metrics.Sample{{Name: stopsName}}
	metrics.Read(sample)
	bounds := sample[0].Value.Float64Histogram().Buckets // of this process, and the same in each
	for i, n := range slices.Backward(to) {
		if n == from[i] {
			continue
		}
		end := bounds[i+1]
		if math.IsInf(end, 1) {
			end = bounds[i]
		}
		return time.Duration(end * float64(time.Second))
	}
	return 0
}

// watchWaits has the runtime note where goroutines wait.
func watchWaits() { runtime.SetBlockProfileRate(int(LongPause)) }

// waits is where verification waited so far.
func waits() map[string]waiting {
	records := make([]runtime.BlockProfileRecord, 4096)
	n, _ := runtime.BlockProfile(records)
	found := make(map[string]waiting)
	for i := range records[:min(n, len(records))] {
		r := &records[i]
		if at := waitedAt(r.Stack()); at != "" {
			w := found[at]
			found[at] = waiting{w.Count + r.Count, w.Cycles + r.Cycles}
		}
	}
	return found
}

// waiting is what the block profile has of a function.
type waiting struct {
	Count  int64 `json:"count"`
	Cycles int64 `json:"cycles"`
}

// waitedAt is the innermost function of the library in a stack that goes
// through Manager.verify; "": it does not.
func waitedAt(stack []uintptr) (at string) {
	const library = "github.com/go-apikey/apikey"
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		if at == "" && (strings.HasPrefix(f.Function, library+".") || strings.HasPrefix(f.Function, library+"/memstore.")) {
			at = strings.TrimPrefix(f.Function, library)[1:]
		}
		if f.Function == library+".(*Manager).verify" {
			return at
		}
		if !more {
			return ""
		}
	}
}

// waitsSince is what was added to a reading of waits.
func waitsSince(before map[string]waiting) (found []Wait) {
	ticks := ticksPerSecond()
	for at, w := range waits() {
		old := before[at]
		if n := w.Count - old.Count; n > 0 {
			mean := float64(w.Cycles-old.Cycles) / float64(n) / ticks
			found = append(found, Wait{At: at, Count: n, Mean: time.Duration(mean * float64(time.Second))})
		}
	}
	slices.SortFunc(found, func(x, y Wait) int { return strings.Compare(x.At, y.At) })
	return found
}

// ticksPerSecond is what the block profile counts in. Only its text tells.
func ticksPerSecond() float64 {
	var text bytes.Buffer
	ticks := 1e9
	if pprof.Lookup("block").WriteTo(&text, 1) == nil {
		_, line, _ := strings.Cut(text.String(), "cycles/second=")
		line, _, _ = strings.Cut(line, "\n")
		if v, err := strconv.ParseFloat(line, 64); err == nil {
			ticks = v
		}
	}
	return ticks
}
