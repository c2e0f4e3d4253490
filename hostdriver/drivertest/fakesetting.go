package drivertest

import (
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// setting applies what a file of tmpfiles.d or sysusers.d says, in the plain cases.
func (h *FakeHost) setting(name string) {
	n := h.nodes[name]
	if n == nil || n.kind != hostdriver.PathFile {
		return
	}
	for line := range strings.Lines(string(n.data.Bytes())) {
		w := strings.Fields(line)
		switch {
		case strings.HasPrefix(name, "/etc/sysusers.d/") && len(w) > 1 && w[0] == "u" && !h.users[w[1]].Exists:
			h.addUser(w[1], "/")
		case strings.HasPrefix(name, "/etc/tmpfiles.d/") && len(w) >= 5 && w[0] == "d":
			mode, _ := strconv.ParseUint(w[2], 8, 32)
			h.mkdir(w[1])
			d := h.nodes[w[1]]
			d.owner, d.group, d.mode = w[3], w[4], uint32(mode)
		}
	}
}
