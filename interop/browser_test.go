package interop

import (
	"os"
	"testing"
)

// TestChatPage opens the chat example's page, which has the official client inside, in Chromium.
func TestChatPage(t *testing.T) {
	browser := chromium(t)
	s := startServer(t, chatExample)
	runScript(t, "chat.browser.test.mjs", map[string]string{
		"RIVET_ENDPOINT":  s.url(),
		"INTEROP_CONTROL": s.control(),
		"INTEROP_SHOTS":   shots(t),
		"CHROMIUM":        browser,
	})
}

// TestReact opens a page on the official React hooks in Chromium.
func TestReact(t *testing.T) {
	browser := chromium(t)
	s := startServer(t, counterExample)
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			runScript(t, "react.browser.test.mjs", map[string]string{
				"RIVET_ENDPOINT":   s.url(),
				"INTEROP_ENCODING": encoding,
				"INTEROP_SHOTS":    shots(t),
				"CHROMIUM":         browser,
			})
		})
	}
}

// TestReactThroughTheOfficialEngine opens the same page on actors that are a runner of the official engine.
func TestReactThroughTheOfficialEngine(t *testing.T) {
	browser := chromium(t)
	e := startEngine(t)
	s := e.startRunner(t, counterExample)
	runScript(t, "react.browser.test.mjs", map[string]string{
		"RIVET_ENDPOINT":   e.url(),
		"RIVET_POOL":       s.pool,
		"INTEROP_ENCODING": "bare",
		"INTEROP_SHOTS":    shots(t),
		"CHROMIUM":         browser,
	})
}

// shots is where screenshots go: INTEROP_SHOTS, to look at them, or a folder that the test removes.
func shots(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("INTEROP_SHOTS"); dir != "" {
		return dir
	}
	return t.TempDir()
}
