package main

import (
	"bufio"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"

	"github.com/go-apikey/apikey"
)

// fiberGuard is Guard for fiber. Handlers find the caller by
// apikey.FromContext in c.Context(). A Guard inside of adaptor.HTTPMiddleware
// is none: the caller does not get from there to the handler.
func fiberGuard(keys *apikey.Manager, p apikey.Policy) fiber.Handler {
	return func(c fiber.Ctx) error {
		r, err := fiberRequest(c)
		if err != nil {
			return err
		}
		caller, decision, err := keys.Check(r, p)
		if err != nil {
			return adaptor.HTTPHandlerFunc(func(w http.ResponseWriter, _ *http.Request) { keys.WriteError(w, r, err) })(c)
		}
		header := http.Header{}
		keys.SetHeader(header, caller, decision)
		for name := range header {
			c.Append(name, header[name]...)
		}
		c.SetContext(apikey.NewContext(c.Context(), caller))
		return c.Next()
	}
}

// fiberRequest is c as net/http sees it. The headers are copied once more:
// of two lines of one name, such as two keys, the adaptor keeps the last, and
// its strings change when the handler has returned, also under a store that was
// asked for the ID in a token and has kept it.
func fiberRequest(c fiber.Ctx) (*http.Request, error) {
	r, err := adaptor.ConvertRequest(c, true)
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{}
	for name, value := range c.Request().Header.All() {
		r.Header.Add(string(name), string(value))
	}
	for _, name := range c.Route().Params {
		r.SetPathValue(name, strings.Clone(c.Params(name))) // for p.Owner
	}
	return r.WithContext(c.Context()), nil
}

// fiberRequire is Require for fiber.
func fiberRequire(keys *apikey.Manager, perms ...apikey.Permission) fiber.Handler {
	return fiberGuard(keys, apikey.Policy{All: perms})
}

func withFiber(s *service) *fiber.App {
	app := fiber.New()
	app.Get("/reports", fiberRequire(s.keys, "reports:read"), fiberList)
	app.Post("/reports", fiberRequire(s.keys, "reports:create"), fiberCreate)
	app.Get("/accounts/:account/reports", fiberGuard(s.keys, ownReports), fiberList)
	app.Get("/events", fiberRequire(s.keys, "reports:read"), s.fiberEvents)
	return app
}

func fiberList(c fiber.Ctx) error {
	caller, _ := apikey.FromContext(c.Context())
	c.Set("Content-Type", "application/json")
	return c.Send(reports(caller.Owner()))
}

func fiberCreate(c fiber.Ctx) error {
	caller, _ := apikey.FromContext(c.Context())
	c.Set("Content-Type", "application/json")
	return c.Status(fiber.StatusCreated).Send(created(caller.Owner()))
}

// fiberEvents notices by a failed Flush that the client is gone: of that the
// context of a fiber request says nothing.
func (s *service) fiberEvents(c fiber.Ctx) error {
	ctx := c.Context() // c itself is another request's when the stream runs
	c.Set("Content-Type", "application/x-ndjson")
	return c.SendStreamWriter(func(w *bufio.Writer) {
		s.follow(ctx, func(line []byte) error {
			if _, err := w.Write(line); err != nil {
				return err
			}
			return w.Flush()
		})
	})
}
