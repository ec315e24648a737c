package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/go-apikey/apikey"
)

// hostile are names that would be something else to a careless page.
var hostile = []string{
	`<script>document.title="out"</script>`, `"><img src=x onerror=document.title="out">`, `' onfocus='document.title="out"' autofocus='`,
	`javascript:document.title="out"`, `{{.Config}} ${document.title="out"}`, `</textarea><svg onload=document.title="out">`, `שלום עולם key`,
	strings.Repeat("😀", 256), strings.Repeat("W", 256), `&lt;b&gt;`, `=HYPERLINK("http://x")`,
}

// TestHostileNames: they are shown as they are, do nothing, and break no page.
func TestHostileNames(t *testing.T) {
	w := newWorld(t)
	tb := newBrowser(t, w, "ana").first
	keys := w.manager.Keyring("northwind", support)
	var one string
	for _, name := range hostile {
		issued, err := keys.Create(t.Context(), apikey.KeyParams{Name: name, Description: name, Metadata: map[string]string{name[:4]: name}})
		if err != nil {
			t.Fatalf("%.40q: %v", name, err)
		}
		one = issued.Key.ID
		for _, path := range []string{"ui/keys/" + one, "ui/keys/" + one + "/edit", "ui/keys/" + one + "/revoke", "ui/keys/" + one + "/rotate"} {
			tb.visit(mount + path)
			tb.inert(name)
		}
	}
	tb.visit(mount)
	tb.inert(hostile...)
	tb.record("list-hostile")
	tb.visit(mount + "ui/history")
	tb.inert(hostile...)
	tb.visit(mount + "?q=%22%3E%3Cimg+src%3Dx+onerror%3Ddocument.title%3D%22out%22%3E")
	if got := value[string](tb, `document.querySelector("#q").value`); got != hostile[1] {
		t.Errorf("the search holds %q", got)
	}
	tb.visit(mount + "ui/new")
	for _, name := range hostile[:2] {
		tb.visit(mount + "ui/new")
		tb.fill("#name", name)
		tb.press("Create key")
		tb.token()
		tb.inert(name)
	}
}

func (tb *tab) inert(names ...string) {
	tb.t.Helper()
	title := value[string](tb, `document.title`)
	made := value[int](tb, `document.querySelectorAll("body script, main img, [onerror], [onload], [onfocus], [autofocus]").length`)
	text := value[string](tb, `document.body.innerText`)
	wide := value[bool](tb, `document.documentElement.scrollWidth > innerWidth`)
	if strings.HasPrefix(title, "out") || made != 0 || wide {
		tb.t.Errorf("%.40q: title %.40q, %d elements made of a name, wider than the window: %v", names, title, made, wide)
	}
	for _, name := range names {
		if !strings.Contains(text, name) {
			tb.t.Errorf("%s does not show %.40q as it is", tb.path(), name)
		}
	}
}

// TestWithoutScript: all but copying works.
func TestWithoutScript(t *testing.T) {
	w := newWorld(t)
	tb := newBrowser(t, w, "support").first
	call(tb, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	tb.visit(mount)
	tb.press("Create the first key")
	tb.sees("Create a key")
	tb.fill("#name", "Plain")
	tb.click("input.singly")
	tb.click(`[value="documents:read"]`)
	tb.press("Never")
	tb.press("Create key")
	first := tb.token()
	if value[bool](tb, `[...document.querySelectorAll("[data-copy]")].some(e => e.offsetParent)`) {
		t.Error("there is a copy button that does nothing")
	}
	tb.press("I have saved it")
	tb.sees("Never used.")
	tb.program("new", "GET", first, 204)
	tb.press("Edit")
	tb.fill("#name", "Plainer")
	tb.fill(`[name=limit_name]`, "minute")
	tb.fill(`[name=limit_n]`, "5")
	tb.fill(`[name=limit_per]`, "60")
	tb.fill(`[name=meta_name]`, "ticket")
	tb.fill(`[name=meta_value]`, "4711")
	tb.press("Save changes")
	tb.sees("Your changes are saved")
	tb.sees("5 requests per minute")
	tb.sees("4711")
	tb.press("Hold")
	tb.sees("The key is held")
	tb.program("held", "GET", first, 401)
	tb.press("Release")
	tb.sees("The key is released")
	tb.press("Disable")
	tb.sees("The key is disabled")
	tb.press("Enable")
	tb.sees("The key is enabled")
	tb.press("7 days")
	tb.until(`document.querySelector(".range [aria-current]")?.innerText === "7 days"`)
	tb.press("Rotate")
	tb.press("Make a new token")
	second := tb.token()
	tb.press("I have saved it")
	tb.sees("Two tokens work")
	tb.press("End the earlier token now")
	tb.sees("The earlier token has ended")
	tb.program("ended", "GET", first, 401)
	tb.program("ended", "GET", second, 204)
	tb.visit(mount)
	tb.fill("#q", "nothing")
	tb.press("Filter")
	tb.sees("No key matches")
	tb.press("Show all keys")
	tb.sees("Plainer")
	tb.click(".name a")
	tb.press("Revoke")
	tb.press("Revoke “Plainer”")
	tb.sees("It will never work again")
	tb.press("Delete")
	tb.press("Delete “Plainer”")
	tb.sees("The key is deleted")
}

// TestKeyboard makes, renames and revokes a key with no mouse, and sees where
// it is at each step.
func TestKeyboard(t *testing.T) {
	w := newWorld(t)
	tb := newBrowser(t, w, "ana").first
	tb.visit(mount)
	tb.key(kb.Tab)
	if got := tb.focused(); got != "Skip to content" {
		t.Errorf("first comes %q", got)
	}
	tb.tabTo("Create key")
	tb.key(kb.Enter)
	tb.sees("Create a key")
	tb.tabTo("name")
	tb.type_("By keyboard")
	tb.tabTo("preset")
	tb.key(kb.ArrowDown) // the next preset
	tb.tabTo("Create key")
	tb.key(kb.Enter)
	token := tb.token()
	tb.program("new", "GET", token, 204)
	tb.tabTo("I have saved it")
	tb.key(kb.Enter)
	tb.sees("In all: ")
	tb.tabTo("Edit")
	tb.key(kb.Enter)
	tb.sees("Change By keyboard")
	tb.tabTo("name")
	tb.type_(" alone")
	tb.key(kb.Enter)
	tb.sees("Your changes are saved")
	tb.tabTo("Revoke")
	tb.key(kb.Enter)
	tb.sees("for ever")
	tb.tabTo("Revoke “By keyboard alone”")
	tb.key(kb.Enter)
	tb.sees("It will never work again")
}

func (tb *tab) key(key string) {
	tb.t.Helper()
	tb.do(chromedp.KeyEvent(key))
}

func (tb *tab) type_(text string) {
	tb.t.Helper()
	tb.key(kb.End)
	call(tb, input.InsertText, input.InsertTextParams{Text: text})
}

// focused is what has the focus: its text, or the name of a field.
func (tb *tab) focused() string {
	tb.t.Helper()
	return value[string](tb, `(e => e.name || e.innerText.trim())(document.activeElement)`)
}

// tabTo goes on with the Tab key until what is named has the focus, and shows it.
func (tb *tab) tabTo(name string) {
	tb.t.Helper()
	var seen []string
	for range 60 {
		tb.key(kb.Tab)
		got := tb.focused()
		if got == name {
			if !value[bool](tb, `(e => { const s = getComputedStyle(e), n = e.nextElementSibling && getComputedStyle(e.nextElementSibling);
				return s.outlineStyle !== "none" || n && n.outlineStyle !== "none" })(document.activeElement)`) {
				tb.t.Errorf("%q has the focus and does not show it", name)
			}
			return
		}
		seen = append(seen, got)
	}
	tb.t.Fatalf("the Tab key never reaches %q, but %q\n%s", name, seen, tb.state())
}

// TestThousandKeys: 20 pages of 50, each key once, and a search that is quick to
// use.
func TestThousandKeys(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.plans["northwind"] = apikey.Plan{Name: "enterprise", MaxKeys: apikey.NoCap} })
	keys := w.manager.Keyring("northwind", support)
	for i := range 1000 {
		if _, err := keys.Create(t.Context(), apikey.KeyParams{Name: fmt.Sprintf("Worker %04d", i), Permissions: apikey.Permissions{"documents:read"}}); err != nil {
			t.Fatal(err)
		}
	}
	tb := newBrowser(t, w, "ana").first
	tb.visit(mount)
	if got, most := tb.wire(), 60_000.0; got > most || got < 5_000 {
		t.Errorf("the first load is %.0f bytes on the wire, want up to %.0f", got, most)
	} else {
		t.Logf("the first load of 50 keys is %.0f bytes on the wire", got)
	}
	tb.record("list-many")
	seen := map[string]bool{}
	for number := 1; ; number++ {
		tb.sees(fmt.Sprintf("Page %d\n", number))
		for _, name := range value[[]string](tb, `[...document.querySelectorAll("tbody .name a")].map(e => e.innerText)`) {
			if seen[name] {
				t.Fatalf("%s is there twice", name)
			}
			seen[name] = true
		}
		if !value[bool](tb, `!!document.querySelector("[rel=next]")`) {
			if number != 20 {
				t.Errorf("%d pages, want 20", number)
			}
			break
		}
		tb.press("Older")
	}
	if len(seen) != 1000 {
		t.Errorf("%d keys were shown, want 1000", len(seen))
	}
	tb.press("Newest")
	tb.sees("Worker 0999")
	tb.fill("#q", "worker 05")
	tb.until(`document.querySelector("tbody .name a")?.innerText === "Worker 0599"`)
	if got := value[string](tb, `document.activeElement.id + document.activeElement.value`); got != "qworker 05" {
		t.Errorf("while searching the focus is on %q", got)
	}
}

// wire is how many bytes came so far, headers included.
func (tb *tab) wire() float64 {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return tb.received
}

// TestWaiting: a page that takes long says so, and one that fails loses nothing.
func TestWaiting(t *testing.T) {
	w := newWorld(t)
	w.seed(t)
	tb := newBrowser(t, w, "ana").first
	tb.visit(mount + "ui/new")
	tb.fill("#name", "Typed with care")
	slow := make(chan struct{})
	w.set(func() { w.slow = slow })
	tb.do(chromedp.Click(`//button[.="Create key"]`))
	tb.until(`document.documentElement.dataset.busy === "true" && document.querySelector("main button.primary").disabled`)
	tb.record("loading")
	w.set(func() { w.slow = nil })
	close(slow)
	tb.token()

	tb.visit(mount + "ui/new")
	tb.fill("#name", "Typed with care too")
	tb.expect(1)
	call(tb, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: true, DownloadThroughput: -1, UploadThroughput: -1}},
	})
	tb.do(chromedp.Click(`//button[.="Create key"]`))
	tb.sees("Nothing was lost")
	tb.record("offline")
	call(tb, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{}})
	if got := value[string](tb, `document.querySelector("#name").value`); got != "Typed with care too" {
		t.Errorf("the form holds %q", got)
	}
	tb.press("Try again")
	tb.token()
}
