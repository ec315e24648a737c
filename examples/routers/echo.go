package main

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/go-apikey/apikey"
)

// withEcho needs no adapter: WrapMiddleware takes net/http's, and gives
// parameters of the path to PathValue.
func withEcho(s *service) http.Handler {
	e := echo.New()
	e.GET("/reports", echoList, echo.WrapMiddleware(s.keys.Require("reports:read")))
	e.POST("/reports", echoCreate, echo.WrapMiddleware(s.keys.Require("reports:create")))
	e.GET("/accounts/:account/reports", echoList, echo.WrapMiddleware(s.keys.Guard(ownReports)))
	e.GET("/events", s.echoEvents, echo.WrapMiddleware(s.keys.Require("reports:read")))
	return e
}

func echoList(c *echo.Context) error {
	caller, _ := apikey.FromContext(c.Request().Context())
	return c.Blob(http.StatusOK, "application/json", reports(caller.Owner()))
}

func echoCreate(c *echo.Context) error {
	caller, _ := apikey.FromContext(c.Request().Context())
	return c.Blob(http.StatusCreated, "application/json", created(caller.Owner()))
}

func (s *service) echoEvents(c *echo.Context) error {
	c.Response().Header().Set("Content-Type", "application/x-ndjson")
	s.follow(c.Request().Context(), func(line []byte) error {
		if _, err := c.Response().Write(line); err != nil {
			return err
		}
		return http.NewResponseController(c.Response()).Flush()
	})
	return nil
}
