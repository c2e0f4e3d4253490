package desired

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// Drain and health settings are checked twice: as they are written, where strings
// that are templates are passed over, and as they are rendered for a host.

func (c *serviceCheck) drain(at string, d DrainSpec) {
	set := 0
	if d.HAProxy != nil {
		set++
		c.haproxy(at+".haproxy", *d.HAProxy)
	}
	if d.Nginx != nil {
		set++
		c.nginx(at+".nginx", *d.Nginx)
	}
	if d.HTTP != nil {
		set++
		c.call(at+".http.drain.url", d.HTTP.Drain.URL)
		c.call(at+".http.undrain.url", d.HTTP.Undrain.URL)
		if d.HTTP.Drained != nil {
			c.call(at+".http.drained.url", d.HTTP.Drained.URL)
		}
	}
	if d.Command != nil {
		set++
		c.commandDrain(at+".command", *d.Command)
	}
	if d.None != nil {
		set++
	}
	c.exactlyOne(at, set, "haproxy, nginx, http, command or none")
}

func (c *serviceCheck) commandDrain(at string, d CommandDrain) {
	if d.On != "" && !isTemplate(d.On) && !inventory.ValidHostName(d.On) {
		c.add(at+".on", "wrong-value", "on "+fault.Quote(d.On)+" cannot be a host of the inventory", "write host, controller, or the name of a host")
	}
}

func (c *serviceCheck) exactlyOne(at string, set int, of string) {
	switch {
	case set == 0:
		c.add(at, "missing-key", "the entry says nothing", "write one of "+of)
	case set > 1:
		c.add(at, "wrong-value", "the entry says more than one thing", "write one of "+of+", and the others as entries of their own")
	}
}

// haproxyName is what HAProxy takes as the name of a backend or server
// (configuration manual, 2.2: letters, digits, "-", "_", "." and ":").
var haproxyName = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

func (c *serviceCheck) haproxy(at string, h HAProxyDrain) {
	if h.Address != "" && !isTemplate(h.Address) && !validHAProxyAddress(h.Address) {
		c.add(at+".address", "wrong-value", "address "+fault.Quote(h.Address)+" is not HAProxy's stats socket", "write tcp://HOST:PORT or unix:///PATH, or from a host of the inventory ssh+tcp://NAME/HOST:PORT or ssh+unix://NAME/PATH")
	}
	for key, name := range map[string]string{"backend": h.Backend, "server": h.Server} {
		if name != "" && !isTemplate(name) && !haproxyName.MatchString(name) {
			c.add(at+"."+key, "wrong-value", key+" "+fault.Quote(name)+" cannot be a name in HAProxy", "")
		}
	}
}

func validHAProxyAddress(address string) bool {
	if rest, ok := strings.CutPrefix(address, "ssh+"); ok {
		network, rest, _ := strings.Cut(rest, "://")
		name, socket, slash := strings.Cut(rest, "/")
		if network == "unix" {
			socket = "/" + socket
		}
		return slash && inventory.ValidHostName(name) && validHAProxyAddress(network+"://"+socket)
	}
	if p, ok := strings.CutPrefix(address, "unix://"); ok {
		message, _ := checkTarget(p)
		return message == ""
	}
	hostport, ok := strings.CutPrefix(address, "tcp://")
	return ok && validHostPort(hostport)
}

func validHostPort(hostport string) bool {
	host, port, err := net.SplitHostPort(hostport)
	n, perr := strconv.Atoi(port)
	return err == nil && perr == nil && host != "" && n > 0 && n < 65536 && !strings.ContainsAny(host, " /@") && !hasControl(host)
}

// call checks the URL of a request: whole, or port and path on the host itself.
func (c *serviceCheck) call(at, raw string) {
	if raw == "" || isTemplate(raw) {
		return
	}
	const mend = "write http://HOST:PORT/PATH, or :PORT/PATH for the host itself"
	full := raw
	if strings.HasPrefix(raw, ":") {
		full = "http://127.0.0.1" + raw
	}
	u, err := url.Parse(full)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || hasControl(raw) || strings.Contains(raw, " ") {
		c.add(at, "wrong-value", "url "+fault.Quote(raw)+" cannot be asked", mend)
		return
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			c.add(at, "wrong-value", "url "+fault.Quote(raw)+" has no port that could be", mend)
		}
	}
}

func (c *serviceCheck) health(at string, h HealthSpec) {
	set := 0
	if h.HTTP != nil {
		set++
		c.httpHealth(at+".http", *h.HTTP)
	}
	if h.TCP != nil {
		set++
		c.localHost(at+".tcp.host", h.TCP.Host)
	}
	if h.Command != nil {
		set++
		if u := h.Command.User; u != "" && !isTemplate(u) {
			c.addIf(at+".command.user", "bad-owner", checkOwner(u), "")
		}
	}
	if h.Unit != nil {
		set++
		if n := h.Unit.Name; n != "" && !isTemplate(n) {
			message, mend := checkUnitName(bareUnit(n))
			c.addIf(at+".unit.name", "bad-unit-name", message, mend)
		}
	}
	if h.Journal != nil {
		set++
		c.journal(at+".journal", *h.Journal)
	}
	c.exactlyOne(at, set, "http, tcp, command, unit or journal")
}

func (c *serviceCheck) httpHealth(at string, h HTTPHealth) {
	c.localHost(at+".host", h.Host)
	if p := h.Path; p != "" && !isTemplate(p) && (!strings.HasPrefix(p, "/") || hasControl(p) || strings.Contains(p, " ")) {
		c.add(at+".path", "wrong-value", "path "+fault.Quote(p)+" cannot be asked", "begin it with /")
	}
	for k, v := range h.Headers {
		if strings.Trim(k, lowerDigits+upperLetters+"-_") != "" || (!isTemplate(v) && hasControl(v)) {
			c.add(at+".headers."+k, "wrong-value", "header "+fault.Quote(k)+" cannot be sent", "")
		}
	}
}

func (c *serviceCheck) localHost(at, host string) {
	if host != "" && !isTemplate(host) && !validHostPort(net.JoinHostPort(host, "1")) {
		c.add(at, "wrong-value", "host "+fault.Quote(host)+" is neither a name nor an address", "")
	}
}
