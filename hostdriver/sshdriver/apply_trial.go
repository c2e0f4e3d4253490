package sshdriver

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// setTrial is what script/trial.sh needs.
func (s *script) setTrial(t hostdriver.Trial) error {
	if err := t.Check(); err != nil {
		return err
	}
	var needs, units []string
	var ports []string
	for _, n := range t.Needs {
		for _, item := range []string{n.Key, n.Name, n.Search, n.Libraries, n.User, n.Group} {
			if strings.ContainsAny(item, "\n\t") {
				return fmt.Errorf("%s of %s: %q holds a newline or tab", n.Key, n.Unit, item)
			}
		}
		if n.Kind == hostdriver.TryPort {
			hexes, err := listeningAs(n)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", n.Key, n.Unit, err)
			}
			ports = append(ports, hexes...)
			continue
		}
		group := n.Group
		if n.User == "" {
			group = ""
		}
		needs = append(needs, strings.Join([]string{string(n.Kind), orDash(n.Unit), n.Key, n.Name, orDash(n.User), orDash(group), orDash(n.Search), orDash(n.Libraries)}, "\t"))
	}
	for _, u := range t.Verify {
		for _, path := range slices.Sorted(maps.Keys(u.Files)) {
			units = append(units, u.Name+"\t"+path+"\t"+u.Files[path])
		}
	}
	if len(needs) == 0 && len(ports) > 0 { // so that there is something to be tried
		needs = append(needs, "port\t-\t-\t-\t-\t-\t-\t-")
	}
	s.set("TRIAL", strings.Join(needs, "\n"))
	s.set("VERIFY", strings.Join(units, "\n"))
	s.set("PORTS", "")
	if len(ports) > 0 {
		slices.Sort(ports)
		s.set("PORTS", ": ("+strings.Join(slices.Compact(ports), "|")+") [0-9A-F]+:0000 0A ")
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// listeningAs are the local addresses, as proc_pid_net(5) writes them on a little-endian
// machine, under which a listener would be in the way of n.
func listeningAs(n hostdriver.TrialNeed) ([]string, error) {
	port, err := strconv.ParseUint(n.Name, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q is not a port", n.Name)
	}
	if n.Address == "" {
		return []string{fmt.Sprintf("[0-9A-F]+:%04X", port)}, nil
	}
	a, err := netip.ParseAddr(n.Address)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address", n.Address)
	}
	all := []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified(), a.Unmap()}
	if a.Unmap().Is4() {
		all = append(all, netip.AddrFrom16(a.As16()))
	} else {
		all = slices.Delete(all, 1, 2)
	}
	var out []string
	for _, a := range all {
		b := a.AsSlice()
		for i := 0; i < len(b); i += 4 {
			slices.Reverse(b[i : i+4])
		}
		out = append(out, fmt.Sprintf("%X:%04X", b, port))
	}
	return out, nil
}

// trialFindings reads the record "trial": a line for each thing that was found, and what
// systemd says of staged units, of which some are warnings.
func trialFindings(t hostdriver.Trial, r record) (found []hostdriver.Finding, warnings []string, err error) {
	for _, line := range r.lines() {
		kind, rest, _ := strings.Cut(line, "\t")
		switch kind {
		case "said":
			if refuses(rest) {
				found = append(found, unitFinding(t, rest))
			} else if len(warnings) < 40 {
				warnings = append(warnings, plainPlace(rest))
			}
		case "port":
			local, holder, _ := strings.Cut(rest, "\t")
			found = append(found, portFindings(t, local, holder)...)
		default:
			f := strings.SplitN(line, "\t", 5)
			if len(f) < 5 {
				return nil, nil, fmt.Errorf("the trial's record has %s", printable(line, 200))
			}
			i := slices.IndexFunc(t.Needs, func(n hostdriver.TrialNeed) bool { return orDash(n.Unit) == f[1] && n.Key == f[2] && n.Name == f[3] })
			if i < 0 {
				return nil, nil, fmt.Errorf("the trial's record has %s, which nobody asked for", printable(line, 200))
			}
			reason, detail := hostdriver.FindingReason(printable(f[0], 40)), printable(strings.ReplaceAll(f[4], "\r", `\r`), 200)
			if reason == hostdriver.WrongMachine {
				detail = machines(f[4])
			}
			found = append(found, t.Needs[i].Found(reason, detail))
		}
	}
	return found, warnings, nil
}

// refuses tells what systemd says of a unit that it would not load from what it only warns
// of. script/trial.sh has the same words.
func refuses(line string) bool {
	for _, words := range []string{": Invalid section header", "fatal error", "Refusing.", "has a bad unit file setting", "failed to load properly"} {
		if strings.Contains(line, words) {
			return true
		}
	}
	return false
}

// plainPlace is a line without the folder where the units were looked at.
func plainPlace(line string) string {
	return printable(strings.ReplaceAll(line, "/run/evenkeel/verify/", ""), 300)
}

func unitFinding(t hostdriver.Trial, line string) hostdriver.Finding {
	f := hostdriver.Finding{Reason: hostdriver.UnitInvalid, What: "systemd there refuses it: " + plainPlace(line), Mend: "correct the unit's file"}
	for _, u := range t.Verify {
		if strings.Contains(line, u.Name) {
			f.Place = u.Name
		}
	}
	return f
}

// portFindings are those of the needs whose place is taken.
func portFindings(t hostdriver.Trial, local, holder string) []hostdriver.Finding {
	_, hex, _ := strings.Cut(local, ":")
	port, err := strconv.ParseUint(hex, 16, 16)
	if err != nil {
		return nil
	}
	if holder = printable(holder, 120); holder != "" {
		holder = ": " + holder
	}
	var found []hostdriver.Finding
	for _, n := range t.Needs {
		if n.Kind == hostdriver.TryPort && n.Name == strconv.FormatUint(port, 10) {
			found = append(found, n.Found(hostdriver.PortTaken, holder))
		}
	}
	return found
}

// machineNames are those of elf(5), by the two bytes of e_machine.
var machineNames = map[string]string{"62 0": "x86-64", "183 0": "arm64", "3 0": "i386", "40 0": "arm", "243 0": "riscv", "21 0": "ppc64", "0 21": "ppc64", "0 22": "s390x", "8 0": "mips", "2 1": "loongarch"}

// machines tells which machine a program is for, and which one the host is, each told as
// the ELF header's class, byte order and processor.
func machines(detail string) string {
	program, host, _ := strings.Cut(detail, "/")
	name := func(s string) string {
		f := strings.Fields(s)
		if len(f) != 4 {
			return "unknown"
		}
		if n := machineNames[f[2]+" "+f[3]]; n != "" {
			return n
		}
		return printable("ELF "+s, 40)
	}
	return fmt.Sprintf("for %s, and the host is %s", name(program), name(host))
}
