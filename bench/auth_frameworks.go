package bench

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/keyauth"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/valyala/fasthttp"
)

// frameworkGuards are those of web frameworks.
func frameworkGuards() []Subject {
	return []Subject{
		{
			Name:   "gin, hand-written",
			Module: "github.com/gin-gonic/gin",
			Leaves: "all but authentication, as sha256 + map; gin's router is in the figure",
			Start:  startGin,
		},
		{
			Name:   "echo KeyAuth",
			Module: "github.com/labstack/echo/v4",
			Leaves: "all but authentication: it has its validator look up the SHA-256 in a map; echo's router is in the figure",
			Start:  startEcho,
		},
		{
			Name:   "fiber keyauth",
			Module: "github.com/gofiber/fiber/v3",
			Leaves: "all but authentication: it has its validator look up the SHA-256 in a map; fiber's router is in the figure. On fasthttp, with one RequestCtx used again",
			Start:  startFiber,
		},
	}
}

func startGin(w *Workload) (*Running, error) {
	keys := sumsOf(w)
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(func(c *gin.Context) {
		token, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
		if !ok {
			c.AbortWithStatus(http.StatusUnauthorized)
			return
		}
		owner, ok := keys.owner(token)
		if !ok {
			c.AbortWithStatus(http.StatusUnauthorized)
			return
		}
		c.Set("owner", owner)
		c.Next()
	})
	router.GET("/", func(c *gin.Context) { c.Status(answerTo(c.GetString("owner"))) })
	return bearerSubject(w, router), nil
}

func startEcho(w *Workload) (*Running, error) {
	keys := sumsOf(w)
	e := echo.New()
	e.Use(middleware.KeyAuth(func(key string, c echo.Context) (bool, error) {
		owner, ok := keys.owner(key)
		if ok {
			c.Set("owner", owner)
		}
		return ok, nil
	}))
	e.GET("/", func(c echo.Context) error {
		owner, _ := c.Get("owner").(string)
		return c.NoContent(answerTo(owner))
	})
	return bearerSubject(w, e), nil
}

func startFiber(w *Workload) (*Running, error) {
	keys := sumsOf(w)
	app := fiber.New()
	app.Use(keyauth.New(keyauth.Config{
		Validator: func(c fiber.Ctx, key string) (bool, error) {
			owner, ok := keys.owner(key)
			if ok {
				c.Locals(ownerKey{}, owner)
			}
			return ok, nil
		},
	}))
	app.Get("/", func(c fiber.Ctx) error {
		c.Status(answerTo(fiber.Locals[string](c, ownerKey{})))
		return nil
	})
	h := app.Handler()
	return tokenSubject(w, "Bearer ", func() func(string) int { return sendFast(h) }, nil), nil
}

// sendFast is a client of a handler of fasthttp, which uses one RequestCtx, as
// the server does for the requests of a connection.
func sendFast(h fasthttp.RequestHandler) func(credential string) (status int) {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(fasthttp.MethodGet)
	ctx.Request.SetRequestURI("/")
	return func(credential string) int {
		credential = after(ctx.Response.StatusCode(), credential)
		// Where it fits the credential takes the place of the last one, which is
		// what comes nearest to the header that net/http's clients have at no cost.
		if last := ctx.Request.Header.Peek(authorization); len(last) == len(credential) {
			copy(last, credential)
		} else {
			ctx.Request.Header.Set(authorization, credential)
		}
		ctx.Response.Reset()
		ctx.ResetUserValues()
		h(&ctx)
		return ctx.Response.StatusCode()
	}
}
