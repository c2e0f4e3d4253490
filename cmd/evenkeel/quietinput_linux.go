package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// quietInput keeps what is typed from being echoed into the table, Ctrl-C's ^C
// above all. Signals are still made of it. The returned function undoes it.
func quietInput() func() {
	fd := int(os.Stdin.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {} // no terminal
	}
	now := *was
	now.Lflag &^= unix.ECHO
	if unix.IoctlSetTermios(fd, unix.TCSETS, &now) != nil {
		return func() {}
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) }
}
