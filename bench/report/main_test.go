package main

import (
	"os"
	"testing"

	"github.com/go-apikey/apikey/bench/load"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) {
	load.Main()
	if len(os.Args) > 1 && os.Args[1] == "-child" { // started by TestShort
		main()
		os.Exit(0)
	}
	secretwatch.Main(m)
}
