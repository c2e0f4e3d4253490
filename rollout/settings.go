package rollout

import (
	"fmt"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// unapplied tells why a host is not as a file says that it should be (see desired.Setting),
// although the file is as it should be; "" where it is.
func unapplied(f *desired.File, o hostdriver.Observation) string {
	for _, k := range f.KernelParameters() {
		if got := o.Paths[k.Path]; got.Type == hostdriver.PathFile && got.SHA256 != "" && got.SHA256 != k.SHA256() {
			now := "something else"
			if got.Content != nil {
				now = strings.Join(strings.Fields(string(got.Content.Bytes())), " ")
			}
			return fmt.Sprintf("drift: %s is %s on the host, and should be %s", kernelName(k.Path), now, strings.ReplaceAll(k.Value, "\t", " "))
		}
	}
	for _, name := range f.SystemUsers() {
		if u, told := o.Users[name]; told && !u.Exists {
			return fmt.Sprintf("drift: the user %s, which it makes, does not exist", name)
		}
	}
	for _, made := range f.MadeDirectories() {
		got := o.Paths[made.Path]
		switch want := access(made.Owner, made.Group, made.Mode); {
		case got.Type == hostdriver.PathAbsent:
			return fmt.Sprintf("drift: the directory %s, which it makes, does not exist", made.Path)
		case got.Type == hostdriver.PathDir && access(got.Owner, got.Group, got.Mode) != want:
			return fmt.Sprintf("drift: the directory %s is %s, and should be %s", made.Path, access(got.Owner, got.Group, got.Mode), want)
		}
	}
	return ""
}

func kernelName(path string) string {
	return strings.ReplaceAll(strings.TrimPrefix(path, "/proc/sys/"), "/", ".")
}

// renew are the files of a visit that are to be applied once more.
func (h *HostInput) renew(v *Visit) []string {
	var out []string
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil {
			continue
		}
		for i := range inst.Files {
			if f := &inst.Files[i]; !h.rewrites(f) && unapplied(f, *h.Observation) != "" {
				out = append(out, f.Path)
			}
		}
	}
	return out
}

// settings adds what new files set, as far as a host can tell before.
func (t *trial) settings(h *HostInput, inst *desired.Instance) {
	for i := range inst.Files {
		f := &inst.Files[i]
		if !h.rewrites(f) {
			continue
		}
		if desired.SettingOf(f.Path) == desired.SettingLogrotate {
			t.add(hostdriver.TrialNeed{Kind: hostdriver.TryLogrotate, Key: "logrotate", Name: f.Path})
		}
		for _, k := range f.KernelParameters() {
			if !k.May {
				t.add(hostdriver.TrialNeed{Kind: hostdriver.TryKernel, Key: f.Path, Name: k.Path})
			}
		}
	}
}
