package desired

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestKernelPath(t *testing.T) {
	for key, want := range map[string]string{
		"net.core.somaxconn": "/proc/sys/net/core/somaxconn", "net/ipv4/conf/eth0.1/rp_filter": "/proc/sys/net/ipv4/conf/eth0.1/rp_filter",
		"net.ipv4.conf.eth0/1.rp_filter": "/proc/sys/net/ipv4/conf/eth0.1/rp_filter", "net.ipv4.conf.*.rp_filter": "", "plain": "", "": "",
		"../../etc/passwd": "/proc/sys/.etc.passwd", "a/../../../etc": "", "net.a b": "",
	} {
		if got := KernelPath(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

// What a file sets is read as systemd reads it, and files elsewhere set nothing.
func TestSettingsOfFiles(t *testing.T) {
	file := func(path, text string) *File {
		return &File{Path: path, Content: hostdriver.NewContent([]byte(text))}
	}
	kernel := "# c\n; c\nnet.core.somaxconn=1\n -vm.swappiness = 10 \nnet.ipv4.ip_local_port_range = 1024  65000\nnet.core.somaxconn = 2\n-net.x.*\nno line\n"
	var got []string
	for _, k := range file("/etc/sysctl.d/x.conf", kernel).KernelParameters() {
		got = append(got, fmt.Sprintf("%s=%q %v %d", k.Path, k.Value, k.May, k.Line))
	}
	want := `/proc/sys/net/core/somaxconn="2" false 6 /proc/sys/net/ipv4/ip_local_port_range="1024\t65000" false 5 /proc/sys/vm/swappiness="10" true 4`
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	if n := len(file("/etc/other.conf", kernel).KernelParameters()); n != 0 {
		t.Errorf("%d parameters from elsewhere", n)
	}
	users := "u a - \"A\" /srv\n#u b\nu! c 500\ng d -\nm a d\nu -bad -\n"
	if got := fmt.Sprint(file("/etc/sysusers.d/x.conf", users).SystemUsers()); got != "[a c]" {
		t.Errorf("users: %s", got)
	}
	made := "d /srv/a/ 0750 a b - -\nd /srv/%H 0750 a b\nd /srv/c - - -\nD /srv/d 0700 a a\nf /srv/e 0644 a a\nd /srv/../x 0700 a a\n"
	if got := fmt.Sprint(file("/etc/tmpfiles.d/x.conf", made).MadeDirectories()); got != "[{/srv/a a b 488}]" {
		t.Errorf("directories: %s", got)
	}
}
