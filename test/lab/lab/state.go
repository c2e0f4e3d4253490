package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// stateRoot holds a directory per lab. It is a variable for the tests alone.
var stateRoot = "/run/evenkeel-lab"

// record is what is on disk about a lab, complete before anything of it is made, so that whoever finds it can remove it
// all: every name is derived from Prefix and Hosts. It holds no secret.
type record struct {
	Prefix     string   `json:"prefix"`
	Persistent bool     `json:"persistent"` // outlives its maker; goes only when a person takes it down
	Owner      owner    `json:"owner"`
	BootID     string   `json:"bootID"` // of this machine; another one now means that nothing but files is left
	Subnet     int      `json:"subnet"` // the N of 10.213.N.0/24
	Hosts      int      `json:"hosts"`
	Bases      []string `json:"bases"`   // the images' directories: one for all hosts, or one each
	DiskDir    string   `json:"diskDir"` // where the hosts' disks are, "" for memory
	DiskSize   int64    `json:"diskSize"`
	Containers bool     `json:"containers"`
	Network    bool     `json:"network"`
	Generators bool     `json:"generators"`

	Balancers []HAProxyConfig `json:"balancers,omitempty"` // as started, ports filled in
}

// owner is the process that made a lab, told apart from a later one of the same pid by its start time (proc(5), field 22 of
// stat, in clock ticks since boot). It is for the person: a lab's life itself hangs on the lock that its owner holds.
type owner struct {
	PID     int    `json:"pid"`
	Start   uint64 `json:"start"`
	Command string `json:"command"`
}

func (o owner) String() string { return fmt.Sprintf("pid %d, %s", o.PID, o.Command) }

// alive says whether the very process still runs; a zombie does not.
func (o owner) alive() bool {
	state, start, err := processStart(o.PID)
	return err == nil && state != "Z" && start == o.Start
}

func thisProcess() owner {
	_, start, _ := processStart(os.Getpid())
	return owner{PID: os.Getpid(), Start: start, Command: filepath.Base(os.Args[0])}
}

// processStart reads a process's state letter and start time. The command in parentheses may hold anything, also spaces and
// parentheses, so the fields are counted from the last ")".
func processStart(pid int) (state string, start uint64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, err
	}
	return parseStat(string(text))
}

func parseStat(text string) (state string, start uint64, err error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return "", 0, errors.New("no command in parentheses")
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("only %d fields after the command", len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0], start, err
}

var prefixForm = regexp.MustCompile(`^[a-z][a-z0-9]{0,7}$`)

// maxHosts is what the addresses of a /24 from .11 on, and interface names of 15 bytes with a prefix of 8, leave room for.
const maxHosts = 240

func (r record) dir() string          { return filepath.Join(stateRoot, r.Prefix) }
func (r record) hostDir(i int) string { return filepath.Join(r.dir(), "hosts", hostName(i)) }
func (r record) diskDir(i int) string { return filepath.Join(r.hostDir(i), "disk") }
func (r record) base(i int) string {
	if len(r.Bases) == 1 {
		return r.Bases[0]
	}
	return r.Bases[i-1]
}
func (r record) bridge() string         { return "ek-" + r.Prefix }
func (r record) link(i int) string      { return fmt.Sprintf("ek-%s-%d", r.Prefix, i) } // veth and network namespace alike
func (r record) machine(i int) string   { return fmt.Sprintf("ek-%s-%s", r.Prefix, hostName(i)) }
func (r record) gateway() string        { return fmt.Sprintf("10.213.%d.1", r.Subnet) }
func (r record) address(i int) string   { return fmt.Sprintf("10.213.%d.%d", r.Subnet, 10+i) }
func (r record) group() string          { return "evenkeel-lab-" + r.Prefix } // control group
func (r record) hostGroup(i int) string { return filepath.Join(r.group(), hostName(i)) }

func hostName(i int) string { return "h" + strconv.Itoa(i) }

// save replaces the lab's record in one rename; a crash leaves the old one or the new one.
func (r record) save() error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(r.dir(), "state.json")
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// loadRecord reads a lab's record. A directory without one is a claim whose maker died before it made anything.
func loadRecord(prefix string) (record, error) {
	r := record{Prefix: prefix}
	text, err := os.ReadFile(filepath.Join(r.dir(), "state.json"))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("cannot read the record of lab %s: %w", prefix, err)
	}
	if r.Prefix != prefix || r.Hosts < 0 || r.Hosts > maxHosts {
		return r, fmt.Errorf("the record of lab %s is not one of this program", prefix)
	}
	return r, nil
}

// prefixes lists the labs on this machine, dead or alive, in order.
func prefixes() ([]string, error) {
	entries, err := os.ReadDir(stateRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && prefixForm.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}
