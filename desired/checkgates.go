package desired

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// checkGates finds gates that could never be asked; at is where the list stands.
func checkGates(at string, gates []GateSpec) []fault.Problem {
	c := &serviceCheck{}
	for i, g := range gates {
		c.gate(fmt.Sprintf("%s[%d]", at, i), g)
	}
	return c.problems
}

func (c *serviceCheck) gate(at string, g GateSpec) {
	set := 0
	if g.Command != nil {
		set++
		c.line(at+".command.run", g.Command.Run, "write a command that exits 0 where hosts may be touched")
		c.noTemplate(at+".command.run", g.Command.Run)
	}
	if g.Prometheus != nil {
		set++
		c.prometheus(at+".prometheus", *g.Prometheus)
	}
	c.exactlyOne(at, set, "command or prometheus")
}

func (c *serviceCheck) noTemplate(at, text string) {
	if isTemplate(text) {
		c.add(at, "wrong-value", "a gate is not a template", "a command finds host and service in GATE_HOST and GATE_SERVICE")
	}
}

func (c *serviceCheck) prometheus(at string, p PrometheusGate) {
	if p.URL != "" {
		message, mend := checkPrometheusURL(p.URL, p.TokenFile != "")
		c.addIf(at+".url", "wrong-value", message, mend)
	}
	if p.Query != "" && strings.TrimSpace(p.Query) == "" {
		c.add(at+".query", "wrong-value", "the query is blank", "write PromQL such as sum(rate(errors_total[5m]))")
	}
	c.noTemplate(at+".query", p.Query)
	if p.Max != nil && p.Min != nil && *p.Min > *p.Max {
		c.add(at+".min", "wrong-value", fmt.Sprintf("min %s is above max %s, so that nothing could pass", *p.Min, *p.Max), "")
	}
	if p.TokenFile != "" {
		message, mend := checkTarget(p.TokenFile)
		c.addIf(at+".tokenFile", "bad-path", message, mend)
	}
}

// checkPrometheusURL says what is wrong with the address of a Prometheus. The text of
// the URL is shown only where it holds no password.
func checkPrometheusURL(raw string, token bool) (message, mend string) {
	const form = "write http://HOST:PORT or https://HOST:PORT/PREFIX"
	u, err := url.Parse(raw)
	switch {
	case isTemplate(raw):
		return "a gate is not a template", "write the address itself"
	case err != nil:
		return "the url does not parse", form
	case u.User != nil:
		return "the url holds a password", "write the token into a file on the controller, and name that as tokenFile"
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", hasControl(raw), strings.Contains(raw, " "),
		u.Port() != "" && !validHostPort(net.JoinHostPort(u.Hostname(), u.Port())):
		return "url " + fault.Quote(raw) + " is not where a Prometheus could be", form
	case u.RawQuery != "" || u.Fragment != "":
		return "the url has a query", "write the query as query; " + form
	case token && u.Scheme != "https" && !isLoopback(u.Hostname()):
		return "a token would travel in the clear", "use https, or drop tokenFile"
	}
	return "", ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
