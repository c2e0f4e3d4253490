package desired

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// secretRepo is a fleet of one host that accepts a token and one that sends it.
func secretRepo(secrets string, env map[string]string) fstest.MapFS {
	files := fstest.MapFS{
		"fleet.yaml":           {Data: []byte("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: test}\nspec:\n  secrets:\n" + secrets)},
		"inventory/hosts.yaml": {Data: []byte("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: all}\nspec:\n  hosts: [{name: g, address: 192.0.2.1, labels: {role: gateway}}, {name: p, address: 192.0.2.2, labels: {role: probe}}]\n")},
		"rotations.yaml":       {Data: []byte("apiVersion: evenkeel/v1\nkind: Rotations\nspec: {secrets: {token: {at: \"2026-01-02T03:04:05Z\"}}}\n")},
	}
	for name, text := range env {
		files["services/"+name+"/service.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: " + name + "}\nspec:\n  selector: {matchLabels: {role: " + name + "}}\n" +
			"  units: [{source: " + name + ".service, state: started}]\n  env: [{path: /etc/" + name + ".env, source: " + name + ".env}]\n  health: [{unit: {}}]\n")}
		files["services/"+name+"/"+name+".service"] = &fstest.MapFile{Data: []byte("[Service]\nExecStart=/bin/sleep infinity\nEnvironmentFile=/etc/" + name + ".env\n")}
		files["services/"+name+"/"+name+".env"] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func TestForms(t *testing.T) {
	ctx := context.Background()
	both := map[string]string{"gateway": "# the gateway's\nTOKEN=new\nTOKEN_PREVIOUS=old\nX=1\n", "probe": "OUR_TOKENS=new,old\n"}
	rev, err := Load(ctx, secretRepo("    - {name: token, key: TOKEN, previous: TOKEN_PREVIOUS, verifiers: [{service: gateway}], signers: [{service: probe, key: OUR_TOKENS, separator: \",\"}]}\n", both), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if at := rev.Rotated["token"]; !at.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("made %s", at)
	}
	env := func(rev *Revision, i int) string {
		st, err := rev.Resolve(ctx, rev.Inventory.Hosts[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range st.Instances[0].Files {
			if f.Kind == FileEnv {
				return string(f.Content.Bytes())
			}
		}
		return "none"
	}
	form := func(gateway, probe Form) *Revision {
		return rev.WithForms(Forms{{"token", "gateway", "g"}: gateway, {"token", "probe", "p"}: probe})
	}
	const header = "# Written by evenkeel from gateway.env. Edit it there.\n"
	for _, c := range []struct {
		rev            *Revision
		gateway, probe string
	}{
		{&rev, both["gateway"], both["probe"]},
		{form(FormCurrentFirst, FormPrevious), both["gateway"], "OUR_TOKENS=old\n"},
		{form(FormPreviousFirst, FormCurrent), header + "TOKEN=old\nTOKEN_PREVIOUS=new\nX=1\n", "OUR_TOKENS=new\n"},
		{form(FormPrevious, FormPreviousFirst), header + "TOKEN=old\nX=1\n", "OUR_TOKENS=old,new\n"},
		{form(FormCurrent, FormCurrentFirst), header + "TOKEN=new\nX=1\n", "OUR_TOKENS=new,old\n"},
	} {
		gateway, probe := env(c.rev, 0), strings.TrimPrefix(env(c.rev, 1), "# Written by evenkeel from probe.env. Edit it there.\n")
		if gateway != c.gateway || probe != c.probe {
			t.Errorf("%v:\n%s%s", c.rev.Forms(), gateway, probe)
		}
	}
	if form(FormCurrent, FormCurrent).WithForms(Forms{}).ID != rev.ID {
		t.Error("the revision is another")
	}
	uses, err := rev.SecretUses(ctx, rev.Inventory.Hosts[1])
	if err != nil || len(uses) != 1 || !uses[0].Rotates || uses[0].Role != RoleSigner || uses[0].Units[0] != "probe.service" || string(uses[0].Before.Bytes()) != "old" {
		t.Errorf("%+v %v", uses, err)
	}
}

func TestSecretFaults(t *testing.T) {
	env := map[string]string{"gateway": "TOKEN=a\n", "probe": "TOKEN=b\n"}
	const ok = "key: TOKEN, previous: TOKEN_PREVIOUS, verifiers: [{service: gateway}]"
	for secret, want := range map[string]string{
		"{name: token, " + ok + "}":                                                                                              "nobody can tell when the old value is no longer used",
		"{name: Token, " + ok + ", keep: 1h}":                                                                                    `secret name "Token" must be lower-case letters`,
		"{name: token, keep: 1h}":                                                                                                "no service accepts secret token",
		"{name: token, key: TOKEN, verifiers: [{service: gateway}], keep: 1h}":                                                   "there is no place for the value before",
		"{name: token, key: TOKEN, previous: TOKEN, verifiers: [{service: gateway}], keep: 1h}":                                  "key and previous are the same variable",
		"{name: token, key: a-b, separator: x, verifiers: [{service: gateway}], keep: 1h}":                                       `"a-b" is not a variable's name`,
		"{name: token, key: T, previous: P, verifiers: [{service: gatewy}], keep: 1h}":                                           `there is no service "gatewy"`,
		"{name: token, " + ok + ", keep: 25h, everyDays: 1}":                                                                     "longer than a value lasts",
		"{name: token, " + ok + ", keep: 1h, automatic: true}":                                                                   "it needs everyDays and generate",
		"{name: token, " + ok + ", keep: 1h, generate: {encoding: hex}}":                                                         "one of random and command",
		"{name: token, " + ok + ", keep: 1h}\n    - {name: second, " + ok + ", keep: 1h}":                                        "TOKEN belongs to secret token already",
		"{name: token, " + ok + ", keep: 1h}\n    - {name: token, key: X, previous: Y, verifiers: [{service: probe}], keep: 1h}": `secret "token" is declared twice`,
		"{name: token, " + ok + ", keep: 1h, windows: [{kind: allow, schedule: \"61 * * * *\", duration: 1h}]}":                  "61",
	} {
		_, err := Load(context.Background(), secretRepo("    - "+secret+"\n", env), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "fleet.yaml:6:") && !strings.Contains(err.Error(), "fleet.yaml:7:") {
			t.Errorf("%s:\n%v", secret, err)
		}
	}
	rev, err := Load(context.Background(), secretRepo("    - {name: token, key: MISSING, previous: P, verifiers: [{service: gateway}], keep: 1h}\n", env), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	faults := Validate(context.Background(), &rev)
	if len(faults) != 1 || faults[0].Rule != "no-such-variable" || !strings.Contains(faults[0].Message, "no env file of gateway has MISSING") {
		t.Errorf("%v", faults)
	}
	rev, err = Load(context.Background(), secretRepo("    - {name: token, "+ok+", signers: [{service: probe}]}\n", env), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	faults = Validate(context.Background(), &rev)
	if len(faults) != 1 || faults[0].Rule != "secret-differs" || !faults[0].IsError() {
		t.Errorf("%v", faults)
	}
}
