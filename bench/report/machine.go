package main

import (
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
)

// machine is where it was measured; nothing in it names one.
type machine struct {
	Model  string  `json:"model"` // of its processor; "": not known
	Cores  int     `json:"cores"`
	Memory float64 `json:"memory"` // GiB; 0: not known
	System string  `json:"system"`
	Go     string  `json:"go"`
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if found := in("/proc/cpuinfo", `(?m)^model name\s*: (.*)$`); found != "" {
		m.Model = found
	}
	if kib, err := strconv.ParseFloat(in("/proc/meminfo", `(?m)^MemTotal:\s*(\d+) kB$`), 64); err == nil {
		m.Memory = kib / (1 << 20)
	}
	return m
}

// in is what a pattern's group finds in a file; "", if it does not.
func in(file, pattern string) string {
	data, err := os.ReadFile(file) //nolint:gosec // G304: one of two that stand above
	if err != nil {
		return ""
	}
	if found := regexp.MustCompile(pattern).FindSubmatch(data); found != nil {
		return string(found[1])
	}
	return ""
}

// modules are the versions of what this program was built with.
func modules() map[string]string {
	versions := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, dep := range info.Deps {
		versions[dep.Path] = dep.Version
	}
	return versions
}
