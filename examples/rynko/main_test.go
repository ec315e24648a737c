package main

import (
	"testing"

	"github.com/go-apikey/apikey/examples/demo/demotest"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) {
	demotest.Program(main)
	secretwatch.Main(m)
}
