package controller

import (
	"fmt"
	"runtime/debug"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// shield, deferred, makes an error of a panic in the work on one host: others go on. What
// was done by then is unknown.
func (f *Fleet) shield(host string, err *error) {
	if r := recover(); r != nil {
		f.Log.Error().Str("host", host).Bytes("stack", stack()).Msg("a fault of evenkeel's own, met at one host; others go on")
		*err = &hostdriver.Error{Kind: hostdriver.Unknown, Host: host, Op: "work on", Err: fmt.Errorf("evenkeel met a fault of its own: %s", redactPanic(r)), Mend: "please report it, with the log"}
	}
}

// stack is where a worker panicked: names of functions and lines, no values.
func stack() []byte {
	const most = 8 << 10
	b := debug.Stack()
	return b[:min(len(b), most)]
}

// redactPanic is what a panic said. Only errors of the runtime and plain words are
// repeated; a value of any other type may hold what nobody should read.
func redactPanic(r any) string {
	switch v := r.(type) {
	case error:
		return v.Error()
	case string:
		return v
	}
	return fmt.Sprintf("a value of type %T", r)
}
