//go:build race

package apikeytest

const raceEnabled = true
