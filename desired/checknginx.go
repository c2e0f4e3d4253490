package desired

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// nginxServer is what nginx takes as the address of a server in an upstream
// (ngx_http_upstream_module): a name or address with an optional port, or a unix
// socket.
var nginxServer = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$|^unix:/[^\s;{}"'\\#]+$`)

func (c *serviceCheck) nginx(at string, n NginxDrain) {
	if n.Host != "" && !isTemplate(n.Host) && !inventory.ValidHostName(n.Host) {
		c.add(at+".host", "wrong-value", "host "+fault.Quote(n.Host)+" cannot be a host of the inventory", "write the name of a host, or leave it out for the controller itself")
	}
	if !isTemplate(n.File) {
		c.target(at+".file", n.File)
	}
	if u := n.Upstream; u != "" && !isTemplate(u) && (hasControl(u) || strings.ContainsAny(u, " ;{}\"'\\")) {
		c.add(at+".upstream", "wrong-value", "upstream "+fault.Quote(u)+" cannot be a name in nginx", "write what stands between upstream and {")
	}
	if s := n.Server; s != "" && !isTemplate(s) && !nginxServer.MatchString(s) {
		c.add(at+".server", "wrong-value", "server "+fault.Quote(s)+" cannot be a server of nginx's", "write it as nginx's file does, such as 10.0.0.11:8080")
	}
	const mend = "leave it out for nginx's own"
	c.line(at+".check", n.Check, mend)
	c.line(at+".reload", n.Reload, mend)
}

// line checks a command line, where there is one; mend is for a blank one.
func (c *serviceCheck) line(at, line, mend string) {
	switch {
	case line == "":
	case strings.TrimSpace(line) == "":
		c.add(at, "wrong-value", "the command is blank", mend)
	case strings.ContainsRune(line, 0):
		c.add(at, "wrong-value", "the command has a zero byte", "")
	}
}

// checkBalancers finds drains by way of hosts that are not in the inventory; paths
// are relative to the service's spec. Templates are passed over.
func checkBalancers(drains []DrainSpec, inv inventory.Inventory) []fault.Problem {
	c := &serviceCheck{}
	for i, d := range drains {
		name, at := d.By(), "nginx.host"
		if d.Command != nil {
			at = "command.on"
		}
		if name == "" || isTemplate(name) || !inventory.ValidHostName(name) {
			continue
		}
		if _, ok := inv.Find(name); !ok {
			c.add(fmt.Sprintf("drain[%d].%s", i, at), "unknown-host", "host "+fault.Quote(name)+" is not in the inventory",
				"add the balancer to it, without labels that select services")
		}
	}
	return c.problems
}
