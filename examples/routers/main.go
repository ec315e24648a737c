// Command routers serves one small API on net/http, chi, gin, echo, fiber or
// gRPC, with the same keys. The file named after a router is what to copy.
//
//	go run ./examples/routers -router gin
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	router := flag.String("router", "net/http", "net/http, chi, gin, echo, fiber or grpc")
	flag.Parse()
	log.Fatal(run(*router, *addr))
}

func run(router, addr string) error {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Plan: func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "all", MaxKeys: 10, KeyLimits: []apikey.Limit{apikey.PerMinute(60)}}, nil
		},
	})
	if err != nil {
		return err
	}
	defer keys.Close(ctx)
	issued, err := keys.Keyring("acct_42", apikey.Operator("demo")).Create(ctx, apikey.KeyParams{
		Name: "Demo", Permissions: apikey.Permissions{"reports:*"},
	})
	if err != nil {
		return err
	}
	server, err := newServer(router, &service{keys: keys, every: 10 * time.Second})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("%s on %s; the key: %s\n", router, ln.Addr(), issued.Token.Reveal())
	return server.serve(ln)
}

type server struct {
	serve func(net.Listener) error
	stop  func() error // ends serve, and what it served
}

func newServer(router string, s *service) (server, error) {
	switch router {
	case "net/http":
		return httpServer(netHTTP(s)), nil
	case "chi":
		return httpServer(withChi(s)), nil
	case "gin":
		return httpServer(withGin(s)), nil
	case "echo":
		return httpServer(withEcho(s)), nil
	case "fiber":
		app := withFiber(s)
		return server{func(ln net.Listener) error {
			return app.Listener(ln, fiber.ListenConfig{DisableStartupMessage: true})
		}, app.Shutdown}, nil
	case "grpc":
		g := withGRPC(s)
		return server{g.Serve, func() error { g.Stop(); return nil }}, nil
	}
	return server{}, fmt.Errorf("there is no router %q here", router)
}

func httpServer(h http.Handler) server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return server{s.Serve, s.Close}
}
