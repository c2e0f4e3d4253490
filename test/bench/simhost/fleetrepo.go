package simhost

import (
	"fmt"
	"strings"
	"testing/fstest"
)

// FleetRepo is a fleet repo of so many hosts, each with the same services: a unit, an env
// file whose text names the host, a file, a user and a program.
func FleetRepo(hosts, services, port int) fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), Mode: 0o644} }
	var inv strings.Builder
	inv.WriteString("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: simulated}\nspec:\n  hosts:\n")
	for n := range hosts {
		fmt.Fprintf(&inv, "    - {name: sim-%05d, address: %s, port: %d, labels: {role: app, rack: r%03d}}\n", n, Address(n), port, n%200)
	}
	repo := fstest.MapFS{
		"fleet.yaml":         file("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: simulated}\nspec: {vars: {region: eu}}\n"),
		"inventory/all.yaml": file(inv.String()),
	}
	for n := range services {
		name := fmt.Sprintf("app%d", n)
		dir := "services/" + name + "/"
		repo[dir+"service.yaml"] = file(strings.ReplaceAll(serviceText, "NAME", name))
		repo[dir+name+".service"] = file(strings.ReplaceAll(unitText, "NAME", name))
		repo[dir+name+".env"] = file(strings.ReplaceAll(envText, "PORT", fmt.Sprint(8000+n)))
		repo[dir+name+".json"] = file(fmt.Sprintf("{\"listen\": %d}\n", 8000+n))
		repo["artifacts/"+name] = file("\x7fELF" + strings.Repeat(name, 1000))
	}
	return repo
}

const serviceText = `apiVersion: evenkeel/v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {matchLabels: {role: app}}
  users: [{name: NAME}]
  units:
    - {source: NAME.service, enabled: true, state: started}
  env:
    - {path: /etc/NAME/NAME.env, source: NAME.env, group: NAME, mode: "0640", template: true}
  files:
    - {path: /etc/NAME/NAME.json, source: NAME.json, mode: "0644", changeMode: reload}
  artifacts:
    - {name: NAME, source: artifacts/NAME, path: /opt/NAME/NAME}
  rollout: {maxUnavailable: "1%", minHealthyTime: 10s}
  health:
    - unit: {}
`

const unitText = `[Unit]
Description=NAME
After=network.target

[Service]
User=NAME
EnvironmentFile=/etc/NAME/NAME.env
ExecStart=/opt/NAME/NAME --config /etc/NAME/NAME.json
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
LimitNOFILE=100000

[Install]
WantedBy=multi-user.target
`

const envText = `LISTEN=:PORT
NODE={{ .Host.Name }}
REGION={{ .Vars.region }}
LOG_LEVEL=info
WORKERS=4
`
