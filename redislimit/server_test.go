package redislimit_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

// server is a redis-server of a test's own.
type server struct {
	t    testing.TB
	port int
	args []string
	cmd  *exec.Cmd

	control *redis.Client // for the test's own commands
}

// startServer starts one in a directory of its own and ends it with the test.
// Without redis-server the test is skipped, unless APIKEY_REQUIRE names redis.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if strings.Contains(os.Getenv("APIKEY_REQUIRE"), "redis") {
			t.Fatal("APIKEY_REQUIRE names redis, and there is no redis-server")
		}
		t.Skip("there is no redis-server: install Redis 6.2 or later")
	}
	s := &server{t: t, port: freePort(t), args: append([]string{"--dir", t.TempDir()}, args...)}
	s.control = redis.NewClient(&redis.Options{Addr: s.addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = s.control.Close() })
	t.Cleanup(s.kill)
	s.start()
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		if port < 50000 { // a cluster's bus is 10,000 above
			return port
		}
	}
}

func (s *server) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// start starts the server, again after a kill, and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	args := append([]string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--enable-debug-command", "yes"}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the server answers", func() error { return s.control.Ping(context.Background()).Err() })
}

// kill ends the server as kill -9 does.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil || s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// client is a client of the server with the defaults of go-redis.
func (s *server) client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: s.addr()})
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

func (s *server) do(args ...any) any {
	s.t.Helper()
	v, err := s.control.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return v
}

func newLimiter(t testing.TB, client redis.UniversalClient, cfg *redislimit.Config) *redislimit.Limiter {
	t.Helper()
	l, err := redislimit.New(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) }) // to a server that may be gone
	return l
}

// eventually waits until check passes.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(fmt.Errorf("%s: not within 30 s: %w", what, err))
}
