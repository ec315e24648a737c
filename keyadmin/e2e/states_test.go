package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/go-apikey/apikey"
)

// look is how a page is looked at.
type look struct {
	scheme string
	width  int64
}

var looks = []look{{"light", 1440}, {"dark", 1440}, {"light", 360}, {"dark", 360}}

// looked runs f in each look.
func (tb *tab) looked(f func(look)) {
	tb.t.Helper()
	for _, l := range looks {
		call(tb, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 900, DeviceScaleFactor: 1})
		call(tb, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		f(l)
	}
}

// record holds a state against what is asked of every state, in every look,
// and takes its picture.
func (tb *tab) record(name string) {
	tb.t.Helper()
	tb.looked(func(l look) {
		tb.t.Helper()
		tb.axe(name, l)
		if wide := value[int64](tb, `document.documentElement.scrollWidth`); wide > l.width {
			tb.t.Errorf("%s, %v: the page is %d pixels wide", name, l, wide)
		}
		tb.picture(fmt.Sprintf("%s-%s-%d", name, l.scheme, l.width))
	})
	for _, width := range []int64{320, 480, 640, 768, 1024, 1057, 1200} { // 320: WCAG 2.2, 1.4.10
		call(tb, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1})
		if wide := value[int64](tb, `Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll(".table")].map(e => innerWidth + e.scrollWidth - e.clientWidth))`); wide > width {
			tb.t.Errorf("%s at %d: the page is %d pixels wide", name, width, wide)
		}
	}
	call(tb, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 1440, Height: 900, DeviceScaleFactor: 1})
}

func (tb *tab) picture(name string) {
	tb.t.Helper()
	png := call(tb, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: new(true)}).Data
	if err := os.MkdirAll("screenshots", 0o750); err != nil {
		tb.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("screenshots", name+".png"), png, 0o600); err != nil {
		tb.t.Fatal(err)
	}
}

// axe asks axe-core for what it finds wrong by WCAG 2.2 A and AA, and by what
// it holds to be good practice.
func (tb *tab) axe(name string, l look) {
	tb.t.Helper()
	script, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		tb.t.Fatal(err)
	}
	if !value[bool](tb, `typeof axe === "object"`) {
		value[bool](tb, string(script)+"\n;true")
	}
	type violation struct {
		ID, Help string
		Nodes    []struct{ HTML, Why string }
	}
	found := value[[]violation](tb, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => (
		{ID: v.id, Help: v.help, Nodes: v.nodes.map(n => ({HTML: n.html, Why: n.failureSummary}))})))`, chromedp.EvalAwaitPromise)
	for _, v := range found {
		var where []string
		for _, n := range v.Nodes[:min(3, len(v.Nodes))] {
			where = append(where, n.HTML+"\n\t\t"+strings.ReplaceAll(n.Why, "\n", " "))
		}
		tb.t.Errorf("%s, %s %d: %s: %s (%d)\n\t%s", name, l.scheme, l.width, v.ID, v.Help, len(v.Nodes), strings.Join(where, "\n\t"))
	}
}

// run is a subtest in a tab.
func (tb *tab) run(name string, f func()) {
	tb.t.Helper()
	whole := tb.t
	whole.Run(name, func(t *testing.T) {
		tb.of(t)
		defer tb.of(whole)
		f()
	})
}

// of has what happens in the tab be told to a test.
func (tb *tab) of(t *testing.T) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.t = t
}

// TestStates: every state of the page, in every look.
func TestStates(t *testing.T) {
	w := newWorld(t)
	id := w.seed(t)
	tb := newBrowser(t, w, "ana").first
	at := func(path string) string { return mount + "ui/keys/" + path }

	tb.run("reading", func() {
		tb.visit(mount)
		tb.record("list")
		tb.visit(mount + "?q=nothing+is+called+so")
		tb.record("list-no-match")
		tb.visit(mount + "?unused=1&due=1")
		tb.record("list-filtered")
		for name, key := range map[string]string{
			"key": "Production server", "key-imported": "Legacy importer", "key-disabled": "Partner: Contoso", "key-held": "Load test",
			"key-revoked": "Old dashboard", "key-expired": "Trial integration", "key-scheduled": "Autumn campaign",
		} {
			tb.visit(at(id[key]))
			tb.record(name)
		}
		tb.visit(at(id["Production server"] + "?range=30d"))
		tb.click("summary")
		tb.record("key-30d")
		tb.visit(mount + "ui/history")
		tb.record("history")
		tb.visit(at(id["CI pipeline"] + "/history"))
		tb.record("history-key")
	})
	tb.run("forms", func() {
		tb.visit(mount + "ui/new")
		tb.record("new")
		tb.click("input.singly")
		tb.click("input.on-date")
		tb.record("new-single")
		tb.fill("#name", "x")
		tb.fill("#networks", "everywhere")
		tb.expect(1)
		tb.press("Create key")
		tb.sees("Nothing was changed yet")
		tb.record("new-invalid")
		tb.visit(at(id["CI pipeline"] + "/edit"))
		tb.record("edit")
		tb.visit(at(id["CI pipeline"] + "/rotate"))
		tb.record("rotate")
		tb.visit(at(id["Production server"] + "/rotate"))
		tb.record("rotate-two")
		tb.visit(at(id["CI pipeline"] + "/revoke"))
		tb.record("revoke")
		tb.visit(at(id["Old dashboard"] + "/delete"))
		tb.record("delete")
		tb.visit(mount + "ui/new")
		tb.fill("#name", "Invoice worker")
		tb.press("Create key")
		tb.sees("It will not be shown again")
		tb.record("token")
		tb.visit(at(id["CI pipeline"] + "/rotate"))
		tb.press("Make a new token")
		tb.sees("It will not be shown again")
		tb.record("token-rotated")
		tb.visit(at(id["Partner: Contoso"]))
		tb.press("Enable")
		tb.sees("The key is enabled")
		tb.record("key-notice")
	})
	tb.run("refusals", func() {
		for status, path := range map[string]string{"404": "ui/nothing", "404-key": "ui/keys/0123456789ab", "409": "ui/keys/" + id["Old dashboard"] + "/edit"} {
			tb.expect(1)
			tb.visit(mount + path)
			tb.record("problem-" + status)
		}
		w.store.stop(true)
		tb.expect(1)
		tb.visit(mount)
		tb.record("problem-503")
		w.store.stop(false)
		tb.visit(mount)
		w.store.stop(true)
		tb.expect(1)
		tb.fill("#q", "ci")
		tb.sees("Not available")
		tb.record("problem-503-script")
		w.store.stop(false)
	})
	tb.run("plans", func() {
		w.set(func() { w.plans["northwind"] = apikey.Plan{Name: "starter", MaxKeys: 5} })
		tb.visit(mount)
		tb.record("list-full")
		tb.visit(mount + "ui/new")
		tb.record("new-full")
		w.set(func() {
			w.plans["northwind"] = apikey.Plan{Name: "free", Refusal: "Keys come with the Starter plan and above."}
		})
		tb.visit(mount)
		tb.record("list-no-plan")
		w.set(func() { clear(w.plans) })
	})
	tb.run("people", func() {
		tb.visit("/login?user=none")
		tb.expect(1)
		tb.visit(mount)
		tb.record("problem-403")
		tb.visit("/login?user=nobody")
		tb.expect(1)
		tb.visit(mount)
		tb.record("problem-401")
		tb.visit("/login?user=cy")
		tb.visit(mount)
		tb.record("list-looker")
		tb.visit(at(id["Production server"]))
		tb.record("key-looker")
		tb.visit("/login?user=di")
		tb.visit(mount + "ui/new")
		tb.record("new-low")
		tb.visit("/login?user=support")
		tb.visit(at(id["Load test"]))
		tb.record("key-operator")
		tb.visit(at(id["Production server"] + "/edit"))
		tb.record("edit-operator")
		tb.visit("/login?user=ana")
		tb.visit(mount)
		tb.do(chromedp.SetValue(chromedp.CSS("#owner-to"), "lab"))
		tb.click(".switch button")
		tb.sees("No keys yet")
		tb.record("list-empty")
		tb.visit(mount + "ui/history")
		tb.record("history-empty")
	})
}
