//go:build race

package bench

// raced: the race detector's own code allocates, and has variables escape that
// otherwise do not.
const raced = true
