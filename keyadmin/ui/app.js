// Fetches the pages that links and forms lead to and puts them in place, so that
// nothing is loaded twice. Without it the same links and forms work by themselves.
(() => {
  "use strict";
  const root = new URL(document.body.dataset.root, location.href);
  const busyAfter = 150; // ms
  let running = null; // AbortController of what is under way
  let posting = false;

  const within = (url) => url.origin === root.origin && url.pathname.startsWith(root.pathname) &&
    (url.pathname === root.pathname || url.pathname.startsWith(root.pathname + "ui/"));

  const busy = (on) => {
    clearTimeout(busy.timer);
    const set = () => {
      document.documentElement.dataset.busy = String(on);
      document.getElementById("main").setAttribute("aria-busy", String(on));
    };
    if (on) busy.timer = setTimeout(set, busyAfter);
    else set();
  };

  const alertWith = (text, again) => {
    const box = document.getElementById("alerts");
    const note = document.createElement("div");
    note.className = "note bad";
    note.append(Object.assign(document.createElement("p"), { textContent: text }));
    if (again) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button small", textContent: "Try again" });
      button.addEventListener("click", again);
      note.append(button);
    }
    box.replaceChildren(note);
    box.scrollIntoView({ block: "nearest" });
  };

  // A token is in no page but the one that shows it, and not in that once it is left.
  const wipe = () => {
    for (const field of document.querySelectorAll("[data-token]")) {
      field.value = field.defaultValue = field.textContent = "";
      field.dataset.wiped = "true";
    }
  };

  // put takes over a page that was fetched. keep: the focus stays where it is.
  const put = (text, keep) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const main = page.getElementById("main");
    if (!main) return false;
    const old = document.activeElement;
    const caret = keep && old && old.id && "selectionStart" in old ? [old.value, old.selectionStart, old.selectionEnd] : null;
    const focus = keep && old && old !== document.body ? (old.id ? "#" + CSS.escape(old.id) : old.name ? `[name="${CSS.escape(old.name)}"]` : "") : "";
    wipe();
    // What is relative is so to the address of the page that was fetched, not to the one shown.
    document.title = page.title;
    document.body.dataset.root = root.pathname;
    document.getElementById("top").replaceWith(page.getElementById("top"));
    document.getElementById("main").replaceWith(main);
    ready(main);
    const found = focus && document.querySelector(focus);
    if (found) {
      found.focus({ preventScroll: true });
      if (caret) {
        found.value = caret[0];
        try { found.setSelectionRange(caret[1], caret[2]); } catch { /* fields without a caret */ }
      }
      return true;
    }
    const target = main.querySelector("[data-focus]") || main.querySelector("h1") || main;
    target.focus({ preventScroll: true });
    return true;
  };

  const remember = () => history.replaceState({ y: scrollY }, "");

  // load asks for a page and shows it. how: "push", "replace" or "pop".
  const load = async (url, how, options = {}) => {
    if (running) running.abort();
    const control = running = new AbortController();
    const post = options.body !== undefined;
    busy(true);
    try {
      const answer = await fetch(url, {
        method: post ? "POST" : "GET", body: options.body, signal: control.signal, credentials: "same-origin", cache: "no-store",
        headers: { Accept: "text/html" },
      });
      const at = new URL(answer.url);
      if (!within(at) || !(answer.headers.get("Content-Type") || "").startsWith("text/html")) {
        if (post) alertWith("The answer came from elsewhere: you may be signed out. Sign in in another tab and try again; what you typed is still here.");
        else location.assign(answer.url || url);
        return;
      }
      const text = await answer.text();
      if (post && (answer.status === 401 || answer.status >= 500)) {
        const problem = new DOMParser().parseFromString(text, "text/html").getElementById("main");
        const words = [...(problem ? problem.querySelectorAll("h1, h1 + p, [data-focus] p") : [])].map((e) => e.textContent.trim()).join(". ");
        alertWith((words || "That did not work.") + " What you typed is still here.", options.again);
        return;
      }
      const y = how === "pop" ? options.y || 0 : 0;
      // The address changes first: what is relative in the page is so to its own.
      if (how !== "pop") remember();
      const hash = new URL(url, location.href).hash;
      let to = post && !answer.redirected ? null : at.href + hash;
      const parsed = new DOMParser().parseFromString(text, "text/html");
      const main = parsed.getElementById("main");
      if (post && !answer.redirected) { // a form that is shown again, or a token: its address would be asked by GET
        to = main && main.dataset.at ? new URL(main.dataset.at, at).href : location.href;
        absolute(parsed, at);
      }
      if (how === "push" && to !== location.href) history.pushState({ y: 0 }, "", to);
      else if (how !== "pop") history.replaceState({ y: 0 }, "", to);
      if (!put(parsed.documentElement.outerHTML, options.keep)) location.assign(to);
      if (!options.keep) scrollTo(0, y);
    } catch (fault) {
      if (fault.name === "AbortError") return;
      alertWith(navigator.onLine === false ? "You are offline. Nothing was lost." : "The service cannot be reached. Nothing was lost.",
        post ? options.again : () => location.assign(url)); // a sign-in elsewhere may be what stands between
    } finally {
      if (running === control) {
        running = null;
        busy(false);
      }
    }
  };

  // absolute has the links of a page lead where they do from its own address.
  const absolute = (page, at) => {
    for (const name of ["href", "action", "src"]) {
      for (const e of page.querySelectorAll(`[${name}]`)) {
        const value = e.getAttribute(name);
        if (!value.startsWith("#")) e.setAttribute(name, new URL(value, at).href);
      }
    }
  };

  const ready = (main) => {
    for (const button of main.querySelectorAll("[data-copy]")) button.hidden = false;
    for (const form of main.querySelectorAll("form[data-live]")) {
      const button = form.querySelector("button");
      if (button) button.hidden = true; // fields take effect by themselves
    }
    const notice = document.querySelector("[data-notice]");
    if (notice) { // said once, not again on reload
      const url = new URL(location.href);
      url.searchParams.delete("done");
      history.replaceState(history.state, "", url);
    }
  };

  const live = (form) => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    const url = new URL(form.action);
    url.search = query;
    load(url.href, "replace", { keep: true });
  };

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const field = document.getElementById(copy.dataset.copy);
      let done = false;
      try {
        await navigator.clipboard.writeText(field.value);
        done = true;
      } catch {
        field.focus();
        field.select();
        done = document.execCommand("copy");
      }
      copy.textContent = done ? "Copied" : "Copy";
      document.getElementById("copied").textContent = done ? "Copied to the clipboard." : "Select the token and copy it.";
      return;
    }
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || link.hasAttribute("download") || "plain" in link.dataset) return;
    const url = new URL(link.href);
    if (!within(url) || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    const keep = "keep" in link.dataset;
    const at = link.getAttribute("href");
    await load(url.href, keep ? "replace" : "push", { keep });
    if (keep) [...document.querySelectorAll("a[data-keep]")].find((a) => a.getAttribute("href") === at)?.focus({ preventScroll: true });
  });

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (event.defaultPrevented || "plain" in form.dataset || !within(new URL(form.action))) return;
    event.preventDefault();
    if (form.method !== "post") {
      live(form);
      return;
    }
    if (posting) return;
    posting = true;
    const button = event.submitter;
    const words = button && [...button.childNodes];
    if (button) {
      button.disabled = true;
      if (button.dataset.busy) button.textContent = button.dataset.busy;
    }
    const body = new URLSearchParams(new FormData(form));
    try {
      await load(form.action, "push", { body, again: () => form.requestSubmit() });
    } finally {
      posting = false;
      if (button && button.isConnected) {
        button.disabled = false;
        button.replaceChildren(...words);
      }
    }
  });

  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-live]");
    if (!form) return;
    clearTimeout(live.timer);
    live.timer = setTimeout(() => form.isConnected && live(form), event.target.type === "search" ? 250 : 0);
  });

  addEventListener("popstate", (event) => load(location.href, "pop", { y: event.state && event.state.y }));
  addEventListener("pagehide", wipe);
  addEventListener("pageshow", (event) => {
    if (event.persisted && document.querySelector("[data-wiped]")) location.replace(document.getElementById("main").dataset.at || root.href);
  });
  const icon = document.querySelector("link[rel=icon]");
  icon.href = icon.href; // relative no longer: the address changes without the head
  history.scrollRestoration = "manual";
  ready(document);
  const first = document.querySelector("[data-focus]");
  if (first) first.focus();
})();
