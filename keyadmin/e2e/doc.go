// Package e2e walks through the page of keyadmin in a real browser. It has
// tests only, in a module of their own for what they need: headless Chromium,
// found at /usr/bin/chromium or by the variable CHROMIUM. Without it they are
// skipped, unless APIKEY_REQUIRE names chromium.
//
// Screenshots of every state are written to screenshots, which git ignores.
// testdata/axe is axe-core of npm, with its licence (MPL-2.0).
package e2e
