package world

import (
	"errors"
	"time"
)

// How long the balancer's own health check takes to see a change.
const (
	viewFall = 1500 * time.Millisecond
	viewRise = 2 * time.Second
)

// Errors of a balancer.
var (
	ErrBalancerDown = errors.New("connection refused")
	errNoServer     = errors.New("no such server")
)

// ServerState is a server's administrative state.
type ServerState string

// The states.
const (
	ServerReady ServerState = "ready"
	ServerDrain ServerState = "drain"
	ServerMaint ServerState = "maint"
)

type serverKey struct{ service, host string }

// Balancer is what stands before the hosts: one backend a service, one server an
// instance.
type Balancer struct {
	// Down: its socket answers nobody. Traffic goes on.
	Down bool

	world   *World
	servers map[serverKey]*Server
	order   []*Server
}

// Server is one instance as the balancer has it.
type Server struct {
	Service string
	Host    *Host
	Unit    *Unit // whose health it checks
	State   ServerState
	// By is who took it out: nil while it is in rotation.
	By *Actor
	// Since is when the state was set.
	Since time.Duration
	// Sticky sessions never end by themselves.
	Sticky bool
	// Ends are, in rotation, how long after a drain its sessions end.
	Ends []time.Duration

	up       bool
	checking bool
	turn     int
	ends     []time.Duration // since it was taken out
}

// AddServer puts an instance behind the balancer, in rotation.
func (b *Balancer) AddServer(service string, h *Host, u *Unit, ends []time.Duration) *Server {
	s := &Server{Service: service, Host: h, Unit: u, State: ServerReady, Ends: ends}
	b.servers[serverKey{service, h.Name}] = s
	b.order = append(b.order, s)
	return s
}

// Server is the one of a service's instance on a host, or nil.
func (b *Balancer) Server(service, host string) *Server { return b.servers[serverKey{service, host}] }

// Servers are all of them in the order they were added.
func (b *Balancer) Servers() []*Server { return b.order }

// Well is what its health check would find now.
func (s *Server) Well() bool {
	return s.Host.Powered && !s.Host.Isolated && s.Unit.Healthy()
}

// Up is what the balancer believes of its health.
func (s *Server) Up() bool { return s.up }

// Serving tells whether users are served by it now: it gets traffic, and would answer.
func (s *Server) Serving() bool { return s.State == ServerReady && s.up && s.Well() }

// Check lets the balancer notice, in its own time, what has become of the server's
// health. Call it whenever that may have changed; now sets the view at once.
func (s *Server) Check(now bool) {
	well := s.Well()
	switch {
	case now:
		s.up = well
		return
	case well == s.up:
		s.turn++
		s.checking = false
		return
	case s.checking:
		return
	}
	s.checking = true
	s.turn++
	turn, d := s.turn, viewFall
	if well {
		d = viewRise
	}
	s.Host.world.After(d, func() {
		if s.turn != turn {
			return
		}
		s.checking = false
		s.up = s.Well()
		s.Host.touched()
	})
}

// Status is what the balancer's socket says: whether it is out of rotation, how many
// sessions are left, and whether its check finds it well.
func (s *Server) Status() (drained bool, sessions int, up bool) {
	return s.State != ServerReady, s.sessions(), s.up
}

func (s *Server) sessions() int {
	if s.State == ServerReady {
		return len(s.Ends) + 1
	}
	if s.Unit.Proc == nil {
		return 0
	}
	n, now := 0, s.Host.now()
	for _, at := range s.ends {
		if at > now {
			n++
		}
	}
	if s.Sticky {
		n++
	}
	return n
}

// Drain takes it out for a; one that is out already stays as it is. ours tells
// whether this call did it.
func (s *Server) Drain(a *Actor) (ours bool) {
	if s.State != ServerReady {
		return false
	}
	s.Host.world.Watch.Draining(s, a)
	s.out(ServerDrain, a)
	return true
}

// Maintain is a person putting it into maintenance.
func (s *Server) Maintain() { s.out(ServerMaint, &Actor{}) }

func (s *Server) out(state ServerState, a *Actor) {
	now := s.Host.now()
	s.State, s.By, s.Since, s.ends = state, a, now, nil
	for _, d := range s.Ends {
		s.ends = append(s.ends, now+d)
	}
	s.Host.touched()
}

// Undrain puts it back for a. What is in maintenance stays there.
func (s *Server) Undrain(a *Actor) {
	if s.State != ServerDrain {
		return
	}
	s.Host.world.Watch.Undraining(s, a)
	s.back()
}

// Release is a person putting it back, whatever it was.
func (s *Server) Release() { s.back() }

func (s *Server) back() {
	s.State, s.By, s.Since = ServerReady, nil, s.Host.now()
	s.Host.touched()
}

// Forget is a reload: every server is in rotation again, and believed well until a
// check says otherwise.
func (b *Balancer) Forget() {
	for _, s := range b.order {
		s.State, s.By, s.up, s.Since = ServerReady, nil, true, s.Host.now()
		s.Host.touched()
	}
}

// Ask finds a server through the balancer's socket.
func (b *Balancer) Ask(service, host string) (*Server, error) {
	if b.Down {
		return nil, ErrBalancerDown
	}
	s := b.Server(service, host)
	if s == nil {
		return nil, errNoServer
	}
	return s, nil
}
