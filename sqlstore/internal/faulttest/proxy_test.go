//go:build linux

package faulttest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/go-apikey/apikey/sqlstore"
)

// proxy stands between a host and a server, and reads enough of their protocol
// to see each message of the host, and which of them commits.
type proxy struct {
	dialect sqlstore.Dialect
	to      string
	l       net.Listener

	mu     sync.Mutex
	decide func(commits bool) cut // nil: nothing is cut
	conns  map[net.Conn]bool
	closed bool
}

// cut is what is done at a message of the host.
type cut int

const (
	pass      cut = iota
	cutBefore     // it does not get there, and the connection ends
	cutAfter      // it gets there and is answered; the connection ends before the answer gets back
	cutAtOnce     // it gets there, and the connection ends, whatever the server makes of that
	swallow       // it gets there and is answered; the answer does not get back, and the connection stays
	vanish        // it does not get there, and the server hears nothing more, nor of an end
)

func newProxy(t *testing.T, d sqlstore.Dialect, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{dialect: d, to: to, l: l, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			host, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(host) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

// cutting sets what happens to messages from now on.
func (p *proxy) cutting(decide func(commits bool) cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = decide
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.closed
}

func (p *proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) serve(host net.Conn) {
	defer p.drop(host)
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(host) || !p.keep(server) {
		return
	}
	back := &answers{host: host, answered: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(back.ended)
		_, _ = io.Copy(back, server)
		_ = host.Close()
	}()
	p.forward(host, server, back)
	_ = server.Close()
	<-back.ended
}

// answers are the server's bytes on their way back.
type answers struct {
	host     net.Conn
	mu       sync.Mutex
	hold     bool
	answered chan struct{} // told of held bytes
	ended    chan struct{} // closed when there are no more
}

func (a *answers) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.hold {
		return a.host.Write(b)
	}
	select {
	case a.answered <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (a *answers) holdBack() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hold = true
}

// forward hands on the host's messages, until one is cut.
func (p *proxy) forward(host, server net.Conn, back *answers) {
	for first := true; ; first = false {
		message, err := p.read(host, first)
		if err != nil {
			return
		}
		what := pass
		p.mu.Lock()
		if p.decide != nil && !first && p.asks(message) {
			what = p.decide(p.commits(message))
		}
		p.mu.Unlock()
		if what == cutBefore {
			return
		}
		if what == vanish {
			<-back.ended
			return
		}
		if what == cutAfter || what == swallow {
			back.holdBack()
		}
		if _, err := server.Write(message); err != nil {
			return
		}
		switch what {
		case cutAfter:
			select {
			case <-back.answered:
			case <-back.ended:
			}
			return
		case cutAtOnce:
			return
		case pass, cutBefore, swallow, vanish:
		}
	}
}

// read reads one message of the host. The first of PostgreSQL has no type; of
// MySQL each is a packet, none of ours as long as to be split.
func (p *proxy) read(host net.Conn, first bool) ([]byte, error) {
	head := make([]byte, 4)
	if p.dialect == sqlstore.PostgreSQL && !first {
		head = make([]byte, 5)
	}
	if _, err := io.ReadFull(host, head); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(head[len(head)-4:])) - 4
	if p.dialect == sqlstore.MySQL {
		length = int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	}
	message := make([]byte, len(head)+length)
	copy(message, head)
	_, err := io.ReadFull(host, message[len(head):])
	return message, err
}

// asks reports whether the message is one that is answered by itself.
func (p *proxy) asks(message []byte) bool {
	if p.dialect == sqlstore.PostgreSQL {
		return message[0] == 'Q' || message[0] == 'S' // a query, or the end of the messages that make one
	}
	const quit, closeStatement = 0x01, 0x19
	return message[3] == 0 && len(message) > 4 && message[4] != quit && message[4] != closeStatement
}

// commits reports whether the message is a query that says COMMIT.
func (p *proxy) commits(message []byte) bool {
	query, ok := bytes.CutPrefix(message, []byte("Q"))
	if p.dialect == sqlstore.MySQL {
		ok = len(message) > 5 && message[4] == 3
		query = message
	}
	if !ok {
		return false
	}
	return bytes.EqualFold(bytes.Trim(query[min(4, len(query)):], "\x00\x03"), []byte("commit"))
}
