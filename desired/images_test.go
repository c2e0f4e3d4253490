package desired

import (
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// What a unit's containers run is read where it is said; what cannot be told is left out.
func TestImages(t *testing.T) {
	compose := "services:\n  web: {image: 'r.example/web:1'}\n  own: {build: ., image: own}\n  db: {image: 'db:${TAG}'}\n  side: {image: side}\n"
	for name, c := range map[string]struct {
		name, unit, want string
		files            map[string]string
	}{
		"run":                       {unit: "ExecStart=/usr/bin/docker run --rm --name app -p 80:80 -e A=b r.example/app:1 serve --image other", want: "docker r.example/app:1"},
		"flags with their value":    {unit: "ExecStart=/usr/bin/docker run --name=app -eA=b -it -itp 1:1 --network=host --init app@sha256:ab", want: "docker app@sha256:ab"},
		"podman, all of it":         {unit: "ExecStart=/usr/bin/podman --log-level warn container run --replace --read-only -- app", want: "podman app"},
		"a pull before":             {unit: "ExecStartPre=-/usr/bin/docker rm -f app\nExecStartPre=/usr/bin/docker pull -q app:2\nExecStart=/usr/bin/docker run --rm app:2", want: "docker app:2"},
		"a variable that is known":  {unit: "Environment=TAG=7 \"OPTS=--rm --name a\"\nExecStart=/usr/bin/docker run $OPTS r.example/app:${TAG}", want: "docker r.example/app:7"},
		"an instance":               {name: "app@blue.service", unit: "ExecStart=/usr/bin/docker run r.example/%i", want: "docker r.example/blue"},
		"a variable that is not":    {unit: "ExecStart=/usr/bin/docker run r.example/app:${TAG}"},
		"options that are not":      {unit: "ExecStart=/usr/bin/docker run $OPTS r.example/app"},
		"another machine's":         {unit: "ExecStart=/usr/bin/docker -H tcp://192.0.2.1 run app"},
		"a user's own storage":      {unit: "User=app\nExecStart=/usr/bin/podman run app"},
		"docker has but one":        {unit: "User=app\nExecStart=/usr/bin/docker run app", want: "docker app"},
		"no image at all":           {unit: "ExecStart=/usr/bin/podman run --rootfs /srv/root"},
		"loaded by the unit":        {unit: "ExecStartPre=/usr/bin/docker load -qi /opt/app.tar\nExecStart=/usr/bin/docker run app:1"},
		"never pulled":              {unit: "ExecStart=/usr/bin/docker run --rm --pull=never app:1"},
		"never pulled, in two":      {unit: "ExecStart=/usr/bin/podman run --pull never app:1"},
		"a Quadlet, never pulled":   {name: "x.container", unit: "[Container]\nImage=app:1\nPull=never"},
		"another verb":              {unit: "ExecStart=/usr/bin/docker start -a app"},
		"another program":           {unit: "ExecStart=/opt/docker-proxy run app"},
		"compose":                   {unit: "WorkingDirectory=/etc/stack\nExecStart=/usr/bin/docker compose up -d", files: map[string]string{"/etc/stack/compose.yaml": compose}, want: "docker r.example/web:1, docker side"},
		"compose, file named":       {unit: "ExecStart=/usr/bin/docker-compose -p x -f /etc/stack/a.yml up", files: map[string]string{"/etc/stack/a.yml": compose}, want: "docker r.example/web:1, docker side"},
		"compose, overridden":       {unit: "WorkingDirectory=/s\nExecStart=/usr/bin/podman compose up", files: map[string]string{"/s/compose.yaml": compose, "/s/compose.override.yaml": "services: {web: {image: web:2}}"}, want: "podman web:2, podman side"},
		"compose, not ours":         {unit: "WorkingDirectory=/s\nExecStart=/usr/bin/docker compose up"},
		"compose, no such file":     {unit: "WorkingDirectory=/s\nExecStart=/usr/bin/docker compose up", files: map[string]string{"/s/compose.yaml": "services: [1\n"}},
		"a Quadlet":                 {name: "x.container", unit: "[Container]\nImage=r.example/app:1\nExec=serve", want: "podman r.example/app:1"},
		"a Quadlet of another":      {name: "x.container", unit: "[Container]\nImage=app.build"},
		"a Quadlet that is a image": {name: "x.image", unit: "[Image]\nImage=r.example/app", want: "podman r.example/app"},
	} {
		u := Unit{Name: c.name, State: "started"}
		if u.Name == "" {
			u.Name = "app.service"
		}
		u.File = "/etc/systemd/system/" + u.Name
		text := c.unit
		if !strings.HasPrefix(text, "[") {
			text = "[Service]\n" + text
		}
		u.Text, _ = ParseUnit([]byte(text + "\n"))
		u.readEnvironment(u.Text)
		var files []made
		for p, text := range c.files {
			files = append(files, made{File: File{Path: p, Kind: FilePlain, Content: hostdriver.NewContent([]byte(text))}})
		}
		var got []string
		for _, img := range images([]Unit{u}, files) {
			got = append(got, img.Tool+" "+img.Name)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzImages(f *testing.F) {
	f.Add("/usr/bin/docker run -it --name a $X ${Y} app", "services: {a: {image: b}}")
	f.Add("@/usr/bin/docker compose -f /s/compose.yaml up", "services: {a: &a {image: b}, c: *a}")
	f.Fuzz(func(t *testing.T, line, compose string) {
		u := Unit{Name: "a@b.service", File: "/etc/systemd/system/a@.service", State: "started"}
		u.Text, _ = ParseUnit([]byte("[Service]\nEnvironment=X=1\nWorkingDirectory=/s\nExecStart=" + line + "\n"))
		u.readEnvironment(u.Text)
		for _, img := range images([]Unit{u}, []made{{File: File{Path: "/s/compose.yaml", Content: hostdriver.NewContent([]byte(compose))}}}) {
			if err := img.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}
