package desired

import (
	"context"
	"slices"
	"strings"
	"testing"
)

const ofUser = "[Service]\nEnvironmentFile=/etc/a/a.env\nExecStart=/bin/sleep 9\n[Install]\nWantedBy=default.target\n"

// What is wrong with a unit of a user's is told where it stands.
func TestUserUnitFaults(t *testing.T) {
	const at = "services/a/service.yaml:"
	for name, c := range map[string]struct{ unit, spec, want string }{
		"nothing":           {ofUser, "{source: a.service, scope: user, user: app}", ""},
		"no user":           {ofUser, "{source: a.service, scope: user}", at + "6:11: a unit of scope user needs a user: write user: NAME"},
		"a user alone":      {ofUser, "{source: a.service, user: app}", at + "6:37: user says whose systemd runs the unit, and this one is the host's: write scope: user beside it"},
		"a scope of none":   {ofUser, "{source: a.service, scope: usr, user: app}", at + `6:38: "scope" cannot be "usr": did you mean "user"?`},
		"no user's name":    {ofUser, "{source: a.service, scope: user, user: a~b}", at + "6:50: user \"a~b\" must be letters"},
		"a Quadlet":         {ofUser, "{source: a.container, scope: user, user: app}", at + "6:40: Quadlet files are for the host's own systemd here"},
		"the host's target": {strings.Replace(ofUser, "default", "multi-user", 1), "{source: a.service, scope: user, user: app}", "services/a/a.service:5:1: WantedBy=multi-user.target: the systemd of a user has no multi-user.target, so nothing would start the unit: write WantedBy=default.target"},
		"another user":      {strings.Replace(ofUser, "[Service]", "[Service]\nUser=app", 1), "{source: a.service, scope: user, user: app}", "services/a/a.service:2:1: User=app: the systemd of user app cannot become anybody else, and the start fails (216/GROUP): drop the line"},
		"no [Install]":      {"[Service]\nExecStart=/bin/true\n", "{source: a.service, scope: user, user: app, enabled: true}", "app~a.service cannot be enabled, for its file says nothing under [Install]: write [Install] and WantedBy=default.target into a.service"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := plain.with(files{"services/a/a.service": c.unit, "services/a/a.container": "[Container]\nImage=x\n", "services/a/service.yaml": service("a", "  units: ["+c.spec+"]\n  env: [{path: /etc/a/a.env, source: a.env, group: app, mode: \"0640\"}]\n")})
			got := findings(t, repo, LoadOptions{})
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
	for access, fine := range map[string]bool{`group: app, mode: "0640"`: true, `owner: app, mode: "0400"`: true, `mode: "0644"`: true, `group: staff, mode: "0640"`: true,
		"": false, `mode: "0640"`: false, `group: app, mode: "0600"`: false, `owner: app, mode: "0040"`: false} {
		repo := plain.with(files{"services/a/a.service": ofUser, "services/a/service.yaml": service("a",
			"  units: [{source: a.service, scope: user, user: app}]\n  env: [{path: /etc/a/a.env, source: a.env, "+strings.TrimPrefix(access+"}", "}")+"]\n")})
		if access == "" {
			repo["services/a/service.yaml"] = service("a", "  units: [{source: a.service, scope: user, user: app}]\n  env: [{path: /etc/a/a.env, source: a.env}]\n")
		}
		got := findings(t, repo, LoadOptions{})
		if strings.Contains(got, "reads /etc/a/a.env as user app, who may not") == fine || fine && got != "" {
			t.Errorf("%s: %q", access, got)
		}
	}
}

// Users share a file and its drop-ins, and each has a unit of its own.
func TestUserUnitsResolve(t *testing.T) {
	rev, err := load(t, plain.with(files{"services/a/a.service": "[Service]\nEnvironment=WHO=%u N=%n H=%h\nExecStart=/bin/sleep 9\n[Install]\nWantedBy=default.target\n", "services/a/a.conf": "[Service]\nEnvironment=B=1\n",
		"services/a/service.yaml": service("a", `  units:
    - {source: a.service, scope: user, user: app, enabled: true, state: started}
    - {source: a.service, scope: user, user: bob, state: started}
    - {source: a.conf, dropIn: a.service, scope: user, user: app}
    - {name: a.service, state: stopped}
  health: [{unit: {name: app~a.service}}]
`)}), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hs, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	in := hs.Instances[0]
	if users := in.UnitUsers(); !slices.Equal(users, []string{"app", "bob"}) {
		t.Errorf("users: %v", users)
	}
	var units, paths []string
	for _, u := range in.Units {
		env := ""
		for _, v := range u.Environment {
			env += " " + v.Key + "=" + string(v.Value.Bytes())
		}
		units = append(units, u.Name+" "+u.State+" "+u.File+env)
	}
	for _, f := range in.Files {
		paths = append(paths, f.Path+" "+f.Owner)
	}
	equal(t, strings.Join(units, "\n"), "a.service stopped \napp~a.service started /etc/systemd/user/a.service WHO=app N=a.service B=1\nbob~a.service started /etc/systemd/user/a.service WHO=bob N=a.service B=1")
	equal(t, strings.Join(paths, "\n"), "/etc/systemd/user/a.service root\n/etc/systemd/user/a.service.d/a.conf root")
}
