package apikey

import (
	"runtime"
	"sync"
)

// slowGate lets half of the processors compute slow hashes, one for each key.
type slowGate struct {
	mu      sync.Mutex
	running map[string]int // ID of the key: processors
	free    int
	most    int
}

func newSlowGate() *slowGate {
	most := max(1, runtime.GOMAXPROCS(0)/2)
	return &slowGate{running: make(map[string]int), free: most, most: most}
}

// enter reports whether a hash of so many lanes may be computed for the key
// now; leave ends it.
func (g *slowGate) enter(id string, lanes int) bool {
	lanes = min(lanes, g.most)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[id] > 0 || g.free < lanes {
		return false
	}
	g.running[id] = lanes
	g.free -= lanes
	return true
}

func (g *slowGate) leave(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += g.running[id]
	delete(g.running, id)
}
