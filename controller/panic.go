package controller

import (
	"fmt"
	"runtime/debug"
)

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
