package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-apikey/apikey"
)

// withGRPC serves what the routers do.
func withGRPC(s *service) *grpc.Server {
	guard := &grpcGuard{keys: s.keys, every: s.every, methods: map[string]grpcPolicy{
		"/reports.Reports/List":    {All: []apikey.Permission{"reports:read"}},
		"/reports.Reports/Create":  {All: []apikey.Permission{"reports:create"}},
		"/reports.Reports/Account": {All: []apikey.Permission{"reports:read"}, Owner: account},
		"/reports.Reports/Events":  {All: []apikey.Permission{"reports:read"}},
	}}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.unary), grpc.StreamInterceptor(guard.stream))
	server.RegisterService(&reportsService, s)
	return server
}

// account is whose reports a call of Account asks for.
func account(request any) string {
	name, _ := request.(*wrapperspb.StringValue)
	return name.GetValue()
}

// text is the one message that this service knows; it has no .proto, so that
// nothing has to be generated.
type text = wrapperspb.StringValue

var reportsService = grpc.ServiceDesc{
	ServiceName: "reports.Reports",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		unaryMethod("List", reports),
		unaryMethod("Create", created),
		unaryMethod("Account", reports),
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Events", Handler: grpcEvents, ServerStreams: true},
	},
}

// unaryMethod is what generated code has for each method.
func unaryMethod(name string, answer func(owner string) []byte) grpc.MethodDesc {
	handle := func(ctx context.Context, _ any) (any, error) {
		caller, _ := apikey.FromContext(ctx)
		return &text{Value: string(answer(caller.Owner()))}, nil
	}
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			request := new(text)
			if err := decode(request); err != nil {
				return nil, err
			}
			return intercept(ctx, request, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/reports.Reports/" + name}, handle)
		},
	}
}

// grpcEvents knows nothing of keys: the interceptor ends it.
func grpcEvents(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(text)); err != nil {
		return err
	}
	if err := stream.SendMsg(&text{Value: "1"}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}
