// Command quickstart is a small API whose routes are guarded by keys. It
// prints the curl lines that try it, step by step, and what they answer.
//
//	go run ./examples/quickstart          serve until Ctrl-C
//	go run ./examples/quickstart -check   run the steps themselves, and fail if an answer is another
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, or with -check until the steps are done.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "address to listen on; port 0 picks one")
	check := flags.Bool("check", false, "run the printed steps and fail if an answer is another")
	if err := flags.Parse(args); err != nil {
		return err
	}

	s, err := newService(ctx)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return errors.Join(err, s.keys.Close(ctx))
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() { // first the server, so that no request finds the Manager closed
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, server.Shutdown(ctx), s.keys.Close(ctx))
	}()

	base := "http://" + listener.Addr().String()
	if _, err := fmt.Fprintf(stdout, "listening on %s\n\n%s", base, s.guide(base)); err != nil {
		return err
	}
	if *check {
		return s.check(ctx, base, stdout)
	}
	select {
	case <-ctx.Done(): // Ctrl-C
		return nil
	case err := <-served:
		return err
	}
}
