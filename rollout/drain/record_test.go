package drain

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func haproxySpec(server string) desired.DrainSpec {
	return desired.DrainSpec{HAProxy: &desired.HAProxyDrain{Address: "tcp://127.0.0.1:9999", Backend: "gateway", Server: server, Timeout: desired.Duration(30 * time.Second)}}
}

// every is a spec of each adapter with every setting used.
func every() map[string]desired.DrainSpec {
	return map[string]desired.DrainSpec{
		"haproxy": haproxySpec("web-1"),
		"http": {HTTP: &desired.HTTPDrain{
			Drain:   desired.HTTPCall{URL: "https://lb-1.example.com/out?node=web-1", Method: "PUT", Status: 202},
			Undrain: desired.HTTPCall{URL: "https://lb-1.example.com/in?node=web-1", Method: "PUT", Status: 201},
			Drained: &desired.HTTPCall{URL: "https://lb-1.example.com/left?node=web-1", Method: "HEAD", Status: 204},
			Timeout: desired.Duration(time.Minute),
		}},
		"http on the host": {HTTP: &desired.HTTPDrain{Drain: desired.HTTPCall{URL: ":8080/drain"}, Undrain: desired.HTTPCall{URL: ":8080/undrain"}}},
		"nginx": {Nginx: &desired.NginxDrain{Host: "lb-1", File: "/etc/nginx/up.conf", Upstream: "gateway", Server: "192.0.2.11:8080",
			Check: "nginx -t -c /etc/up.conf", Reload: "systemctl reload 'nginx'", Timeout: desired.Duration(20 * time.Second)}},
		"nginx on the controller": {Nginx: &desired.NginxDrain{File: "/etc/nginx/up.conf", Server: "web-1"}},
		"nginx on the host":       {Nginx: &desired.NginxDrain{Host: "web-1", File: "/etc/nginx/up.conf", Server: "unix:/run/gw.sock"}},
		"command":                 {Command: &desired.CommandDrain{On: "controller", Drain: "lb out web-1\n", Undrain: "lb in 'web-1'", Drained: "lb left", Timeout: desired.Duration(90 * time.Second)}},
		"command on a balancer":   {Command: &desired.CommandDrain{On: "lb-1", Drain: "lb out", Undrain: "lb in"}},
		"command on the host":     {Command: &desired.CommandDrain{Drain: "touch /run/out", Undrain: "rm -f /run/out"}},
		"none":                    {None: &desired.NoDrain{}},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, spec := range every() {
		t.Run(name, func(t *testing.T) {
			written, err := json.Marshal(Record("gateway", spec))
			if err != nil {
				t.Fatal(err)
			}
			var read hostdriver.DrainRecord
			if err := json.Unmarshal(written, &read); err != nil {
				t.Fatal(err)
			}
			got, err := SpecOf(read)
			if err != nil || !reflect.DeepEqual(got, spec) {
				t.Errorf("%s\n got %+v, %v\nwant %+v", written, got, err, spec)
			}
			if read.Service != "gateway" {
				t.Errorf("service %q", read.Service)
			}
		})
	}
}

func TestSpecOfIsStrict(t *testing.T) {
	plain := Record("gateway", haproxySpec("web-1"))
	changed := func(key, value string) hostdriver.DrainRecord {
		r := plain
		r.Spec = maps.Clone(plain.Spec)
		r.Spec[key] = value
		return r
	}
	tests := []struct {
		record hostdriver.DrainRecord
		want   string
	}{
		{hostdriver.DrainRecord{Adapter: "apache"}, `unknown adapter "apache"`},
		{hostdriver.DrainRecord{}, `unknown adapter ""`},
		{changed("weight", "1"), `unknown setting "weight"`},
		{changed("timeout", "soon"), `timeout "soon" is no duration`},
		{changed("timeout", "-1s"), "is no duration"},
		{changed("server", strings.Repeat("x", maxRecordValue+1)), "server has 16385 bytes"},
		{hostdriver.DrainRecord{Adapter: "http", Spec: map[string]string{"drain.status": "ok"}}, `drain.status "ok" is no number`},
	}
	for _, tt := range tests {
		if _, err := SpecOf(tt.record); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v; want %s", tt.record, err, tt.want)
		}
	}
}

// What a host writes into its record must not reach further than the host itself,
// unless the repo says the same.
func TestFromRecordBelievesTheRepoOnly(t *testing.T) {
	hosts := &localHost{}
	deps := hosts.deps()
	own := desired.DrainSpec{HAProxy: &desired.HAProxyDrain{Address: "ssh+unix://web-1/run/haproxy.sock", Backend: "b", Server: "s"}}
	deps.Host = func(name string) (inventory.Host, bool) { return inventory.Host{Name: name}, true }
	for name, spec := range every() {
		t.Run(name, func(t *testing.T) {
			record := Record("gateway", spec)
			record.Spec["timeout"] = "1s" // a changed timeout changes nothing
			if spec.None != nil {
				delete(record.Spec, "timeout")
			}
			if _, err := FromRecord(record, web1, deps, []desired.DrainSpec{haproxySpec("web-2"), spec}); err != nil {
				t.Errorf("the repo says the same: %v", err)
			}
			_, err := FromRecord(record, web1, deps, []desired.DrainSpec{haproxySpec("web-2")})
			if strings.HasSuffix(name, "on the host") || name == "none" {
				if err != nil {
					t.Errorf("it reaches the host only: %v", err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "a drain that the repo does not give service gateway") || e.Mend == "" {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := FromRecord(Record("gateway", haproxySpec("web-1")), web1, deps, nil)
	if want := "set server gateway/web-1 state ready"; !strings.Contains(MendOf(err), want) {
		t.Errorf("mend %q; want %s", MendOf(err), want)
	}
	deps.Host = nil // web-1 is not asked for: it refuses for want of it, not for want of proof
	if _, err := FromRecord(Record("b", own), web1, deps, nil); err == nil || !strings.Contains(err.Error(), "no SSH connection") {
		t.Errorf("its own balancer: %v", err)
	}
}

func TestDescribeHidesWhatMayBeSecret(t *testing.T) {
	tests := map[string]desired.DrainSpec{
		"haproxy tcp://127.0.0.1:9999 gateway/web-1":  haproxySpec("web-1"),
		"http https://lb-1/out":                       {HTTP: &desired.HTTPDrain{Drain: desired.HTTPCall{URL: "https://lb:hunter2@lb-1/out?token=hunter2#hunter2"}}},
		"http :8080/drain":                            {HTTP: &desired.HTTPDrain{Drain: desired.HTTPCall{URL: ":8080/drain?token=hunter2"}}},
		"command /usr/bin/lb on the host":             {Command: &desired.CommandDrain{Drain: " /usr/bin/lb --token hunter2"}},
		"command … on the controller":                 {Command: &desired.CommandDrain{On: "controller", Drain: "TOKEN=hunter2 lb out"}},
		"nginx lb-1:/etc/nginx/up.conf 192.0.2.11:80": {Nginx: &desired.NginxDrain{Host: "lb-1", File: "/etc/nginx/up.conf", Server: "192.0.2.11:80", Reload: "reload --token hunter2"}},
		"nginx /etc/nginx/up.conf web-1":              {Nginx: &desired.NginxDrain{File: "/etc/nginx/up.conf", Server: "web-1"}},
		"none":                                        {None: &desired.NoDrain{}},
	}
	for want, spec := range tests {
		if got := Describe(spec); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzSpecOf(f *testing.F) {
	for _, spec := range every() {
		written, _ := json.Marshal(Record("gateway", spec))
		f.Add(written)
	}
	f.Add([]byte(`{"adapter":"haproxy","spec":{"timeout":"9h","x":""}}`))
	f.Fuzz(func(t *testing.T, written []byte) {
		var r hostdriver.DrainRecord
		if json.Unmarshal(written, &r) != nil {
			return
		}
		spec, err := SpecOf(r)
		if err != nil {
			return
		}
		again, err := SpecOf(Record(r.Service, spec))
		if err != nil || !reflect.DeepEqual(again, spec) {
			t.Errorf("%s\n reads %+v\n again %+v, %v", written, spec, again, err)
		}
		// Whatever it says, without proof it reaches nothing but the host.
		deps := (&localHost{}).deps()
		if d, err := FromRecord(r, web1, deps, nil); err == nil && !staysOn(spec, web1) {
			t.Errorf("%s makes %#v", written, d)
		}
	})
}
