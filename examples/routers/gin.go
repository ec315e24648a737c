package main

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/go-apikey/apikey"
)

// ginGuard is Guard for gin. Handlers find the caller by apikey.FromContext in
// the context of c.Request.
func ginGuard(keys *apikey.Manager, p apikey.Policy) gin.HandlerFunc {
	return func(c *gin.Context) {
		for _, param := range c.Params {
			c.Request.SetPathValue(param.Key, param.Value) // for p.Owner
		}
		caller, decision, err := keys.Check(c.Request, p)
		if err != nil {
			keys.WriteError(c.Writer, c.Request, err)
			c.Abort()
			return
		}
		keys.SetHeader(c.Writer.Header(), caller, decision)
		c.Request = c.Request.WithContext(apikey.NewContext(c.Request.Context(), caller))
	}
}

// ginRequire is Require for gin.
func ginRequire(keys *apikey.Manager, perms ...apikey.Permission) gin.HandlerFunc {
	return ginGuard(keys, apikey.Policy{All: perms})
}

func withGin(s *service) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.GET("/reports", ginRequire(s.keys, "reports:read"), ginList)
	r.POST("/reports", ginRequire(s.keys, "reports:create"), ginCreate)
	r.GET("/accounts/:account/reports", ginGuard(s.keys, ownReports), ginList)
	r.GET("/events", ginRequire(s.keys, "reports:read"), s.ginEvents)
	return r
}

func ginList(c *gin.Context) {
	caller, _ := apikey.FromContext(c.Request.Context())
	c.Data(http.StatusOK, "application/json", reports(caller.Owner()))
}

func ginCreate(c *gin.Context) {
	caller, _ := apikey.FromContext(c.Request.Context())
	c.Data(http.StatusCreated, "application/json", created(caller.Owner()))
}

func (s *service) ginEvents(c *gin.Context) {
	c.Header("Content-Type", "application/x-ndjson")
	s.follow(c.Request.Context(), func(line []byte) error {
		_, err := c.Writer.Write(line)
		c.Writer.Flush()
		return err
	})
}
