package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/go-apikey/apikey"
)

// grpcGuard guards the methods of a gRPC server. Handlers find the caller by
// apikey.FromContext.
type grpcGuard struct {
	keys    *apikey.Manager
	every   time.Duration         // how often a stream asks whether its key is still good
	methods map[string]grpcPolicy // by full name: "/reports.Reports/List". What is not here is refused
}

// grpcPolicy is what a method asks of a key.
type grpcPolicy struct {
	All   []apikey.Permission      // each of these is needed
	Owner func(request any) string // the key must belong to this owner; "" is refused. nil: to anyone. A stream's request is nil: it is still to come
}

// unary is a grpc.UnaryServerInterceptor.
func (g *grpcGuard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.admit(ctx, info.FullMethod, request)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

// stream is a grpc.StreamServerInterceptor. A stream ends when its key is no
// longer good, also one whose handler waits for the client.
func (g *grpcGuard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.admit(ss.Context(), info.FullMethod, nil)
	if err != nil {
		return err
	}
	ctx, stop := whileGood(ctx, g.keys, g.every)
	defer stop()
	err = handler(srv, &guardedStream{ServerStream: ss, ctx: ctx})
	if ctx.Err() != nil && ss.Context().Err() == nil {
		return grpcError(context.Cause(ctx))
	}
	return err
}

func (g *grpcGuard) admit(ctx context.Context, method string, request any) (context.Context, error) {
	policy, ok := g.methods[method]
	if !ok {
		return nil, status.Error(codes.PermissionDenied, "No API key opens this method.")
	}
	token, denial := grpcToken(ctx)
	if denial != nil {
		return nil, grpcError(denial)
	}
	ask := apikey.Request{Token: token, Peer: grpcPeer(ctx), All: policy.All}
	if policy.Owner != nil {
		ask.Owner = cmp.Or(policy.Owner(request), "\n") // nobody is called that; "" would be anybody
	}
	caller, _, err := g.keys.Verify(ctx, ask)
	if err != nil {
		return nil, grpcError(err)
	}
	return apikey.NewContext(ctx, caller), nil
}

// grpcToken finds the one token of a call, "Bearer <token>" in its
// authorization.
func grpcToken(ctx context.Context) (string, *apikey.Denial) {
	lines := metadata.ValueFromIncomingContext(ctx, "authorization")
	switch len(lines) {
	case 0:
		return "", &apikey.Denial{Reason: apikey.ReasonMissing}
	case 1:
	default:
		return "", &apikey.Denial{Reason: apikey.ReasonMalformedRequest}
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &apikey.Denial{Reason: apikey.ReasonUnsupportedScheme}
	}
	return strings.Trim(token, " \t"), nil
}

// grpcPeer is the other end of the connection; the zero Addr where that is not
// one of the network.
func grpcPeer(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddrPort(p.Addr.String())
	return addr.Addr()
}

// grpcError is what a client is told of an error of Verify or Recheck, with
// when it may come back. What the error says of keys, stores and causes is not
// in it.
func grpcError(err error) error {
	denial, refused := errors.AsType[*apikey.Denial](err)
	gone, unavailable := errors.AsType[*apikey.UnavailableError](err)
	switch {
	case refused && denial.Status() == http.StatusTooManyRequests:
		return retryLater(codes.ResourceExhausted, denial.Detail(), denial.Decision.RetryAfter)
	case refused && denial.Status() == http.StatusForbidden:
		return status.Error(codes.PermissionDenied, denial.Detail())
	case refused:
		return status.Error(codes.Unauthenticated, denial.Detail())
	case unavailable:
		return retryLater(codes.Unavailable, "The call cannot be checked now; try again.", cmp.Or(gone.RetryAfter, time.Second))
	case errors.Is(err, apikey.ErrClosed):
		return retryLater(codes.Unavailable, "The call cannot be checked now; try again.", time.Second)
	}
	return status.Error(codes.Internal, "The service is set up wrongly for this call.")
}

func retryLater(code codes.Code, text string, wait time.Duration) error {
	plain := status.New(code, text)
	full, err := plain.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	if err != nil {
		return plain.Err()
	}
	return full.Err()
}

// guardedStream is a stream with its caller in the context. No call on it
// outlasts that context: a handler that waits for a client which says nothing,
// or reads nothing, is told.
type guardedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *guardedStream) Context() context.Context { return s.ctx }
func (s *guardedStream) RecvMsg(m any) error      { return s.wait(s.ServerStream.RecvMsg, m) }
func (s *guardedStream) SendMsg(m any) error      { return s.wait(s.ServerStream.SendMsg, m) }

// wait costs a goroutine for each message, which ends with the call at the
// latest.
func (s *guardedStream) wait(do func(m any) error, m any) error {
	done := make(chan error, 1)
	go func() { done <- do(m) }()
	select {
	case err := <-done:
		return err
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}
