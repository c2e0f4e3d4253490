package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// HAProxyConfig says what load balancer to put before the lab's hosts.
type HAProxyConfig struct {
	Name        string    // "" is "lb"
	Backends    []Backend // each with a frontend of its own
	RuntimePort int       // of the runtime API on 127.0.0.1; 0 takes a free one
	Global      []string  // further lines of its global section
}

// Backend is one backend and the frontend that leads to it. Its servers are named as the hosts. What a server does to a
// request shows: nothing is retried or sent elsewhere unless Retries or Lines say so.
type Backend struct {
	Name         string
	ServerPort   int      // where the service listens on every host
	FrontendPort int      // on 127.0.0.1; 0 takes a free one
	CheckPath    string   // "" is /healthz; must answer 200, asked every 200 ms, down after 2 failures, up after 1 success
	Retries      int      // of a connection that could not be made, on the same server
	Hosts        []string // whose hosts are its servers; nil for all
	Lines        []string // further lines of the backend, such as "option redispatch"
}

// HAProxy is a real haproxy in master-worker mode on this machine, listening on 127.0.0.1.
type HAProxy struct {
	lab    *Lab
	config HAProxyConfig // complete

	mu      sync.Mutex
	reaping chan struct{}
}

// HAProxy starts a load balancer and returns when it listens. Whether its servers are up is another matter: see Servers and
// WaitServer. It goes with the lab.
func (l *Lab) HAProxy(ctx context.Context, c HAProxyConfig) (*HAProxy, error) {
	if err := Install(ctx, l.log.w); err != nil {
		return nil, err
	}
	b := &HAProxy{lab: l}
	if err := l.addBalancer(c, b); err != nil {
		return nil, fmt.Errorf("cannot set up haproxy: %w", err)
	}
	if err := b.Start(ctx); err != nil {
		return nil, errors.Join(err, b.Stop(context.WithoutCancel(ctx)), l.dropBalancer(b))
	}
	return b, nil
}

func (l *Lab) dropBalancer(b *HAProxy) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.balancers = slices.DeleteFunc(l.balancers, func(o *HAProxy) bool { return o == b })
	l.record.Balancers = slices.DeleteFunc(l.record.Balancers, func(o HAProxyConfig) bool { return o.Name == b.config.Name })
	return l.record.save()
}

// addBalancer fills in the configuration and has it on disk before anything starts.
func (l *Lab) addBalancer(c HAProxyConfig, b *HAProxy) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return errors.New("the lab is not ours: it is closed, or another process owns it")
	}
	if c.Name == "" {
		c.Name = "lb"
	}
	if !prefixForm.MatchString(c.Name) {
		return fmt.Errorf("bad name %q: 1 to 8 of a-z and 0-9, a letter first", c.Name)
	}
	taken := map[int]bool{}
	for _, other := range l.record.Balancers {
		if other.Name == c.Name {
			return fmt.Errorf("there is a %s already", c.Name)
		}
		taken[other.RuntimePort] = true
		for _, be := range other.Backends {
			taken[be.FrontendPort] = true
		}
	}
	c.Backends = append([]Backend(nil), c.Backends...)
	ports := []*int{&c.RuntimePort}
	for i := range c.Backends {
		ports = append(ports, &c.Backends[i].FrontendPort)
	}
	for _, port := range ports {
		if *port == 0 {
			var err error
			if *port, err = freePort(l.record.Subnet, taken); err != nil {
				return err
			}
		}
		taken[*port] = true
	}
	if _, err := l.haproxyText(c); err != nil {
		return err
	}
	b.config = c
	l.balancers = append(l.balancers, b)
	l.record.Balancers = append(l.record.Balancers, c)
	return l.record.save()
}

// freePort finds a port of 127.0.0.1 that nobody listens on, from a range of the lab's own below those that Linux gives to
// outgoing connections, so that it is still free when a stopped balancer starts again.
func freePort(subnet int, taken map[int]bool) (int, error) {
	first := 20000 + subnet*40
	for port := first; port < first+40; port++ {
		if taken[port] {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port in %d to %d", first, first+39)
}

// haproxyText is the configuration file.
func (l *Lab) haproxyText(c HAProxyConfig) (string, error) {
	var s strings.Builder
	fmt.Fprintf(&s, "global\n  log stderr format raw daemon notice\n  maxconn 8192\n  hard-stop-after 30s\n")
	fmt.Fprintf(&s, "  stats socket ipv4@127.0.0.1:%d level admin\n", c.RuntimePort)
	fmt.Fprintf(&s, "  stats socket unix@%s mode 600 level admin\n", l.balancerFile(c.Name, "sock"))
	for _, line := range c.Global {
		fmt.Fprintf(&s, "  %s\n", line)
	}
	s.WriteString("defaults\n  mode http\n  log global\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n" +
		"  timeout tunnel 1h\n  timeout check 1s\n")
	for _, b := range c.Backends {
		if b.Name == "" || b.ServerPort < 1 || b.ServerPort > 65535 {
			return "", fmt.Errorf("backend %q: a name and a ServerPort are needed", b.Name)
		}
		check := b.CheckPath
		if check == "" {
			check = "/healthz"
		}
		fmt.Fprintf(&s, "frontend %s-in\n  bind 127.0.0.1:%d\n  default_backend %s\n", b.Name, b.FrontendPort, b.Name)
		fmt.Fprintf(&s, "backend %s\n  balance roundrobin\n  retries %d\n", b.Name, b.Retries)
		fmt.Fprintf(&s, "  option httpchk GET %s\n  http-check expect status 200\n", check)
		s.WriteString("  default-server check inter 200ms fall 2 rise 1\n")
		for _, line := range b.Lines {
			fmt.Fprintf(&s, "  %s\n", line)
		}
		hosts := b.Hosts
		if hosts == nil {
			for _, h := range l.hosts {
				hosts = append(hosts, h.Name())
			}
		}
		for _, name := range hosts {
			h, err := l.Host(name)
			if err != nil {
				return "", fmt.Errorf("backend %s: %w", b.Name, err)
			}
			fmt.Fprintf(&s, "  server %s %s:%d\n", h.Name(), h.Address(), b.ServerPort)
		}
	}
	return s.String(), nil
}

func (l *Lab) balancerFile(name, kind string) string {
	return filepath.Join(l.record.dir(), "haproxy-"+name+"."+kind)
}

// Balancers are the lab's load balancers, running or stopped.
func (l *Lab) Balancers() []*HAProxy {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*HAProxy(nil), l.balancers...)
}

// Name is what the configuration named it.
func (b *HAProxy) Name() string { return b.config.Name }

// Config is the configuration with every port filled in.
func (b *HAProxy) Config() HAProxyConfig { return b.config }

// RuntimeAddr is HOST:PORT of its runtime API, level admin.
func (b *HAProxy) RuntimeAddr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.config.RuntimePort))
}

// Socket is the path of the same API as a unix socket.
func (b *HAProxy) Socket() string { return b.lab.balancerFile(b.config.Name, "sock") }

// FrontendAddr is HOST:PORT where requests for a backend go; "" for one that isn't there.
func (b *HAProxy) FrontendAddr(backend string) string {
	for _, be := range b.config.Backends {
		if be.Name == backend {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(be.FrontendPort))
		}
	}
	return ""
}

func (b *HAProxy) group() string {
	return filepath.Join(b.lab.record.group(), "haproxy-"+b.config.Name)
}

// Start starts it and returns when its runtime API answers. Nothing of an earlier run is remembered.
func (b *HAProxy) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := b.launch(); err != nil {
		return fmt.Errorf("cannot start haproxy: %w", err)
	}
	for {
		_, err := b.Runtime(ctx, "show info")
		if err == nil {
			return nil
		}
		if pids, pidsErr := b.lab.roots.pids(b.group()); pidsErr == nil && len(pids) == 0 {
			text, _ := os.ReadFile(b.lab.balancerFile(b.config.Name, "log"))
			return fmt.Errorf("cannot start haproxy: it ended%s", said(string(text)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot start haproxy: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (b *HAProxy) launch() error {
	pids, err := b.lab.roots.pids(b.group())
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return errors.New("it runs already")
	}
	text, err := b.lab.haproxyText(b.config)
	if err != nil {
		return err
	}
	file := b.lab.balancerFile(b.config.Name, "cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if err := b.lab.roots.make(b.group()); err != nil {
		return err
	}
	group, err := b.lab.roots.open(b.group())
	if err != nil {
		return err
	}
	defer group.Close()
	log, err := os.OpenFile(b.lab.balancerFile(b.config.Name, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("haproxy", "-W", "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its log
	}()
	b.mu.Lock()
	b.reaping = done
	b.mu.Unlock()
	return os.WriteFile(b.lab.balancerFile(b.config.Name, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
}

// Stop ends it at once, with every connection through it. Stopping a stopped one does nothing.
func (b *HAProxy) Stop(ctx context.Context) error {
	if err := b.lab.roots.kill(ctx, b.group()); err != nil {
		return err
	}
	b.reap()
	return b.lab.roots.remove(ctx, b.group())
}

func (b *HAProxy) reap() {
	b.mu.Lock()
	done := b.reaping
	b.mu.Unlock()
	if done != nil {
		<-done
	}
}

// Reload has it read its configuration again, as `systemctl reload haproxy` does, and returns when the new worker answers.
// No connection is refused meanwhile, and what was set through the runtime API, a drain for one, is forgotten.
func (b *HAProxy) Reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	before, err := b.worker(ctx)
	if err != nil {
		return fmt.Errorf("cannot reload haproxy: %w", err)
	}
	if err := b.signalMaster(syscall.SIGUSR2); err != nil {
		return fmt.Errorf("cannot reload haproxy: %w", err)
	}
	for {
		now, err := b.worker(ctx)
		if err == nil && now != before {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot reload haproxy: the old worker is still there: %w", context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// signalMaster signals the process that Start started, if it is still of the balancer's group.
func (b *HAProxy) signalMaster(sig syscall.Signal) error {
	text, err := os.ReadFile(b.lab.balancerFile(b.config.Name, "pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	pids, err := b.lab.roots.pids(b.group())
	if err != nil {
		return err
	}
	for _, p := range pids {
		if p == pid {
			return syscall.Kill(pid, sig)
		}
	}
	return errors.New("it doesn't run")
}
