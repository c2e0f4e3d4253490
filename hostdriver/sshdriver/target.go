package sshdriver

import (
	"time"

	"github.com/evenkeel/evenkeel/inventory"
)

// Target is one host to reach, as the inventory has it. What is left empty is
// looked up in ssh_config(5), then takes ssh's default.
type Target struct {
	Name    string // the inventory's name: what errors call it, and a name its host key may be known by
	Address string // name or IP address to dial; "" or the Name itself: ssh_config's HostName, else the Name
	Port    int    // 0: ssh_config's, else 22
	User    string // "": ssh_config's, else the local user's name
	Jump    string // "[user@]host[:port],…", nearest to us first; "none": straight; "": ssh_config's ProxyJump
}

// TargetFor returns what the inventory says about reaching h.
func TargetFor(h inventory.Host) Target {
	return Target{Name: h.Name, Address: h.Address, Port: h.Port, User: h.User, Jump: h.Jump}
}

// Options are the operator's settings for all hosts. They win over what a Target
// says, which wins over ssh_config. The zero value works as ssh without flags does.
type Options struct {
	// User logs in everywhere, whatever the inventory and ssh_config say. A jump
	// host that is not in the inventory is asked for it only where neither its
	// own spec nor ssh_config names a user.
	User string
	// IdentityFiles are private keys, or public ones whose private half an agent
	// holds. When there are any, no others are tried: ssh's -i with
	// IdentitiesOnly=yes.
	IdentityFiles []string
	// KnownHosts are the only files asked for host keys, in place of the user's
	// and the system's. A file that is missing is then an error.
	KnownHosts []string

	Become     bool   // work is done as BecomeUser, through sudo
	BecomeUser string // "": root

	ConfigFile string // "": ~/.ssh/config, then /etc/ssh/ssh_config; "none": no file at all
	Agent      string // socket of an ssh-agent; "": ssh_config's IdentityAgent, else $SSH_AUTH_SOCK; "none": none

	ConnectTimeout    time.Duration // for TCP, handshake and login together, a hop; 0: ssh_config's, else 15 s
	KeepaliveInterval time.Duration // three of them without a word end a connection; 0: 10 s
	MaxSessions       int           // commands at once on one connection; 0: 4 (sshd's own default limit is 10)
	Concurrency       int           // hosts dialled at once; 0: 64
	// Stay tells that the first request to a host is followed by others soon: the shell
	// that stays is started for the first one already.
	Stay bool

	// Bandwidth is how many bytes of releases and files are sent a second, over all hosts
	// together; 0: as many as go.
	Bandwidth   int64
	Compression Compression // of releases; "": auto

	// ResolveJump returns the inventory's host of that name. A jump for which it
	// says false (or for which it is nil) is an ssh_config alias or an address.
	ResolveJump func(name string) (Target, bool)
}

const (
	defaultConnectTimeout = 15 * time.Second
	defaultKeepalive      = 10 * time.Second
	defaultMaxSessions    = 4
	defaultConcurrency    = 64
)

func (o Options) withDefaults() Options {
	if o.KeepaliveInterval <= 0 {
		o.KeepaliveInterval = defaultKeepalive
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = defaultMaxSessions
	}
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.BecomeUser == "" {
		o.BecomeUser = "root"
	}
	return o
}
