package drivertest

import (
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// tries is a need of the contract's unit.
func tries(kind hostdriver.TrialKind, key, name string) hostdriver.TrialNeed {
	return hostdriver.TrialNeed{Kind: kind, Unit: unitName, Key: key, Name: name}
}

// finds holds that an op is refused with just these reasons, in that order, each named with
// its subject and a mend.
func (k *kit) finds(op hostdriver.Op, want ...hostdriver.FindingReason) []hostdriver.Finding {
	k.Helper()
	_, err := k.refused(hostdriver.Failed, op)
	found := hostdriver.FindingsOf(err)
	var got []hostdriver.FindingReason
	for _, f := range found {
		got = append(got, f.Reason)
		if f.Mend == "" || !strings.HasPrefix(f.What, unitName+": ") || f.Place != unitName || !strings.Contains(err.Error(), f.What) {
			k.Fatalf("a finding without words: %+v", f)
		}
	}
	if !slices.Equal(got, want) {
		k.Fatalf("found %v, want %v: %v", got, want, err)
	}
	return found
}

var trialCases = []contractCase{
	{"what a start would trip over is found before it, all at once", func(k *kit) {
		k.Machine.WriteFile("/opt/contract/plain", "#!/bin/sh\n", 0o644)
		k.Machine.WriteFile("/opt/contract/script", "#!/opt/contract/none\n", 0o755)
		k.Machine.WriteFile("/opt/contract/env", "#!/usr/bin/env contract-none\n", 0o755)
		k.Machine.WriteFile("/etc/contract/latin1", "A=\xe9\n", 0o644)
		k.Machine.WriteFile("/etc/contract/folder/x", "", 0o644)
		t := hostdriver.Trial{Needs: []hostdriver.TrialNeed{
			tries(hostdriver.TryProgram, "ExecStart=", "/opt/contract/none"), tries(hostdriver.TryProgram, "ExecStart=", "/opt/contract/plain"),
			tries(hostdriver.TryProgram, "ExecStart=", "/opt/contract/script"), tries(hostdriver.TryProgram, "ExecStop=", "/opt/contract/env"),
			tries(hostdriver.TryDirectory, "WorkingDirectory=", "/opt/contract/nowhere"), tries(hostdriver.TryUser, "User=", "contract-nobody"),
			tries(hostdriver.TryGroup, "Group=", "contract-nogroup"), tries(hostdriver.TryEnvFile, "EnvironmentFile=", "/etc/contract/none.env"),
			tries(hostdriver.TryEnvFile, "EnvironmentFile=", "/etc/contract/folder"), tries(hostdriver.TryEnvFile, "EnvironmentFile=", "/etc/contract/latin1")}}
		want := []hostdriver.FindingReason{hostdriver.ProgramMissing, hostdriver.NotExecutable, hostdriver.InterpreterAbsent, hostdriver.InterpreterAbsent,
			hostdriver.DirectoryMissing, hostdriver.UserMissing, hostdriver.GroupMissing, hostdriver.EnvFileMissing, hostdriver.EnvFileUnreadable, hostdriver.EnvFileUnparsable}
		found := k.finds(hostdriver.Precheck{Trial: t}, want...)
		if !strings.Contains(found[2].What, "/opt/contract/none") || !strings.Contains(found[3].What, "contract-none") {
			k.Fatalf("the interpreter is not named: %+v", found)
		}
		d := k.draft(1).file("/etc/contract/f", "x").op()
		d.Trial = t
		k.finds(d, want...)
		equal(k, "kept", len(k.records().Kept), 0)
	}},
	{"what is staged is tried as it will be", func(k *kit) {
		tool := release("/opt/contract/.releases/tool", hostdriver.FormFile, []byte("#!/opt/contract/bundle/bin/run\n"))
		bundle := release("/opt/contract/.releases/bundle", hostdriver.FormTar, tarOf(map[string]string{"bin/run": "#!/bin/sh\n"}))
		k.Machine.Symlink("/opt/contract/tool", "/etc/contract/by-hand")
		d := k.draft(1).release(tool).release(bundle).fileAs("/etc/contract/script", "#!/opt/contract/tool\n", "root", "root", 0o755).
			file("/etc/contract/env", "A=1\n").file("/etc/contract/own/deep/f", "x").
			add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/opt/contract/tool", Target: tool.Path}).
			add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/opt/contract/bundle", Target: ".releases/bundle/" + bundle.SHA256}).
			add(hostdriver.Entry{Kind: hostdriver.KindDirectory, Name: "/var/lib/contract/deep", Owner: "root", Group: "root", Mode: 0o750}).
			add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: "contract", Target: "/opt/contract"}).op()
		own := tries(hostdriver.TryProgram, "ExecStart=", "/opt/contract/tool")
		own.User, own.Group = "contract", "contract"
		d.Trial.Needs = []hostdriver.TrialNeed{own, tries(hostdriver.TryProgram, "ExecStartPre=", "/etc/contract/by-hand"), tries(hostdriver.TryProgram, "ExecStop=", "/etc/contract/script"),
			tries(hostdriver.TryProgram, "ExecReload=", "/bin/true"), tries(hostdriver.TryDirectory, "WorkingDirectory=", "/var/lib/contract"), tries(hostdriver.TryDirectory, "WorkingDirectory=", "/etc/contract/own"),
			tries(hostdriver.TryUser, "User=", "contract"), tries(hostdriver.TryGroup, "Group=", "contract"), tries(hostdriver.TryEnvFile, "EnvironmentFile=", "/etc/contract/env")}
		k.apply(d)
		k.apply(hostdriver.Switch{To: 1})
		k.apply(hostdriver.Precheck{Trial: d.Trial})
	}},
	{"a program that its user may not execute is found", func(k *kit) {
		k.draft(1).add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: "contract", Target: "/"}).deploy()
		k.Machine.WriteFile("/opt/contract/closed", "#!/bin/sh\n", 0o700)
		n := tries(hostdriver.TryProgram, "ExecStart=", "/opt/contract/closed")
		k.apply(hostdriver.Precheck{Trial: hostdriver.Trial{Needs: []hostdriver.TrialNeed{n}}})
		n.User = "contract"
		found := k.finds(hostdriver.Precheck{Trial: hostdriver.Trial{Needs: []hostdriver.TrialNeed{n}}}, hostdriver.NotExecutable)
		if !strings.Contains(found[0].What, "contract may not execute it") {
			k.Fatalf("%+v", found)
		}
	}},
	{"what cannot be asked is refused", func(k *kit) {
		for _, n := range []hostdriver.TrialNeed{tries(hostdriver.TryProgram, "ExecStart=", "bin/x"), tries(hostdriver.TryEnvFile, "x", "/a\tb"), tries(hostdriver.TryUser, "User=", "a b"),
			{Kind: hostdriver.TryProgram, Unit: "none", Name: "/bin/true"}} {
			k.refused(hostdriver.Refused, hostdriver.Precheck{Trial: hostdriver.Trial{Needs: []hostdriver.TrialNeed{n}}})
		}
	}},
}
