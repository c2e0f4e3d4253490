package hostdriver

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestErrorSaysWhatWhereAndWhy(t *testing.T) {
	err := &Error{Kind: Unreachable, Host: "web-1", Op: "connect to", Err: io.EOF}
	if got, want := err.Error(), "cannot connect to web-1: EOF"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, io.EOF) {
		t.Error("the detail is not reachable through Unwrap")
	}
}

func TestKindAndMendAreFoundThroughWraps(t *testing.T) {
	inner := &Error{Kind: HostKey, Host: "bastion-1", Op: "connect to", Mend: "ssh-keyscan", Err: io.EOF}
	outer := &Error{Kind: Unauthorized, Host: "web-1", Op: "connect to", Err: inner}
	cases := []struct {
		name string
		err  error
		kind ErrorKind
		mend string
	}{
		{"nil", nil, "", ""},
		{"not a host's", io.EOF, "", ""},
		{"bare", inner, HostKey, "ssh-keyscan"},
		{"wrapped", fmt.Errorf("round 3: %w", inner), HostKey, "ssh-keyscan"},
		{"the outermost kind, the first mend", fmt.Errorf("round 3: %w", outer), Unauthorized, "ssh-keyscan"},
		{"no mend at all", &Error{Kind: Failed, Op: "apply to", Err: io.EOF}, Failed, ""},
	}
	for _, c := range cases {
		if got := KindOf(c.err); got != c.kind {
			t.Errorf("%s: kind %q, want %q", c.name, got, c.kind)
		}
		if got := MendOf(c.err); got != c.mend {
			t.Errorf("%s: mend %q, want %q", c.name, got, c.mend)
		}
	}
}

func TestKindsTellTheLoopWhatToDo(t *testing.T) {
	all := []ErrorKind{Unreachable, Unauthorized, HostKey, Become, Refused, Conflict, Failed, Unknown}
	for _, k := range all {
		if k.Temporary() && k.NeedsPerson() {
			t.Errorf("%s is both temporary and a person's", k)
		}
	}
	if Unknown.Temporary() {
		t.Error("an unknown outcome must not be repeated as if time mended it")
	}
}
