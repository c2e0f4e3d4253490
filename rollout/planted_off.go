//go:build !planted

package rollout

// planted is the bug that the simulation has planted: none. It is a constant, so what
// asks for it costs nothing.
const planted = ""

func plantOrder([]place) {}
