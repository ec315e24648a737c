package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"time"
)

// balancer gives requests to the nodes in turn. A node that fails is left
// alone for a second; what it was asked, the next one is asked, if that can do
// no harm.
type balancer struct {
	proxy     *httputil.ReverseProxy
	transport *http.Transport

	mu   sync.Mutex
	all  []*backend
	turn int
}

type backend struct {
	name, host string
	down       time.Time // not asked before, if another one is there
}

const leaveAlone = time.Second

func newBalancer() *balancer {
	b := &balancer{transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 64,
	}}
	b.proxy = &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetXForwarded() }, // nodes name us in TrustedProxies
		Transport: b,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "no node answers", http.StatusBadGateway)
		},
	}
	return b
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.proxy.ServeHTTP(w, r) }

// set says where a node is.
func (b *balancer) set(name, url string) {
	host := url[len("http://"):]
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.all {
		if n.name == name {
			n.host, n.down = host, time.Time{}
			return
		}
	}
	b.all = append(b.all, &backend{name: name, host: host})
}

// next is the node whose turn it is: one that is not down, while there is one.
func (b *balancer) next() (n *backend, host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for range b.all {
		n = b.all[b.turn%len(b.all)]
		b.turn++
		if now.After(n.down) {
			break
		}
	}
	return n, n.host
}

func (b *balancer) failed(n *backend, host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.host == host { // and not one that began meanwhile
		n.down = time.Now().Add(leaveAlone)
	}
}

// RoundTrip sends a request to a node, and to another if that one fails: a
// request that was not sent, or one that changes nothing. X-Tried says how many.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	for tried := 1; ; tried++ {
		n, host := b.next()
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host = "http", host
		resp, err := b.transport.RoundTrip(out)
		if err == nil {
			resp.Header.Set("X-Tried", strconv.Itoa(tried))
			return resp, nil
		}
		if r.Context().Err() != nil {
			return nil, err // the client is gone: the node may be well
		}
		b.failed(n, host)
		var dial *net.OpError
		unsent := errors.As(err, &dial) && dial.Op == "dial"
		if tried >= 3 || !unsent && r.Method != http.MethodGet {
			return nil, err
		}
	}
}
