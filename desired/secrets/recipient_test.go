package secrets

import (
	"errors"
	"slices"
	"testing"
)

// To whom a file is encrypted is told without any key.
func TestRecipients(t *testing.T) {
	_, _, first := newKey(t)
	_, second := newSSHKey(t, "")
	for _, name := range []string{"a.env", "a.yaml", "a.json", "a.ini", "a.pem"} {
		plain := map[string]string{"a.env": "A=1\n", "a.yaml": "A: 1\n", "a.json": `{"A":1}`, "a.ini": "[s]\nA = 1\n"}[name]
		got, err := Recipients(name, seal(t, name, plain, first, second))
		want := []Recipient{{Key: first, Kind: Age}, {Key: second, Kind: Age}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	var e *Error
	if _, err := Recipients("a.env", []byte("A=hunter2\n")); !errors.As(err, &e) {
		t.Errorf("a plain file: %v", err)
	}
}
