package desired

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// repoWith is a fleet repo of one service on one host, beside a balancer's host.
func repoWith(fleet, service string) fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"fleet.yaml": file("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: test}\nspec:\n" + indent(fleet)),
		"inventory/hosts.yaml": file("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: test}\nspec:\n  hosts:\n" +
			"    - {name: web-1, address: 192.0.2.11, labels: {role: gateway}, vars: {lb: lb-1}}\n    - {name: lb-1, address: 192.0.2.1}\n"),
		"services/gateway/service.yaml": file("apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: gateway}\nspec:\n" +
			indent("selector: {matchLabels: {role: gateway}}\n"+service)),
	}
}

func indent(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return "  {}\n"
	}
	return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n"
}

// resolved is the service's instance on web-1, and every fault on the way to it.
func resolved(t *testing.T, fleet, service string) (Instance, []Fault) {
	t.Helper()
	rev, err := Load(t.Context(), repoWith(fleet, service), LoadOptions{})
	if err != nil {
		return Instance{}, []Fault{{Message: err.Error()}}
	}
	faults := rev.Quarantined
	web1, ok := rev.Inventory.Find("web-1")
	if !ok {
		t.Fatal("the inventory has no web-1")
	}
	st, found, err := rev.resolve(t.Context(), web1)
	if err != nil {
		t.Fatal(err)
	}
	in, _ := st.Instance("gateway")
	return in, append(faults, found.Errors()...)
}

func TestNginxJournalAndGatesAreRead(t *testing.T) {
	in, faults := resolved(t, `
rollout:
  gates: [{command: {run: /usr/local/bin/may-i}}]`, `
drain:
  - nginx: {host: "{{ .Vars.lb }}", file: "/etc/nginx/{{ .Service.Name }}.conf", server: "{{ .Host.Address }}:8080", timeout: 20s}
health:
  - journal: {unit: gateway.service, want: "listening on :\\d+", refuse: "(?i)panic"}
rollout:
  gates:
    - prometheus: {url: "https://prometheus.example.com/eu", query: 'max(up{job="gateway"})', max: 0.5, min: -1, tokenFile: /etc/evenkeel/prometheus.token, timeout: 3s}
    - command: {run: "test -e /run/open"}`)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	n := in.Drain[0].Nginx
	if n == nil || n.Host != "lb-1" || n.File != "/etc/nginx/gateway.conf" || n.Server != "192.0.2.11:8080" || in.Drain[0].WaitAtMost() != 20*time.Second {
		t.Errorf("nginx: %+v", n)
	}
	if j := in.Health[0].Journal; j == nil || j.Want != `listening on :\d+` || j.Refuse != "(?i)panic" {
		t.Errorf("journal: %+v", j)
	}
	if g := in.Strategy.Gates; len(g) != 2 || g[0].Prometheus == nil || *g[0].Prometheus.Max != 0.5 || *g[0].Prometheus.Min != -1 ||
		g[0].Prometheus.Timeout.D() != 3*time.Second || g[1].Command.Run != "test -e /run/open" {
		t.Errorf("gates: %+v", g)
	}
}

func TestGatesComeFromTheFleetUnlessTheServiceHasItsOwn(t *testing.T) {
	const fleet = "rollout: {gates: [{command: {run: may-i}}]}"
	for service, want := range map[string]int{"": 1, "rollout: {gates: []}": 0, "rollout: {gates: [{command: {run: a}}, {command: {run: b}}]}": 2} {
		in, faults := resolved(t, fleet, service)
		if len(faults) > 0 || len(in.Strategy.Gates) != want {
			t.Errorf("%q: %d gates, want %d; %v", service, len(in.Strategy.Gates), want, faults)
		}
	}
}

func TestWrongAdaptersAreNamed(t *testing.T) {
	nginx := func(settings string) string { return "drain: [{nginx: {" + settings + "}}]" }
	journal := func(settings string) string { return "health: [{journal: {" + settings + "}}]" }
	gate := func(settings string) string { return "rollout: {gates: [{" + settings + "}]}" }
	prometheus := func(settings string) string { return gate("prometheus: {" + settings + "}") }
	for service, want := range map[string]string{
		nginx(`file: /etc/nginx/up.conf`):                                                `missing key "server" in "nginx"`,
		nginx(`server: "10.0.0.1:80"`):                                                   `missing key "file" in "nginx"`,
		nginx(`file: etc/up.conf, server: "10.0.0.1:80"`):                                "is not absolute",
		nginx(`file: /etc/up.conf, server: "10.0.0.1:80; include /x"`):                   "cannot be a server of nginx's",
		nginx(`file: /etc/up.conf, server: "10.0.0.1:80", upstream: "a;b"`):              "cannot be a name in nginx",
		nginx(`file: /etc/up.conf, server: "10.0.0.1:80", host: lb-2`):                   `host "lb-2" is not in the inventory`,
		nginx(`file: /etc/up.conf, server: "10.0.0.1:80", host: "{{ .Host.Name }}x"`):    `host "web-1x" is not in the inventory`,
		nginx(`file: /etc/up.conf, server: "10.0.0.1:80", host: "-oProxyCommand"`):       "cannot be a host of the inventory",
		nginx(`file: /etc/up.conf, server: "10.0.0.1:80", reload: " "`):                  "the command is blank",
		"drain: [{nginx: {file: /a, server: a}, none: {}}]":                              "the entry says more than one thing",
		`drain: [{haproxy: {address: "ssh+unix:///run/x.sock", backend: a, server: b}}]`: "is not HAProxy's stats socket",
		journal(`unit: gateway.service`):                                                 "a journal check looks for nothing",
		journal(`unit: gateway, want: x`):                                                "has no type",
		journal(`unit: gateway.service, want: "(open"`):                                  "not a regular expression: missing closing )",
		journal(`unit: gateway.service, refuse: "panic|"`):                               "it matches an empty line",
		journal(`unit: gateway.service, refuse: "` + strings.Repeat("x", 1001) + `"`):    "it has 1001 bytes",
		journal(`unit: gateway.service, wants: x`):                                       "wants",
		gate(``):                    "the entry says nothing",
		gate(`command: {}`):         `missing key "run" in "command"`,
		gate(`command: {run: " "}`): "the command is blank",
		gate(`command: {run: "ask {{ .Host.Name }}"}`):                       "a gate is not a template",
		prometheus(`url: "http://p:9090"`):                                   `missing key "query" in "prometheus"`,
		prometheus(`url: "ftp://p:9090", query: up`):                         "is not where a Prometheus could be",
		prometheus(`url: "http://p:70000", query: up`):                       "is not where a Prometheus could be",
		prometheus(`url: "http://u:hunter2@p:9090", query: up`):              "the url holds a password",
		prometheus(`url: "http://p:9090/api/v1/query?query=x", query: up`):   "the url has a query",
		prometheus(`url: "http://p:9090", query: up, tokenFile: /etc/token`): "a token would travel in the clear",
		prometheus(`url: "https://p", query: up, tokenFile: token`):          "is not absolute",
		prometheus(`url: "http://p:9090", query: up, max: much`):             "must be a number",
		prometheus(`url: "http://p:9090", query: up, max: .inf`):             "cannot be",
		prometheus(`url: "http://p:9090", query: up, max: 1, min: 2`):        "min 2 is above max 1",
		prometheus(`url: "http://p:9090", query: " "`):                       "the query is blank",
		prometheus(`url: "http://p:9090", query: up, max: 1, maximum: 2`):    "maximum",
	} {
		_, faults := resolved(t, "", service)
		var all []string
		for _, f := range faults {
			all = append(all, f.String())
			if f.Pos.File != "services/gateway/service.yaml" || f.Pos.Line < 6 {
				t.Errorf("%s: placed at %s", service, f.Pos)
			}
		}
		if text := strings.Join(all, "\n"); !strings.Contains(text, want) || strings.Contains(text, "hunter2") {
			t.Errorf("%s\n got %s\nwant %s", service, text, want)
		}
	}
}

// A balancer's socket may be reached from a host of the inventory.
func TestHAProxyThroughAHost(t *testing.T) {
	for _, address := range []string{"ssh+unix://lb-1/run/haproxy.sock", "ssh+tcp://lb-1/127.0.0.1:9999", "unix:///run/haproxy.sock", "tcp://lb-1:9999"} {
		if _, faults := resolved(t, "", `drain: [{haproxy: {address: "`+address+`", backend: gateway, server: web-1}}]`); len(faults) > 0 {
			t.Errorf("%s: %v", address, faults)
		}
	}
}

func TestSchemaKnowsTheAdapters(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Description   string
			MinProperties int
			Properties    map[string]struct {
				Type, Description string
				Ref               string `json:"$ref"`
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if d := schema.Defs["GateSpec"]; d.MinProperties != 1 || d.Properties["prometheus"].Ref != "#/$defs/PrometheusGate" {
		t.Errorf("GateSpec: %+v", d)
	}
	if d := schema.Defs["PrometheusGate"]; d.Properties["max"].Type != "number" || d.Description == "" {
		t.Errorf("PrometheusGate: %+v", d)
	}
	for _, name := range []string{"NginxDrain", "JournalHealth", "CommandGate"} {
		for key, p := range schema.Defs[name].Properties {
			if p.Description == "" && p.Ref == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
		if len(schema.Defs[name].Properties) == 0 {
			t.Errorf("the schema has no %s", name)
		}
	}
}
