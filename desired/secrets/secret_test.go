package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.yaml.in/yaml/v3"
)

const planted = "hunter2"

// hidden has a Secret where fmt may call no method of it.
type hidden struct {
	name   string
	secret Secret
	list   []Secret
	m      map[string]Secret
}

func TestSecretIsNeverShown(t *testing.T) {
	s := New([]byte(planted))
	var shown strings.Builder
	in := hidden{"x", s, []Secret{s}, map[string]Secret{"k": s}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p"} {
		for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"k": s}, in, &in, struct{ Secret }{s}, struct{ S any }{s}} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
	}
	fmt.Fprintln(&shown, s, in)
	for _, v := range []any{s, &s, map[string]any{"k": s}, []Secret{s}, struct{ S Secret }{s}, in} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b)
		if b, err = yaml.Marshal(v); err != nil {
			t.Fatal(err)
		}
		shown.Write(b)
	}
	var logs bytes.Buffer
	slog.New(slog.NewJSONHandler(&logs, nil)).Info("x", "s", s, "in", in)
	slog.New(slog.NewTextHandler(&logs, nil)).Info("x", "s", s, "in", in)
	zl := zerolog.New(&logs)
	zl.Info().Any("s", s).Interface("in", in).Stringer("str", s).Object("o", s).Err(fmt.Errorf("bad %s", s)).Msg("x")
	shown.Write(logs.Bytes())
	out := shown.String()
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted), fmt.Sprint([]byte(planted)), "104 117 110", "aHVudGVyMg"} {
		if strings.Contains(out, form) {
			t.Errorf("shown as %q in\n%s", form, out)
		}
	}
	if !strings.Contains(out, redacted) {
		t.Error("nothing says that something was held back")
	}
}

func TestSecret(t *testing.T) {
	b := []byte(planted)
	s := New(b)
	b[0] = 'x'
	if string(s.Reveal()) != planted || s.IsZero() {
		t.Errorf("got %q", s.Reveal())
	}
	if !s.Equal(New([]byte(planted))) || s.Equal(New([]byte("other"))) || s.Equal(Secret{}) || !(Secret{}).Equal(Secret{}) {
		t.Error("secrets are told apart wrongly")
	}
	if !(Secret{}).IsZero() || (Secret{}).Reveal() != nil {
		t.Error("nothing is something")
	}
	key := []byte("key")
	if s.Fingerprint(key) != New([]byte(planted)).Fingerprint(key) || s.Fingerprint(key) == s.Fingerprint([]byte("k2")) || len(s.Fingerprint(key)) != 12 {
		t.Errorf("fingerprint %s", s.Fingerprint(key))
	}
	var c struct{ Token Secret }
	if err := json.Unmarshal([]byte(`{"Token": "hunter2"}`), &c); err != nil || string(c.Token.Reveal()) != planted {
		t.Errorf("got %q, %v", c.Token.Reveal(), err)
	}
}
