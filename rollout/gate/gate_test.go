package gate

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var about = Subject{Host: "web-1", Service: "gateway", Revision: "4f2a"}

func gateOf(t testing.TB, spec desired.GateSpec, deps Deps) Gate {
	t.Helper()
	g, err := New(spec, about, deps)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func wantAnswer(t testing.TB, g Gate, want Answer) {
	t.Helper()
	got, err := g.Ask(t.Context())
	if err != nil || got != want {
		t.Errorf("\n got %+v, %v\nwant %+v", got, err, want)
	}
}

// wantError wants that nothing was learnt, and why.
func wantError(t testing.TB, g Gate, want, mend string) {
	t.Helper()
	got, err := g.Ask(t.Context())
	if err == nil || got != (Answer{}) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cannot ask the gate ") || !strings.Contains(MendOf(err), mend) {
		t.Errorf("\n got %+v, %v (%s)\nwant %s (%s)", got, err, MendOf(err), want, mend)
	}
}

func commandGate(run string) desired.GateSpec {
	return desired.GateSpec{Command: &desired.CommandGate{Run: run}}
}

func TestCommand(t *testing.T) {
	file := t.TempDir() + "/open"
	g := gateOf(t, commandGate("test -e "+file), Deps{})
	wantAnswer(t, g, Answer{Reason: "command test: exit status 1"})
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, g, Answer{Open: true, Reason: "command test: exit status 0"})
	wantAnswer(t, gateOf(t, commandGate(`echo "$GATE_SERVICE on $GATE_HOST may go to $GATE_REVISION"`), Deps{}),
		Answer{Open: true, Reason: "command echo: gateway on web-1 may go to 4f2a"})
	wantAnswer(t, gateOf(t, commandGate("echo; printf 'the \\033[1mfreeze\\033[0m is on\\nand more\\n' >&2; exit 9"), Deps{}),
		Answer{Reason: "command echo;: exit status 9: the [1mfreeze[0m is on"})
	wantAnswer(t, gateOf(t, commandGate("TOKEN=hunter2 true"), Deps{}), Answer{Open: true, Reason: "command …: exit status 0"})
}

func TestCommandThatCannotBeAsked(t *testing.T) {
	wantError(t, gateOf(t, commandGate("/nowhere/may-i"), Deps{}), "command /nowhere/may-i: exit status 127", "is the program installed")
	slow := desired.GateSpec{Command: &desired.CommandGate{Run: "echo thinking; sleep 60", Timeout: desired.Duration(100 * time.Millisecond)}}
	wantError(t, gateOf(t, slow, Deps{}), "it ran longer than 100ms: thinking", "a longer `timeout`")
	wantError(t, gateOf(t, commandGate("kill -9 $$"), Deps{}), "the command died: signal: killed", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a, err := gateOf(t, commandGate("true"), Deps{}).Ask(ctx); a.Open || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", a, err)
	}
}

// What a host or a service is called can be no more than a word.
func TestCommandQuotes(t *testing.T) {
	evil := Subject{Host: "web-1'; echo pwned; '", Service: "$(echo pwned)", Revision: "`echo pwned`"}
	g, err := New(commandGate(`printf %s "$GATE_HOST|$GATE_SERVICE|$GATE_REVISION"`), evil, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, g, Answer{Open: true, Reason: "command printf: " + evil.Host + "|" + evil.Service + "|" + evil.Revision})
}

func TestNewRefusesSettings(t *testing.T) {
	number := func(v float64) *desired.Number { n := desired.Number(v); return &n }
	prometheus := func(p desired.PrometheusGate) desired.GateSpec { return desired.GateSpec{Prometheus: &p} }
	for _, tt := range []struct {
		spec desired.GateSpec
		want string
	}{
		{desired.GateSpec{}, "exactly one of"},
		{desired.GateSpec{Command: &desired.CommandGate{Run: "true"}, Prometheus: &desired.PrometheusGate{}}, "exactly one of"},
		{commandGate(" \n"), "command: run is empty"},
		{commandGate("a\x00b"), "zero byte"},
		{desired.GateSpec{Command: &desired.CommandGate{Run: "true", Timeout: -1}}, "timeout -1ns is negative"},
		{prometheus(desired.PrometheusGate{URL: "http://p:9090", Timeout: -1, Query: "up"}), "is negative"},
		{prometheus(desired.PrometheusGate{URL: "http://p:9090"}), "prometheus: query is empty"},
		{prometheus(desired.PrometheusGate{Query: "up"}), "the url is not where"},
		{prometheus(desired.PrometheusGate{URL: "p:9090", Query: "up"}), "the url is not where"},
		{prometheus(desired.PrometheusGate{URL: "ftp://p", Query: "up"}), "the url is not where"},
		{prometheus(desired.PrometheusGate{URL: "http://p:%", Query: "up"}), "the url is not where"},
		{prometheus(desired.PrometheusGate{URL: "http://me:hunter2@p:9090", Query: "up"}), "the url holds a password"},
		{prometheus(desired.PrometheusGate{URL: "http://p:9090/?token=hunter2", Query: "up"}), "the url has a query"},
		{prometheus(desired.PrometheusGate{URL: "http://p:9090", Query: "up", TokenFile: "/token"}), "in the clear"},
		{prometheus(desired.PrometheusGate{URL: "http://p:9090", Query: "up", Max: number(1), Min: number(2)}), "min 2 is above max 1"},
	} {
		_, err := New(tt.spec, about, Deps{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "cannot ask before web-1: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v; want %s", tt.spec, err, tt.want)
		}
	}
}

func TestDescribeHidesWhatMayBeSecret(t *testing.T) {
	for want, spec := range map[string]desired.GateSpec{
		"command /usr/bin/may-i":      commandGate(" /usr/bin/may-i --token hunter2"),
		"command …":                   commandGate("TOKEN=hunter2 may-i"),
		"prometheus https://p/prefix": {Prometheus: &desired.PrometheusGate{URL: "https://me:hunter2@p/prefix?token=hunter2#hunter2"}},
		"prometheus":                  {Prometheus: &desired.PrometheusGate{URL: "https://hunter2:%"}},
		"no gate at all":              {},
	} {
		if got := Describe(spec); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// fixed is a gate whose answer is known.
type fixed struct {
	answer Answer
	err    error
}

func (f fixed) Ask(context.Context) (Answer, error) { return f.answer, f.err }

func TestAll(t *testing.T) {
	open := fixed{answer: Answer{Open: true, Reason: "all well"}}
	closed := fixed{answer: Answer{Reason: "an alert", Mend: "wait"}}
	other := fixed{answer: Answer{Reason: "a freeze"}}
	unknown := fixed{err: &Error{Gate: "command may-i", Err: errors.New("it ran longer than 30s")}}
	for _, tt := range []struct {
		gates []Gate
		want  Answer
		err   string
	}{
		{nil, Answer{Open: true, Reason: "every gate is open"}, ""},
		{[]Gate{open, open}, Answer{Open: true, Reason: "every gate is open"}, ""},
		{[]Gate{open, other, closed}, Answer{Reason: "a freeze; an alert", Mend: "wait"}, ""},
		{[]Gate{unknown, closed}, Answer{Reason: "an alert", Mend: "wait"}, ""},
		{[]Gate{open, unknown}, Answer{}, "cannot ask the gate command may-i: it ran longer than 30s"},
	} {
		got, err := All(tt.gates...).Ask(t.Context())
		if text := errText(err); got != tt.want || text != tt.err {
			t.Errorf("%+v, %q; want %+v, %q", got, text, tt.want, tt.err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A command may be run elsewhere than here: whoever wires gates decides.
func TestCommandRunsThroughDeps(t *testing.T) {
	var asked string
	deps := Deps{RunLocal: func(_ context.Context, line string, limit time.Duration) (peer.Output, error) {
		asked = line + " within " + limit.String()
		return peer.Output{Exit: 4}, nil
	}}
	wantAnswer(t, gateOf(t, commandGate("may-i"), deps), Answer{Reason: "command may-i: exit status 4"})
	if want := "GATE_HOST='web-1' GATE_SERVICE='gateway' GATE_REVISION='4f2a'\nexport GATE_HOST GATE_SERVICE GATE_REVISION\nmay-i within 30s"; asked != want {
		t.Errorf("it ran %q", asked)
	}
}
