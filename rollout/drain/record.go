package drain

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// The names of adapters in records.
const (
	adapterHAProxy = "haproxy"
	adapterNginx   = "nginx"
	adapterHTTP    = "http"
	adapterCommand = "command"
	adapterNone    = "none"
)

// maxRecordValue caps one setting of a record that a host holds.
const maxRecordValue = 16 << 10

// Record is how a drain is written down on the host before it is done, so that it
// can be undone from there. It holds the settings as they were rendered, and
// nothing else: New lets no password into them.
func Record(service string, spec desired.DrainSpec) hostdriver.DrainRecord {
	r := hostdriver.DrainRecord{Service: service, Spec: map[string]string{}}
	put := func(key, value string) {
		if value != "" {
			r.Spec[key] = value
		}
	}
	putCall := func(key string, call desired.HTTPCall) {
		put(key+".url", call.URL)
		put(key+".method", call.Method)
		if call.Status != 0 {
			put(key+".status", strconv.Itoa(call.Status))
		}
	}
	switch {
	case spec.HAProxy != nil:
		r.Adapter = adapterHAProxy
		put("address", spec.HAProxy.Address)
		put("backend", spec.HAProxy.Backend)
		put("server", spec.HAProxy.Server)
	case spec.Nginx != nil:
		r.Adapter = adapterNginx
		put("host", spec.Nginx.Host)
		put("file", spec.Nginx.File)
		put("upstream", spec.Nginx.Upstream)
		put("server", spec.Nginx.Server)
		put("check", spec.Nginx.Check)
		put("reload", spec.Nginx.Reload)
	case spec.HTTP != nil:
		r.Adapter = adapterHTTP
		putCall("drain", spec.HTTP.Drain)
		putCall("undrain", spec.HTTP.Undrain)
		if spec.HTTP.Drained != nil {
			putCall("drained", *spec.HTTP.Drained)
		}
	case spec.Command != nil:
		r.Adapter = adapterCommand
		put("on", spec.Command.On)
		put("drain", spec.Command.Drain)
		put("undrain", spec.Command.Undrain)
		put("drained", spec.Command.Drained)
	case spec.None != nil:
		r.Adapter = adapterNone
	}
	if timeout := spec.WaitAtMost(); timeout != 0 {
		put("timeout", timeout.String())
	}
	return r
}

// SpecOf reads a record back. A record comes from a host, and so from anybody: what
// is not understood to the last key is an error, and what it names is not yet to be
// believed (see FromRecord).
func SpecOf(r hostdriver.DrainRecord) (desired.DrainSpec, error) {
	s := &settings{left: maps.Clone(r.Spec)}
	var spec desired.DrainSpec
	switch r.Adapter {
	case adapterHAProxy:
		spec.HAProxy = &desired.HAProxyDrain{Address: s.text("address"), Backend: s.text("backend"), Server: s.text("server"), Timeout: s.duration("timeout")}
	case adapterNginx:
		spec.Nginx = &desired.NginxDrain{
			Host: s.text("host"), File: s.text("file"), Upstream: s.text("upstream"), Server: s.text("server"),
			Check: s.text("check"), Reload: s.text("reload"), Timeout: s.duration("timeout"),
		}
	case adapterHTTP:
		spec.HTTP = &desired.HTTPDrain{Drain: s.call("drain"), Undrain: s.call("undrain"), Timeout: s.duration("timeout")}
		if drained := s.call("drained"); drained != (desired.HTTPCall{}) {
			spec.HTTP.Drained = &drained
		}
	case adapterCommand:
		spec.Command = &desired.CommandDrain{On: s.text("on"), Drain: s.text("drain"), Undrain: s.text("undrain"), Drained: s.text("drained"), Timeout: s.duration("timeout")}
	case adapterNone:
		spec.None = &desired.NoDrain{}
	default:
		return desired.DrainSpec{}, fmt.Errorf("cannot read the record of a drain: unknown adapter %q", peer.Line(r.Adapter))
	}
	if err := s.end(); err != nil {
		return desired.DrainSpec{}, fmt.Errorf("cannot read the record of a drain by %s: %w", r.Adapter, err)
	}
	return spec, nil
}

// settings are taken out one by one; what is left in the end is too much.
type settings struct {
	left map[string]string
	err  error
}

func (s *settings) text(key string) string {
	value := s.left[key]
	delete(s.left, key)
	if len(value) > maxRecordValue {
		s.err = fmt.Errorf("%s has %d bytes", key, len(value))
		return ""
	}
	return value
}

func (s *settings) duration(key string) desired.Duration {
	text := s.text(key)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		s.err = fmt.Errorf("%s %q is no duration", key, peer.Line(text))
	}
	return desired.Duration(d)
}

func (s *settings) call(key string) desired.HTTPCall {
	call := desired.HTTPCall{URL: s.text(key + ".url"), Method: s.text(key + ".method")}
	if status := s.text(key + ".status"); status != "" {
		n, err := strconv.Atoi(status)
		if err != nil {
			s.err = fmt.Errorf("%s.status %q is no number", key, peer.Line(status))
		}
		call.Status = n
	}
	return call
}

func (s *settings) end() error {
	if s.err == nil && len(s.left) > 0 {
		keys := slices.Sorted(maps.Keys(s.left))
		return fmt.Errorf("unknown setting %q: a newer evenkeel may have written it", peer.Line(strings.Join(keys, ", ")))
	}
	return s.err
}

// FromRecord makes the Drainer that undoes a drain which was left on host.
//
// A host can write into its record what it likes, so the record alone may only
// reach the host itself. To reach anything else (a balancer, a URL, the controller's
// own shell) it must say the same as one of known: the drains that the repo gives
// this host now, or gave it at the revision the step was for; timeouts apart. For
// another one the error says by which words a person undoes it.
func FromRecord(r hostdriver.DrainRecord, host inventory.Host, deps Deps, known []desired.DrainSpec) (Drainer, error) {
	spec, err := SpecOf(r)
	if err != nil {
		return nil, err
	}
	proven := slices.ContainsFunc(known, func(k desired.DrainSpec) bool { return sameDrain(k, spec) })
	if !proven && !staysOn(spec, host) {
		return nil, &Error{
			Op: opUndrain, Host: host.Name, Where: Describe(spec),
			Mend: byHand(spec),
			Err:  fmt.Errorf("the host's record names a drain that the repo does not give service %s on this host", peer.Line(r.Service)),
		}
	}
	return New(spec, host, deps)
}

func sameDrain(a, b desired.DrainSpec) bool {
	ra, rb := Record("", a), Record("", b)
	delete(ra.Spec, "timeout")
	delete(rb.Spec, "timeout")
	return ra.Adapter == rb.Adapter && maps.Equal(ra.Spec, rb.Spec)
}

// staysOn tells whether all that the spec reaches is the host that it came from.
func staysOn(spec desired.DrainSpec, host inventory.Host) bool {
	switch {
	case spec.None != nil:
		return true
	case spec.Command != nil:
		return spec.Command.On == "" || spec.Command.On == desired.OnHost || spec.Command.By() == host.Name
	case spec.Nginx != nil:
		return spec.Nginx.Host != "" && spec.Nginx.Host == host.Name
	case spec.HTTP != nil:
		calls := []desired.HTTPCall{spec.HTTP.Drain, spec.HTTP.Undrain}
		if spec.HTTP.Drained != nil {
			calls = append(calls, *spec.HTTP.Drained)
		}
		return !slices.ContainsFunc(calls, func(c desired.HTTPCall) bool {
			_, local, err := parseURL(c.URL)
			return err != nil || !local
		})
	case spec.HAProxy != nil:
		scheme, rest, _ := strings.Cut(spec.HAProxy.Address, "://")
		name, socket, _ := strings.Cut(rest, "/")
		own := name == host.Name && (scheme == "ssh+unix" || scheme == "ssh+tcp" && strings.HasPrefix(socket, "127.0.0.1:"))
		return own
	}
	return false
}

// byHand tells a person how to undo what cannot be undone from a record alone.
func byHand(spec desired.DrainSpec) string {
	const then = "; or apply the revision that the drain came from"
	switch {
	case spec.HAProxy != nil && haproxyName(spec.HAProxy.Backend) && haproxyName(spec.HAProxy.Server):
		return fmt.Sprintf("if you know this balancer, say there: set server %s/%s state ready", spec.HAProxy.Backend, spec.HAProxy.Server) + then
	case spec.Nginx != nil:
		return "if you know this file, take \"down\" and the mark \"" + nginxMark + "\" off the server " + peer.Line(spec.Nginx.Server) + " in it, and have nginx reload" + then
	case spec.HTTP != nil:
		return "if you know this address, ask it for the undrain yourself: " + describeURL(spec.HTTP.Undrain.URL) + then
	}
	return "look at the balancer, and put the instance back there" + then
}
