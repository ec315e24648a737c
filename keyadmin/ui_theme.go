package keyadmin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// rgb is a colour of sRGB, each part 0 to 1.
type rgb [3]float64

const (
	defaultAccent = "#2f55d4"
	lightPaper    = "#f6f7f9" // the darkest that text of the accent stands on, by day
	darkPaper     = "#1b2027" // the lightest, by night
	legible       = 4.6       // WCAG 2.2, 1.4.3 asks for 4.5
)

// parseColour reads "#rrggbb".
func parseColour(s string) (rgb, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if len(s) != 7 || s[0] != '#' || err != nil {
		return rgb{}, false
	}
	return rgb{float64(n>>16) / 255, float64(n>>8&255) / 255, float64(n&255) / 255}, true
}

func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", uint8(math.Round(c[0]*255)), uint8(math.Round(c[1]*255)), uint8(math.Round(c[2]*255)))
}

// luminance is that of WCAG 2.2.
func (c rgb) luminance() float64 {
	var linear rgb
	for i, v := range c {
		if linear[i] = v / 12.92; v > 0.04045 {
			linear[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear[0] + 0.7152*linear[1] + 0.0722*linear[2]
}

// contrast is that of WCAG 2.2: 1 to 21.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// toward is c, moved to d in small steps until it is legible on paper.
func (c rgb) toward(d, paper rgb) rgb {
	for range 100 {
		if contrast(c, paper) >= legible {
			break
		}
		for i := range c {
			c[i] += (d[i] - c[i]) * 0.04
		}
	}
	return c
}

var black, white = rgb{}, rgb{1, 1, 1}

// theme is the accent as it is used by day and by night, and the text on it.
type theme struct{ day, onDay, night, onNight rgb }

// accentOf makes a colour legible in either, whatever the host chose.
func accentOf(s string) theme {
	c, ok := parseColour(s)
	if !ok {
		c, _ = parseColour(defaultAccent)
	}
	light, _ := parseColour(lightPaper)
	dark, _ := parseColour(darkPaper)
	t := theme{day: c.toward(black, light), night: c.toward(white, dark)}
	t.onDay, t.onNight = textOn(t.day), textOn(t.night)
	return t
}

func textOn(c rgb) rgb {
	if contrast(c, white) >= legible {
		return white
	}
	return rgb{0.04, 0.05, 0.08}
}

// replacer puts a theme into a style sheet.
func (t theme) replacer() *strings.Replacer {
	return strings.NewReplacer("#accent-day", t.day.String(), "#on-accent-day", t.onDay.String(),
		"#accent-night", t.night.String(), "#on-accent-night", t.onNight.String())
}
