package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestChangedParts(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	was := make([]byte, 5*compareBlock+7)
	now := bytes.Clone(was)
	now[compareBlock], now[2*compareBlock+1], now[len(now)-1] = 1, 2, 3
	for file, data := range map[string][]byte{a: was, b: now} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := changedParts(a, b)
	want := []changedPart{{compareBlock, 2 * compareBlock}, {5 * compareBlock, 7}}
	if err != nil || !slices.Equal(parts, want) {
		t.Fatalf("%v, %v; want %v", parts, err, want)
	}
	sent, err := partsOf(b, parts)
	if err != nil || !bytes.Equal(sent, append(bytes.Clone(now[compareBlock:3*compareBlock]), now[5*compareBlock:]...)) {
		t.Errorf("%d bytes are sent: %v", len(sent), err)
	}
	if same, err := changedParts(a, a); err != nil || len(same) > 0 {
		t.Errorf("a file differs from itself in %v: %v", same, err)
	}
	if err := os.Truncate(b, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := changedParts(a, b); err == nil {
		t.Error("files of two sizes are compared")
	}
}
