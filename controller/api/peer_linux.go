package api

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// withPeer notes who is at the other end of a unix socket: root and this process' own
// user are operators, as the kernel tells. Anybody else needs a token there, too.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, ok := peerUID(u)
	if !ok || uid != 0 && int(uid) != os.Geteuid() {
		return ctx
	}
	name := "uid " + strconv.Itoa(int(uid))
	if who, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		name = who.Username
	}
	return context.WithValue(ctx, peerKey{}, Principal{Name: fmt.Sprintf("%s (local socket)", name), local: true})
}

func peerUID(c *net.UnixConn) (uid uint32, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid, ok = cred.Uid, true
		}
	})
	return uid, ok && err == nil
}
