package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

// token is what the page shows, once.
func (tb *tab) token() string {
	tb.t.Helper()
	tb.sees("It will not be shown again")
	token := value[string](tb, `document.querySelector("[data-token]").value`)
	if !strings.HasPrefix(token, "nw_") {
		tb.t.Fatalf("no token is shown, but %d characters", len(token))
	}
	return token
}

// gone fails the test if any of the tokens is anywhere in the tab.
func (tb *tab) gone(tokens ...string) {
	tb.t.Helper()
	all := value[string](tb, `document.documentElement.outerHTML + [...document.querySelectorAll("input, textarea")].map(e => e.value).join(" ") +
		location.href + JSON.stringify(history.state) + (location.protocol === "http:" // not a page of the browser's own
			? JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage}) + document.cookie : "")`)
	if !strings.Contains(all, "chrome-error:") { // a page of the browser's own
		secretwatch.Text(tb.t.Name()+": page", all)
	}
	for _, token := range tokens {
		if strings.Contains(all, token) {
			tb.t.Error("the token is there still")
		}
	}
}

// program is what a key's holder notices.
func (tb *tab) program(what, method, token string, want int) {
	tb.t.Helper()
	if got := tb.world.call(tb.t, method, token); got != want {
		tb.t.Errorf("%s: %s is answered %d, want %d", what, method, got, want)
	}
}

// clipboard lets pages use the clipboard, as a person would have to.
func (tb *tab) clipboard() {
	tb.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(tb.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, Origin: tb.world.server.URL,
		})
		if err != nil {
			tb.t.Fatal(err)
		}
	}
}

// TestLife is the life of a key, as a person has it on the page and a program
// sees it.
func TestLife(t *testing.T) {
	w := newWorld(t)
	tb := newBrowser(t, w, "ana").first
	tb.clipboard()
	tb.visit(mount)
	loads := tb.count("/settings/keys/ui/app-")

	tb.press("Create the first key")
	tb.sees("Create a key")
	tb.fill("#name", "Render farm")
	tb.fill("#description", "Two racks")
	tb.click("input.singly")
	tb.click(`[value="documents:read"]`)
	tb.click(`[value="documents:generate"]`)
	tb.press("Create key")
	first := tb.token()
	tb.press("Copy")
	tb.sees("Copied to the clipboard")
	if got := value[string](tb, `navigator.clipboard.readText()`, chromedp.EvalAwaitPromise); got != first {
		t.Error("the clipboard does not hold the token")
	}
	tb.press("I have saved it")
	tb.sees("Never used.")
	tb.gone(first)

	tb.program("new", "GET", first, 204)
	tb.program("new", "POST", first, 204)
	tb.rises("2 requests admitted")

	tb.press("Edit")
	tb.sees("Change Render farm")
	tb.fill("#name", "Render farm 2")
	tb.click(`[value="documents:generate"]`)
	tb.press("Save changes")
	tb.sees("Your changes are saved")
	tb.sees("Render farm 2")
	tb.program("cut", "POST", first, 403)
	tb.program("cut", "GET", first, 204)
	tb.rises("1 denied")

	tb.press("Disable")
	tb.sees("The key is disabled")
	tb.program("disabled", "GET", first, 401)
	tb.press("Enable")
	tb.sees("The key is enabled")
	tb.program("enabled", "GET", first, 204)

	tb.press("Rotate")
	tb.sees("Choose how long")
	tb.press("Make a new token")
	second := tb.token()
	if second == first {
		t.Error("the new token is the old one")
	}
	tb.press("I have saved it")
	tb.sees("Two tokens work")
	tb.gone(first, second)
	tb.program("rotating", "GET", first, 204)
	tb.program("rotating", "GET", second, 204)
	tb.press("End the earlier token now")
	tb.sees("The earlier token has ended")
	tb.program("ended", "GET", first, 401)
	tb.program("ended", "GET", second, 204)

	tb.press("Revoke")
	tb.sees("Revoke Render farm 2?")
	tb.press("Revoke “Render farm 2”")
	tb.sees("It will never work again")
	tb.program("revoked", "GET", second, 401)
	tb.press("Delete")
	tb.sees("Delete Render farm 2?")
	tb.press("Delete “Render farm 2”")
	tb.sees("The key is deleted")
	tb.sees("No keys yet")
	tb.click(`.tabs a[href$="ui/history"]`)
	for _, what := range []string{"Deleted", "Revoked", "Earlier token ended", "Rotated", "Enabled", "Disabled", "Changed", "Created", "by ana@northwind.example"} {
		tb.sees(what)
	}
	if got := tb.count("/settings/keys/ui/app-"); got != loads {
		t.Errorf("style and script were asked for %d times more: something was loaded anew", got-loads)
	}
	tb.gone(first, second)
}

// count is how many requests had this in their URL so far.
func (tb *tab) count(part string) int {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	n := 0
	for _, r := range tb.requests {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

// rises goes to the key's page until it says so: counts come with the next flush.
func (tb *tab) rises(text string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf(`(() => {
		if (document.readyState === "complete" && document.querySelector("main").innerText.includes(%q)) return true;
		if (document.documentElement.dataset.asked !== "true") { document.documentElement.dataset.asked = "true"; document.querySelector(".range a").click(); setTimeout(() => delete document.documentElement.dataset.asked, 100); }
		return false; })()`, text))
}

// TestTokenIsGone: after a token was shown, by leaving, reloading and going
// back, with script and without.
func TestTokenIsGone(t *testing.T) {
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("script=%v", script), func(t *testing.T) {
			w := newWorld(t)
			tb := newBrowser(t, w, "ana").first
			mint := func(name string) string {
				tb.visit(mount + "ui/new")
				tb.fill("#name", name)
				tb.press("Create key")
				return tb.token()
			}
			if !script {
				call(tb, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			}
			one := mint("one")
			tb.visit("/docs")
			tb.expect(1) // a form is not sent again by going back
			tb.back()
			tb.gone(one)

			two := mint("two")
			tb.expect(1)
			tb.do(chromedp.Reload())
			tb.gone(one, two)

			three := mint("three")
			tb.press("I have saved it")
			tb.sees("Requests")
			tb.expect(1)
			tb.back()
			tb.gone(one, two, three)
			tb.visit(mount)
			if got := value[int](tb, `document.querySelectorAll("tbody tr").length`); got != 3 {
				t.Errorf("%d keys, want 3: going back or reloading made another", got)
			}
		})
	}
}

// back goes back, whether or not the browser then shows a page of its own.
func (tb *tab) back() {
	tb.t.Helper()
	was := value[string](tb, "location.href")
	_ = chromedp.Do(tb.ctx, chromedp.NavigateBack()) // of a form that would be sent again the browser asks first
	tb.until(fmt.Sprintf(`document.readyState === "complete" && (location.href !== %q || !document.querySelector("[data-token]")?.value)`, was))
}

// TestStaleTab: what a second tab changed is not overwritten, and what the
// first one holds is not lost.
func TestStaleTab(t *testing.T) {
	w := newWorld(t)
	id := w.seed(t)["CI pipeline"]
	b := newBrowser(t, w, "ana")
	one, two := b.first, b.another()
	edit := mount + "ui/keys/" + id
	one.visit(edit + "/edit")
	two.visit(edit + "/edit")
	two.fill("#name", "Theirs")
	two.press("Save changes")
	two.sees("Your changes are saved")

	one.fill("#description", "typed with care")
	one.expect(1)
	one.press("Save changes")
	one.sees("The key was changed meanwhile")
	one.sees("Theirs")
	if got := value[string](one, `document.querySelector("#description").value + "|" + document.querySelector("#name").value`); got != "typed with care|CI pipeline" {
		t.Errorf("the form holds %q", got)
	}
	if got := value[bool](one, `document.activeElement.matches("[data-focus]")`); !got {
		t.Error("the explanation has no focus")
	}
	one.record("edit-stale")
	one.press("Save changes")
	one.sees("Your changes are saved")
	one.sees("typed with care")

	two.visit(edit + "/rotate")
	one.visit(edit + "/rotate")
	one.press("Make a new token")
	token := one.token()
	two.expect(1)
	two.press("Make a new token")
	two.sees("No token was made now")
	two.record("rotate-stale")
	one.visit(edit)
	two.visit(edit)
	one.press("End the earlier token now")
	one.sees("The earlier token has ended")
	two.expect(1)
	two.press("End the earlier token now")
	two.sees("changed meanwhile")
	two.record("problem-412")
	one.gone(token)
}

// TestWorkspaces: what is switched to is what is looked at, and a form of the
// one is not taken for the other.
func TestWorkspaces(t *testing.T) {
	w := newWorld(t)
	id := w.seed(t)["CI pipeline"]
	b := newBrowser(t, w, "ana")
	one, two := b.first, b.another()
	one.visit(mount + "ui/new")
	one.fill("#name", "For Northwind")
	two.visit(mount)
	two.sees("CI pipeline")
	two.do(chromedp.SetValue(chromedp.CSS("#owner-to"), "lab"))
	two.click(".switch button")
	two.sees("No keys yet")
	one.expect(1)
	one.press("Create key")
	one.sees("You look at another account now")
	two.visit(mount)
	two.sees("No keys yet")
	two.expect(1)
	two.visit(mount + "ui/keys/" + id)
	two.sees("No such key")
}

// TestLooker: who may only look sees everything and has no button, and is
// refused where they send a form by themselves.
func TestLooker(t *testing.T) {
	w := newWorld(t)
	id := w.seed(t)["Production server"]
	tb := newBrowser(t, w, "cy").first
	for _, path := range []string{"", "ui/keys/" + id, "ui/history"} {
		tb.visit(mount + path)
		if got := value[int](tb, `document.querySelectorAll("main form[method=post], main .buttons *").length`); got != 0 {
			t.Errorf("%s: %d buttons", path, got)
		}
	}
	for _, path := range []string{"ui/new", "ui/keys/" + id + "/edit", "ui/keys/" + id + "/rotate", "ui/keys/" + id + "/revoke"} {
		tb.expect(1)
		tb.visit(mount + path)
		tb.sees("Your role does not allow this")
	}
	tb.expect(1)
	status := value[int](tb, fmt.Sprintf(`fetch(%q, {method: "POST", body: new URLSearchParams({owner: "northwind"})}).then(r => r.status)`,
		mount+"ui/keys/"+id+"/disable"), chromedp.EvalAwaitPromise)
	if status != 403 {
		t.Errorf("a form of theirs is answered %d", status)
	}
}
