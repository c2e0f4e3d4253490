package sshdriver

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const defaultKeep = 5

var switchParts = []string{"facts", "manager", "entry", "generation", "linger", "enable", "reload", "reserve", "settings", "switch", "collect", "deadman", "refused"}

// switchTo sends the script alone, or with the dead man's own script after it.
func (d *Driver) switchTo(f hostdriver.Fence, op hostdriver.Switch) (*change, error) {
	s := d.mutation(f, switchParts...)
	var expect []string
	for _, e := range op.Expect {
		if err := hostdriver.CheckPath(e.Path); err != nil {
			return nil, err
		}
		if e.SHA256 != "" && !hostdriver.IsDigest(e.SHA256) {
			return nil, fmt.Errorf("%q is not a SHA-256 digest", e.SHA256)
		}
		expect = append(expect, firstOf(e.SHA256, "-")+"\t"+e.Path)
	}
	var alike []string
	for _, e := range op.Alike {
		if err := hostdriver.CheckPath(e.Path); err != nil {
			return nil, err
		}
		if !hostdriver.IsDigest(e.SHA256) {
			return nil, fmt.Errorf("%q is not a SHA-256 digest", e.SHA256)
		}
		alike = append(alike, e.SHA256+"\t"+e.Path)
	}
	for _, name := range op.Renew {
		if err := hostdriver.CheckPath(name); err != nil {
			return nil, err
		}
	}
	for _, name := range op.Reenable {
		if err := hostdriver.CheckUnit(name); err != nil {
			return nil, err
		}
	}
	for _, name := range op.Unknown {
		if err := hostdriver.CheckUnit(name); err != nil {
			return nil, err
		}
	}
	for _, name := range op.Fresh {
		if !slices.Contains(op.Unknown, name) {
			return nil, fmt.Errorf("%q is no unit that had no file", name)
		}
	}
	for _, name := range op.Leave {
		if strings.ContainsAny(name, "\t\n") {
			return nil, fmt.Errorf("%q is neither a path nor a unit", name)
		}
	}
	keep := op.Keep
	if keep <= 0 {
		keep = defaultKeep
	}
	s.setInt("TO", int64(op.To))
	s.set("EXPECT", strings.Join(expect, "\n"))
	s.set("ALIKE", strings.Join(alike, "\n"))
	s.set("LEAVE", strings.Join(op.Leave, "\n"))
	s.setList("RENEW", op.Renew)
	s.setList("REENABLE", op.Reenable)
	s.setList("UNKNOWN", op.Unknown)
	s.setList("FRESH", op.Fresh)
	s.setInt("KEEP", int64(keep))
	s.setFlag("BACK", op.Back)
	if err := s.setRecord(op.Record); err != nil {
		return nil, err
	}
	if err := s.setRefused(op.Refuse); err != nil {
		return nil, err
	}
	if err := s.setForget(op.Forget); err != nil {
		return nil, err
	}
	c := &change{request: request{script: s, call: "op_switch"}, result: unitsResult}
	deadman := ""
	if op.DeadMan > 0 {
		deadman = d.deadman(f, op.Reenable)
		c.payload = func([]byte) (io.Reader, error) { return strings.NewReader(deadman), nil }
	}
	s.setInt("DEADMANSIZE", int64(len(deadman)))
	if op.DeadMan > 0 {
		s.setInt("DEADMAN", seconds(op.DeadMan))
	} else {
		s.setInt("DEADMAN", 0)
	}
	return c, nil
}

// deadman is the script that the timer on the host runs: the same library, with the
// fence of who armed it.
func (d *Driver) deadman(f hostdriver.Fence, reenable []string) string {
	s := d.mutation(f, switchParts...)
	s.setList("REENABLE", reenable)
	return s.text("op_deadman")
}
