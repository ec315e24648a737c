package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// redisServer is a Redis of our own, so that we may kill it. It keeps nothing:
// when it begins anew, every bucket is full.
type redisServer struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

func startRedis(ctx context.Context, dir string) (*redisServer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &redisServer{dir: dir, port: listener.Addr().(*net.TCPAddr).Port}
	if err := listener.Close(); err != nil {
		return nil, err
	}
	return r, r.start(ctx)
}

func (r *redisServer) addr() string { return "127.0.0.1:" + strconv.Itoa(r.port) }
func (r *redisServer) pid() int     { return r.cmd.Process.Pid }

// start starts it, again after a kill at the same address, and waits until it answers.
func (r *redisServer) start(ctx context.Context) error {
	cmd := exec.Command("redis-server", "--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--appendonly", "no")
	endWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: install Redis 6.2 or later", err)
	}
	r.cmd = cmd
	logging.Disable() // it is asked before it listens
	client := redis.NewClient(&redis.Options{Addr: r.addr(), MaxRetries: -1})
	defer client.Close()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			r.kill()
			return fmt.Errorf("redis-server does not answer: %w", errors.Join(err, context.Cause(ctx)))
		}
	}
}

// kill is kill -9.
func (r *redisServer) kill() {
	if r.cmd != nil && r.cmd.ProcessState == nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	}
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
