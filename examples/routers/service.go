package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-apikey/apikey"
)

// service is what all routers serve:
//
//	GET  /reports                     reports:read
//	POST /reports                     reports:create
//	GET  /accounts/{account}/reports  reports:read, and the key is the account's
//	GET  /events                      reports:read; a stream
type service struct {
	keys  *apikey.Manager
	every time.Duration // how often a stream asks whether its key is still good
}

// ownReports is the policy of the route that belongs to one account. Adapters
// see to it that PathValue knows the parameters of their router.
var ownReports = apikey.Policy{
	All:   []apikey.Permission{"reports:read"},
	Owner: func(r *http.Request) string { return r.PathValue("account") },
}

// reports and created are what the handlers of all routers answer.
func reports(owner string) []byte { return answer("reports", owner) }
func created(owner string) []byte { return answer("created", owner) }

func answer(what, owner string) []byte {
	body, _ := json.Marshal(map[string]string{"account": owner, what: "march"}) // of strings: never fails
	return body
}

// follow sends the events of a stream, a line of JSON each, until ctx ends, the
// client is gone or the key that opened it is no longer good, which its last
// line says.
func (s *service) follow(ctx context.Context, send func(line []byte) error) {
	ctx, stop := whileGood(ctx, s.keys, s.every)
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; send(fmt.Appendf(nil, "{\"event\":%d}\n", n)) == nil; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if denial, ok := errors.AsType[*apikey.Denial](context.Cause(ctx)); ok {
				_ = send(fmt.Appendf(nil, "{\"end\":%q}\n", denial.Reason)) // to a client that may be gone
			}
			return
		}
	}
}
