package sshdriver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// login is one hop with everything decided: where, as whom, with what, and
// through which hop before it.
type login struct {
	name    string // what errors call the host
	address string // dialled; a host name or an IP address
	port    int
	user    string
	alias   string // HostKeyAlias, "" if none
	via     *login // nil: straight from here

	identities      []string // files, in the order in which they are tried
	identitiesGiven bool     // flags or ssh_config named them; else they are ssh's defaults
	identitiesOnly  bool     // of the agent's keys, only those that identities name
	certificates    []string
	agent           string // socket, "" for none

	knownHosts      []string
	knownHostsGiven bool // flags named them: a missing one is an error

	timeout time.Duration
	skipped []string // Match blocks of ssh_config that could not be judged
}

// hostport is what is dialled.
func (l *login) hostport() string { return net.JoinHostPort(l.address, strconv.Itoa(l.port)) }

// key tells logins apart: one connection is kept for each.
func (l *login) key() string {
	k := fmt.Sprintf("%s|%s@%s|%s", l.name, l.user, l.hostport(), l.alias)
	if l.via != nil {
		k += " < " + l.via.key()
	}
	return k
}

// String names the login in errors: deploy@192.0.2.11:22 through ops@198.51.100.7:22.
func (l *login) String() string {
	s := l.user + "@" + l.hostport()
	if l.via != nil {
		s += " through " + l.via.String()
	}
	return s
}

// resolver turns Targets into logins. It is safe for concurrent use.
type resolver struct {
	options   Options
	config    *sshConfig
	home      string
	localUser string
	hostname  string
	authSock  string // $SSH_AUTH_SOCK
}

func newResolver(o Options) (*resolver, error) {
	r := &resolver{options: o, authSock: os.Getenv("SSH_AUTH_SOCK")}
	var err error
	if r.home, err = os.UserHomeDir(); err != nil {
		r.home = "/"
	}
	if u, err := user.Current(); err == nil {
		r.localUser = u.Username
	} else {
		r.localUser = os.Getenv("USER")
	}
	r.hostname, _ = os.Hostname()
	r.config, err = loadConfig(o.ConfigFile, r.home)
	return r, err
}

// maxHops bounds a chain of jump hosts.
const maxHops = 8

func (r *resolver) resolve(t Target) (*login, error) {
	return r.resolveHop(hop{target: t, inventory: true}, nil)
}

// hop is a Target on the way: where it came from decides whose user it takes.
type hop struct {
	target    Target
	user      string // the jump spec's own, before everything else
	inventory bool
	via       []jumpSpec // hops that a spec put before this one: they replace its own Jump
}

func (r *resolver) resolveHop(h hop, behind []string) (*login, error) {
	t := h.target
	name := firstOf(t.Name, t.Address)
	if name == "" {
		return nil, errors.New("neither a name nor an address")
	}
	way := append(behind[:len(behind):len(behind)], hopLabel(t))
	if len(way) > maxHops+1 {
		return nil, fmt.Errorf("more than %d jump hosts: %s", maxHops, strings.Join(way, " through "))
	}
	if slices.Contains(behind, hopLabel(t)) {
		return nil, fmt.Errorf("jump hosts go in a circle: %s", strings.Join(way, " through "))
	}
	names := []string{name}
	if t.Address != "" && t.Address != name {
		names = append(names, t.Address)
	}
	given := r.givenUser(h)
	c := r.config.lookup(configQuery{names: names, user: given, localUser: r.localUser})
	l := &login{name: name, skipped: c.skipped, alias: c.value("hostkeyalias")}
	if err := r.fillAddress(l, h, c, given); err != nil {
		return nil, err
	}
	if err := r.fillIdentities(l, c); err != nil {
		return nil, err
	}
	if err := r.fillKnownHosts(l, c); err != nil {
		return nil, err
	}
	if err := r.fillTimeout(l, c); err != nil {
		return nil, err
	}
	via, err := r.resolveJump(h, c, way)
	if err != nil {
		return nil, err
	}
	l.via = via
	return l, nil
}

// hopLabel tells hops apart that a spec sends to several ports of one host.
func hopLabel(t Target) string {
	name := firstOf(t.Name, t.Address)
	if t.Port == 0 {
		return name
	}
	return net.JoinHostPort(name, strconv.Itoa(t.Port))
}

// givenUser is the user chosen before ssh_config is asked.
func (r *resolver) givenUser(h hop) string {
	if h.user != "" {
		return h.user
	}
	if h.inventory && r.options.User != "" {
		return r.options.User
	}
	return h.target.User
}

func (r *resolver) fillAddress(l *login, h hop, c hostConfig, given string) error {
	t := h.target
	l.address = firstOf(t.Address, l.name)
	if l.address == l.name {
		if configured := c.value("hostname"); configured != "" {
			expanded, err := expandTokens(configured, map[byte]string{'h': l.name})
			if err != nil {
				return fmt.Errorf("ssh_config HostName: %w", err)
			}
			l.address = expanded
		}
	}
	l.address = strings.TrimSuffix(strings.TrimPrefix(l.address, "["), "]")
	l.port = t.Port
	if l.port == 0 {
		l.port = 22
		if p := c.value("port"); p != "" {
			n, err := strconv.Atoi(p)
			if err != nil {
				return fmt.Errorf("ssh_config Port %q: not a number", p)
			}
			l.port = n
		}
	}
	if l.port < 1 || l.port > 65535 {
		return fmt.Errorf("port %d: not between 1 and 65535", l.port)
	}
	l.user = firstOf(given, c.value("user"))
	if l.user == "" && !h.inventory {
		l.user = r.options.User
	}
	l.user = firstOf(l.user, r.localUser)
	if l.user == "" {
		return errors.New("no user to log in as: set one with --ssh-user or in the inventory")
	}
	return nil
}

// defaultIdentities is ssh's order, without the FIDO keys, which only an agent can use.
var defaultIdentities = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

func (r *resolver) fillIdentities(l *login, c hostConfig) error {
	expand := r.pathExpander(l)
	l.identitiesOnly = strings.EqualFold(c.value("identitiesonly"), "yes")
	switch {
	case len(r.options.IdentityFiles) > 0:
		l.identities, l.identitiesGiven, l.identitiesOnly = r.options.IdentityFiles, true, true
	case len(c.identities) > 0:
		l.identitiesGiven = true
		for _, file := range c.identities {
			if strings.EqualFold(file, "none") {
				continue
			}
			path, err := expand(file)
			if err != nil {
				return fmt.Errorf("ssh_config IdentityFile: %w", err)
			}
			l.identities = append(l.identities, path)
		}
	default:
		for _, file := range defaultIdentities {
			l.identities = append(l.identities, filepath.Join(r.home, ".ssh", file))
		}
	}
	for _, file := range c.certificates {
		path, err := expand(file)
		if err != nil {
			return fmt.Errorf("ssh_config CertificateFile: %w", err)
		}
		l.certificates = append(l.certificates, path)
	}
	return r.fillAgent(l, c)
}

func (r *resolver) fillAgent(l *login, c hostConfig) error {
	configured := c.value("identityagent")
	switch {
	case r.options.Agent == "none":
	case r.options.Agent != "":
		l.agent = r.options.Agent
	case strings.EqualFold(configured, "none"):
	case configured == "" || configured == "SSH_AUTH_SOCK":
		l.agent = r.authSock
	case strings.HasPrefix(configured, "$") && !strings.HasPrefix(configured, "${"):
		l.agent = os.Getenv(configured[1:])
	default:
		path, err := r.pathExpander(l)(configured)
		if err != nil {
			return fmt.Errorf("ssh_config IdentityAgent: %w", err)
		}
		l.agent = path
	}
	return nil
}

func (r *resolver) fillKnownHosts(l *login, c hostConfig) error {
	if len(r.options.KnownHosts) > 0 {
		l.knownHosts, l.knownHostsGiven = r.options.KnownHosts, true
		return nil
	}
	users, globals := c.single["userknownhostsfile"], c.single["globalknownhostsfile"]
	if users == nil {
		users = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
	}
	if globals == nil {
		globals = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	expand := r.pathExpander(l)
	for _, file := range append(users[:len(users):len(users)], globals...) {
		if strings.EqualFold(file, "none") {
			continue
		}
		path, err := expand(file)
		if err != nil {
			return fmt.Errorf("ssh_config UserKnownHostsFile: %w", err)
		}
		l.knownHosts = append(l.knownHosts, path)
	}
	return nil
}

func (r *resolver) fillTimeout(l *login, c hostConfig) error {
	l.timeout = r.options.ConnectTimeout
	if l.timeout > 0 {
		return nil
	}
	l.timeout = defaultConnectTimeout
	if s := c.value("connecttimeout"); s != "" && !strings.EqualFold(s, "none") {
		n, err := strconv.Atoi(s)
		if err != nil || n <= 0 || n > 3600 {
			return fmt.Errorf("ssh_config ConnectTimeout %q: not a number of seconds between 1 and 3600", s)
		}
		l.timeout = time.Duration(n) * time.Second
	}
	return nil
}

// pathExpander expands what ssh_config(5), TOKENS, allows in file names.
func (r *resolver) pathExpander(l *login) func(string) (string, error) {
	tokens := map[byte]string{
		'd': r.home, 'h': l.address, 'i': strconv.Itoa(os.Getuid()), 'k': firstOf(l.alias, l.name),
		'L': strings.SplitN(r.hostname, ".", 2)[0], 'l': r.hostname, 'n': l.name,
		'p': strconv.Itoa(l.port), 'r': l.user, 'u': r.localUser,
	}
	return func(path string) (string, error) {
		path, err := expandTokens(expandHome(path, r.home), tokens)
		if err != nil {
			return "", err
		}
		return expandEnv(path)
	}
}

// expandTokens replaces %x for the given letters, and %%.
func expandTokens(s string, tokens map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", fmt.Errorf("%q ends in %%", s)
		}
		value, ok := tokens[s[i]]
		switch {
		case s[i] == '%':
			b.WriteByte('%')
		case ok:
			b.WriteString(value)
		default:
			return "", fmt.Errorf("%q: %%%c is not understood here", s, s[i])
		}
	}
	return b.String(), nil
}

// expandEnv replaces ${NAME}; as for ssh, a variable that is not set is an error.
func expandEnv(s string) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", fmt.Errorf("%q: ${ is not closed", s)
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		b.WriteString(value)
		s = after
	}
}
