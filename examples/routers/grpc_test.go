package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestGRPC(t *testing.T) {
	tests := []struct {
		name      string
		method    string // "": List
		account   string
		authorize func(*world) []string // the values of authorization
		before    int                   // how often the call is made before it counts
		down      bool                  // the store is

		code  codes.Code
		text  string
		retry time.Duration
		want  string // of a good call
	}{
		{
			name: "no key", code: codes.Unauthenticated, text: "The request has no API key.",
			authorize: func(*world) []string { return nil },
		},
		{
			name: "another scheme", code: codes.Unauthenticated, text: "The Authorization header is of a scheme that is not accepted here.",
			authorize: func(w *world) []string { return []string{"Basic " + w.reader} },
		},
		{
			name: "two keys", code: codes.Unauthenticated, text: "The request must have exactly one API key, without quotes or spaces in it.",
			authorize: func(w *world) []string { return []string{"Bearer " + w.malformed(), "Bearer " + w.reader} },
		},
		{
			name: "malformed", code: codes.Unauthenticated, text: "The API key is not valid.",
			authorize: func(w *world) []string { return []string{"Bearer " + w.malformed()} },
		},
		{
			name: "unknown", code: codes.Unauthenticated, text: "The API key is not valid.",
			authorize: func(w *world) []string { return []string{"Bearer " + w.unknown} },
		},
		{
			name: "revoked", code: codes.Unauthenticated, text: "The API key has been revoked.",
			authorize: func(w *world) []string { return []string{"Bearer " + w.revoked} },
		},
		{name: "permission missing", method: "Create", code: codes.PermissionDenied, text: "The API key lacks the permission reports:create."},
		{name: "other owner", method: "Account", account: "acct_43", code: codes.PermissionDenied, text: "The API key belongs to another account."},
		{name: "no owner", method: "Account", code: codes.PermissionDenied, text: "The API key belongs to another account."},
		{
			name: "no owner and an unknown key", method: "Account", code: codes.Unauthenticated, text: "The API key is not valid.",
			authorize: func(w *world) []string { return []string{"Bearer " + w.unknown} },
		},
		{
			name: "rate limited", before: burst, code: codes.ResourceExhausted, retry: 30 * time.Second,
			text: `The limit "minute" of 2 per 1m0s is used up; try again in 30s.`,
		},
		{name: "store down", down: true, code: codes.Unavailable, text: "The call cannot be checked now; try again.", retry: time.Second},
		{name: "good", want: `{"account":"acct_42","reports":"march"}`},
		{
			name: "good, its scheme in another case", want: `{"account":"acct_42","reports":"march"}`,
			authorize: func(w *world) []string { return []string{"bEARER " + w.reader} },
		},
		{
			name: "good, to create", method: "Create", want: `{"account":"acct_42","created":"march"}`,
			authorize: func(w *world) []string { return []string{"Bearer " + w.writer} },
		},
		{name: "good, own account", method: "Account", account: ourAccount, want: `{"account":"acct_42","reports":"march"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, time.Minute)
			conn := dial(t, withGRPC(&w.service))
			values := []string{"Bearer " + w.reader}
			if tt.authorize != nil {
				values = tt.authorize(w)
			}
			method := "/reports.Reports/List"
			if tt.method != "" {
				method = "/reports.Reports/" + tt.method
			}
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": values})
			var answer text
			for range tt.before {
				_ = conn.Invoke(ctx, method, &text{Value: tt.account}, &answer)
			}
			w.down.Store(tt.down)
			answer.Reset()
			err := conn.Invoke(ctx, method, &text{Value: tt.account}, &answer)
			hold(t, err, tt.code, tt.text, tt.retry)
			if answer.GetValue() != tt.want {
				t.Errorf("answered %q, want %q", answer.GetValue(), tt.want)
			}
			whole := fmt.Sprintf("%v %+v %v", err, status.Convert(err).Proto(), answer.GetValue())
			secretwatch.Text(t.Name(), whole)
			for _, token := range []string{w.reader, w.writer, w.revoked, w.unknown} {
				if strings.Contains(whole, token[len("rd_sk_"):][:8]) {
					t.Errorf("the status has part of a token: %s", whole)
				}
			}
		})
	}
}

// TestGRPCMethodWithoutPolicy: what nobody thought of is refused.
func TestGRPCMethodWithoutPolicy(t *testing.T) {
	w := newWorld(t, time.Minute)
	guard := &grpcGuard{keys: w.keys, every: w.every}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.unary), grpc.StreamInterceptor(guard.stream))
	server.RegisterService(&reportsService, &w.service)
	conn := dial(t, server)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+w.writer)
	err := conn.Invoke(ctx, "/reports.Reports/List", &text{}, new(text))
	hold(t, err, codes.PermissionDenied, "No API key opens this method.", 0)
	err = open(t, conn, w.writer, "/reports.Reports/Events").RecvMsg(new(text))
	hold(t, err, codes.PermissionDenied, "No API key opens this method.", 0)
}

// hold holds an error of a call to its status.
func hold(t *testing.T, err error, code codes.Code, text string, retry time.Duration) {
	t.Helper()
	got := status.Convert(err)
	if got.Code() != code || got.Message() != text {
		t.Errorf("%v: %q, want %v: %q", got.Code(), got.Message(), code, text)
	}
	var wait time.Duration
	for _, detail := range got.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			wait = info.GetRetryDelay().AsDuration()
		}
	}
	if wait != retry {
		t.Errorf("come back after %v, want %v", wait, retry)
	}
}

// dial serves s on memory until the test ends, and connects to it.
func dial(t *testing.T, s *grpc.Server) *grpc.ClientConn {
	t.Helper()
	ln := bufconn.Listen(1 << 16)
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(ln) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		<-served
	})
	return conn
}

// TestGRPCStreamsEnd: a stream ends with the first look at its key after a
// revoke, whatever its handler waits for.
func TestGRPCStreamsEnd(t *testing.T) {
	const every = 10 * time.Second
	big := &text{Value: strings.Repeat("x", 1<<16)}
	tests := []struct {
		name   string
		handle func(grpc.ServerStream) error
	}{
		{"its context", func(ss grpc.ServerStream) error { <-ss.Context().Done(); return nil }},
		{"a client that says nothing", func(ss grpc.ServerStream) error { return ss.RecvMsg(new(text)) }},
		{"a client that reads nothing", func(ss grpc.ServerStream) error {
			for {
				if err := ss.SendMsg(big); err != nil {
					return err
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, every)
				ended := make(chan struct{})
				guard := &grpcGuard{keys: w.keys, every: every, methods: map[string]grpcPolicy{
					"/t.T/S": {All: []apikey.Permission{"reports:read"}},
				}}
				server := grpc.NewServer(grpc.StreamInterceptor(guard.stream))
				server.RegisterService(&grpc.ServiceDesc{ServiceName: "t.T", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
					StreamName: "S", ClientStreams: true, ServerStreams: true,
					Handler: func(_ any, ss grpc.ServerStream) error { defer close(ended); return tt.handle(ss) },
				}}}, w)
				stream := open(t, dial(t, server), w.reader, "/t.T/S")

				time.Sleep(2*every + every/2) //nolint:forbidigo // the time of a bubble of synctest
				select {
				case <-ended:
					t.Fatal("the stream ended before the key was revoked")
				default:
				}
				w.revoke(t, w.readerID)
				at := time.Now()
				<-ended
				if took := time.Since(at); took != every/2 {
					t.Errorf("the stream ended after %v, want %v", took, every/2)
				}
				var err error
				for err == nil {
					err = stream.RecvMsg(new(text))
				}
				hold(t, err, codes.Unauthenticated, "The API key has been revoked.", 0)
			})
		})
	}
}

// TestGRPCStream: the stream of the service is refused, admitted, and ended.
func TestGRPCStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Second)
		conn := dial(t, withGRPC(&w.service))
		refused := open(t, conn, w.unknown, "/reports.Reports/Events")
		hold(t, refused.RecvMsg(new(text)), codes.Unauthenticated, "The API key is not valid.", 0)
		stream := open(t, conn, w.reader, "/reports.Reports/Events")
		if err := errors.Join(stream.SendMsg(&text{}), stream.CloseSend()); err != nil {
			t.Fatal(err)
		}
		var first text
		if err := stream.RecvMsg(&first); err != nil || first.GetValue() != "1" {
			t.Fatalf("the stream began with %q: %v", first.GetValue(), err)
		}
		w.down.Store(true)
		hold(t, stream.RecvMsg(new(text)), codes.Unavailable, "The call cannot be checked now; try again.", time.Second)
	})
}

func open(t *testing.T, conn *grpc.ClientConn, token, method string) grpc.ClientStream {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}
