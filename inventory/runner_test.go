package inventory

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func script(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "inventory"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "inventory", "run"), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestExecRunner(t *testing.T) {
	for name, c := range map[string]struct{ text, out, err string }{
		"prints, asked for the list, in its own folder": {`echo "$1 $(ls)"`, "--list run\n", ""},
		"fails":          {"echo not this; echo no login >&2; exit 3", "", "cannot run inventory/run --list: exit status 3: no login"},
		"never stops":    {"yes", "", "cannot run inventory/run --list: it printed more than 16777216 bytes"},
		"never finishes": {"sleep 100", "", "cannot run inventory/run --list: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script(t, dir, c.text)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if strings.HasPrefix(c.text, "sleep") {
				ctx, cancel = context.WithTimeout(context.Background(), 200*time.Millisecond)
			}
			defer cancel()
			out, err := ExecRunner(dir)(ctx, "inventory/run")
			if string(out) != c.out {
				t.Errorf("printed %q", out)
			}
			if (err == nil) != (c.err == "") || (err != nil && err.Error() != c.err) {
				t.Errorf("got  %v\nwant %s", err, c.err)
			}
		})
	}
}
