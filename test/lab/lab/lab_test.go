package lab

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLab(t *testing.T) {
	Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	begin := time.Now()
	l, err := New(ctx, Options{Hosts: 3, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Log("up in", time.Since(begin))
	for _, h := range l.Hosts() {
		out, err := h.ExecAs(ctx, "deploy", "hostname; sudo -n id -u; systemctl is-system-running; systemd --version | head -1")
		t.Log(strings.Fields(out), err)
	}
	begin = time.Now()
	t.Log(l.Hosts()[0].Reboot(ctx), time.Since(begin))
	begin = time.Now()
	t.Log(l.Close(), time.Since(begin))
}
