package redislimit_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

// farConn is to a server from which an answer takes long.
type farConn struct {
	net.Conn
	roundTrip *atomic.Int64
}

func (c farConn) Write(data []byte) (int, error) {
	<-time.After(time.Duration(c.roundTrip.Load()))
	return c.Conn.Write(data)
}

// Where the way to Redis is long, a decision takes one round trip, also when
// several others are under way.
func TestLongWay(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	var roundTrip atomic.Int64
	client := redis.NewClient(&redis.Options{Addr: s.addr(), Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		return farConn{conn, &roundTrip}, err
	}})
	t.Cleanup(func() { _ = client.Close() })
	l := newLimiter(t, client, &redislimit.Config{Timeout: 10 * time.Second})
	remaining(t, l, keyBucket("o", "k", day)) // so that Redis has the script
	roundTrip.Store(int64(50 * time.Millisecond))
	var wg sync.WaitGroup
	for range 8 { // and connections for pipelines are made
		wg.Go(func() {
			_, _ = client.Pipelined(context.Background(), func(p redis.Pipeliner) error { return p.Ping(context.Background()).Err() })
		})
	}
	wg.Wait()
	roundTrip.Store(int64(time.Second))
	for range 6 {
		wg.Go(func() {
			if d, elapsed, err := take(l, keyBucket("o", "k", day)); err != nil || elapsed > time.Second+slack {
				t.Errorf("at a round trip of 1 s, after %v: %+v, %v", elapsed, d, err)
			}
		})
		<-time.After(50 * time.Millisecond) // so that they do not go together
	}
	wg.Wait()
}
