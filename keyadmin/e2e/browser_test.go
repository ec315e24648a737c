package e2e_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

// chromium is the browser's path; a test without it is skipped, unless
// APIKEY_REQUIRE names it.
func chromium(t *testing.T) string {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = "chromium"
	}
	found, err := exec.LookPath(path)
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("APIKEY_REQUIRE"), ","), "chromium") {
			t.Fatal("APIKEY_REQUIRE names chromium, and there is none: ", err)
		}
		t.Skip("chromium is not there: ", err)
	}
	return found
}

// profile is one Chromium with a profile of its own, of one person.
type profile struct {
	t     *testing.T
	world *world
	first *tab
}

// patience is how long anything may take.
const patience = 45 * time.Second

func newBrowser(t *testing.T, w *world, person string) *profile {
	t.Helper()
	path := chromium(t)
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(time.Minute),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	b := &profile{t: t, world: w}
	b.first = b.open(allocator)
	b.first.visit("/login?user=" + person)
	return b
}

// tab is a tab. What happens in it that must never happen is a failure of its
// test: an error on the console, a request to another host, a token in a URL.
type tab struct {
	t     *testing.T
	world *world
	ctx   context.Context //nolint:containedctx // chromedp keeps the tab in it

	mu       sync.Mutex
	requests []string
	received float64 // bytes on the wire
	expected int     // statuses of 400 and more that a step is to bring, which the console tells of
}

func (b *profile) open(parent context.Context) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	b.t.Cleanup(cancel)
	tb := &tab{t: b.t, world: b.world, ctx: ctx}
	b.check(chromedp.Do(ctx)) // a deadline on the first use would be the browser's
	b.check(chromedp.Listen(ctx, tb.listen))
	call(tb, network.Enable, network.EnableParams{})
	call(tb, log.Enable, cdp.Empty{})
	call(tb, runtime.Enable, cdp.Empty{})
	return tb
}

func (b *profile) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// another opens a second tab of the same person.
func (b *profile) another() *tab { return b.open(b.first.ctx) }

func (tb *tab) listen(event any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	place := tb.t.Name() + ": browser"
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		tb.requests = append(tb.requests, e.Request.Method+" "+e.Request.URL)
		u, err := url.Parse(e.Request.URL)
		if err == nil && u.Scheme == "data" { // the browser's own signs, in fields and on its pages
			return
		}
		secretwatch.Text(place+": URL", e.Request.URL)
		if err != nil || u.Scheme != "about" && u.Host != tb.world.host {
			tb.t.Errorf("a request left the host: %s", e.Request.URL)
		}
	case *network.EventLoadingFinished:
		tb.received += e.EncodedDataLength
	case *runtime.EventConsoleAPICalled:
		tb.t.Errorf("the console says %s: %s", e.Type, arguments(e.Args))
	case *runtime.EventExceptionThrown:
		tb.t.Errorf("a script failed: %s", e.ExceptionDetails.Text+" "+arguments([]*runtime.RemoteObject{e.ExceptionDetails.Exception}))
	case *log.EventEntryAdded:
		secretwatch.Text(place+": log", e.Entry.Text+e.Entry.URL)
		if e.Entry.Source == log.EntrySourceNetwork && tb.expected > 0 {
			tb.expected--
			return
		}
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			tb.t.Errorf("the log says %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}
}

func arguments(args []*runtime.RemoteObject) string {
	var parts []string
	for _, a := range args {
		parts = append(parts, string(a.Value)+a.Description)
	}
	return strings.Join(parts, " ")
}

// expect says that the next n answers of 400 and more are meant.
func (tb *tab) expect(n int) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.expected = n
}

func (tb *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.t.Fatalf("%v\n%s", err, tb.state())
	}
}

// call sends a command of the DevTools protocol.
func call[P, R any](tb *tab, command cdp.Command[P, R], params P) R {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, command, params)
	if err != nil {
		tb.t.Fatalf("%s: %v", command.Method, err)
	}
	return r
}

// value evaluates a script.
func value[T any](tb *tab, script string, options ...chromedp.EvaluateOption) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, options...))
	if err != nil {
		tb.t.Fatalf("%.200s: %v\n%s", script, err, tb.state())
	}
	return v
}

// state is what the tab shows, for a failure.
func (tb *tab) state() string {
	ctx, cancel := context.WithTimeout(tb.ctx, 2*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.querySelector("main") ?? document.body).innerText.slice(0, 1500)`))
	return text
}

// visit goes to a path of the host, as by typing it.
func (tb *tab) visit(path string) {
	tb.t.Helper()
	tb.do(chromedp.Navigate(tb.world.server.URL + path))
}

func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.do(chromedp.Click(chromedp.CSS(selector)))
}

// press clicks on the button or link of this text.
func (tb *tab) press(text string) {
	tb.t.Helper()
	tb.do(chromedp.Click(fmt.Sprintf(`//main//*[self::a or self::button or self::label][normalize-space(.)=%q]`, text), chromedp.NodeVisible))
}

// fill replaces what a field holds, by typing.
func (tb *tab) fill(selector, text string) {
	tb.t.Helper()
	tb.do(chromedp.Focus(chromedp.CSS(selector)))
	value[bool](tb, fmt.Sprintf(`document.querySelector(%q).select() ?? true`, selector))
	tb.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// until waits for a script to be true. Pages may come and go meanwhile.
func (tb *tab) until(script string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script)); err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.t.Fatalf("never true: %s\n%s", script, tb.state())
		}
	}
}

// sees waits until the page shows a text, and nothing is under way.
func (tb *tab) sees(text string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf(`document.readyState === "complete" && document.body.innerText.includes(%q) && document.querySelector("main").getAttribute("aria-busy") !== "true"`, text))
}

func (tb *tab) path() string {
	tb.t.Helper()
	return strings.TrimPrefix(value[string](tb, "location.href"), tb.world.server.URL)
}
