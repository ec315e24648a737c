//go:build !race

package main

// raceFlag is how demos are built: as these tests are.
var raceFlag []string
