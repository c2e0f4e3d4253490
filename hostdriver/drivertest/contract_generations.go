package drivertest

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// refusal is a record that a host can keep.
func refusal(service, reason string) hostdriver.Refusal {
	return hostdriver.Refusal{Service: service, Revision: "deadbeef", Reason: reason, By: hostdriver.ByRevert,
		At: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Content: digest("content"), How: digest("how")}
}

// program is a release that is one file.
func program(text string) hostdriver.Release {
	return hostdriver.Release{Path: "/opt/contract/" + digest(text), SHA256: digest(text), Size: int64(len(text)), Form: hostdriver.FormFile,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

var generationCases = []contractCase{
	{"what the kept generations have is told where it is asked for", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").file("/etc/contract/old", "1").unit(unitName, runs, "yes").deploy()
		second := k.draft(2).file("/etc/contract/f", "2")
		second.manifest.Revision = "cafe"
		second.deploy()
		o := k.observe(hostdriver.Query{})
		if o.Generations != nil {
			k.Fatalf("nobody asked for %+v", o.Generations)
		}
		equal(k, "the revisions", fmt.Sprint(o.Revisions), "map[1:deadbeef 2:cafe]")
		o = k.observe(hostdriver.Query{Generations: true})
		equal(k, "the generation on disk", o.Manifest.Generation, 2)
		equal(k, "how many", len(o.Generations), 2)
		for n, text := range map[uint64]string{1: "1", 2: "2"} {
			m := o.Generations[n]
			e, _ := m.Find(hostdriver.KindFile, "/etc/contract/f")
			equal(k, "its number", m.Generation, n)
			equal(k, "its revision", m.Revision, o.Revisions[n])
			equal(k, "its file", e.SHA256, digest(text))
			equal(k, "whose it is", e.Service, "contract")
		}
	}},
	{"a generation can be made of content that others have, without sending it again", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").file("/etc/contract/g", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").file("/etc/contract/g", "2").deploy()
		mixed := k.draft(3).file("/etc/contract/f", "1").file("/etc/contract/g", "2")
		k.apply(hostdriver.Stage{Manifest: mixed.manifest})
		k.apply(hostdriver.Switch{To: 3})
		equal(k, "f", k.content("/etc/contract/f"), "1")
		equal(k, "g", k.content("/etc/contract/g"), "2")
	}},
	{"what was staged and never switched to, or gone back from, is none to go back to", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").stage()
		k.draft(3).file("/etc/contract/f", "3").deploy()
		equal(k, "kept", fmt.Sprint(k.records().Kept), "[1 3]")
		k.apply(hostdriver.PutStep{Record: hostdriver.StepRecord{Services: []string{"contract"}, From: 1, To: 3, Phase: "revert restart"}})
		k.apply(hostdriver.Switch{To: 1})
		equal(k, "kept while the step is in hand", fmt.Sprint(k.records().Kept), "[1 3]")
		k.apply(hostdriver.ClearStep{})
		k.draft(5).file("/etc/contract/f", "5").deploy()
		equal(k, "kept", fmt.Sprint(k.records().Kept), "[1 5]")
	}},
	{"content that no generation has must be sent", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.refused(hostdriver.Failed, hostdriver.Stage{Manifest: k.draft(2).file("/etc/contract/f", "2").manifest})
		equal(k, "kept", len(k.records().Kept), 1)
	}},
	{"content and releases that no kept generation needs any more are removed", func(k *kit) {
		for n := uint64(1); n <= 4; n++ {
			d := k.draft(n).file("/etc/contract/f", strings.Repeat("x", int(n))).release(program("program " + strings.Repeat("y", int(n))))
			d.stage()
			k.apply(hostdriver.Switch{To: n, Keep: 2})
		}
		o := k.observe(hostdriver.Query{Generations: true})
		if len(o.Kept) != 2 || o.Kept[0] != 3 {
			k.Fatalf("kept: %v", o.Kept)
		}
		for n, there := range map[int]bool{1: false, 2: false, 3: true, 4: true} {
			p := "/opt/contract/" + digest("program "+strings.Repeat("y", n))
			if _, ok := k.Machine.ReadFile(p); ok != there {
				k.Fatalf("the release of generation %d is there: %v, want %v", n, ok, there)
			}
		}
		// What was removed with the first generation must be sent again.
		k.refused(hostdriver.Failed, hostdriver.Stage{Manifest: k.draft(5).file("/etc/contract/f", "x").manifest})
	}},
	{"a refusal is remembered until the service is forgotten", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").deploy()
		r := refusal("contract", "exit status 1\n\tand \"more\"")
		k.apply(hostdriver.Switch{To: 1, Refuse: []hostdriver.Refusal{r, refusal("other", "too slow")}})
		o := k.records()
		equal(k, "how many", len(o.Refused), 2)
		if got := o.Refused[0]; got.Service != "contract" || got.By != r.By || got.Revision != r.Revision || !got.At.Equal(r.At) || got.Content != r.Content || got.How != r.How ||
			!strings.Contains(got.Reason, "exit status 1") || !strings.Contains(got.Reason, "more") {
			k.Fatalf("%+v", got)
		}
		k.reboot()
		equal(k, "how many after a reboot", len(k.records().Refused), 2)
		k.apply(hostdriver.Switch{To: 2, Forget: []string{"other", "unheard-of"}})
		o = k.records()
		if len(o.Refused) != 1 || o.Refused[0].Service != "contract" {
			k.Fatalf("%+v", o.Refused)
		}
		k.apply(hostdriver.Switch{To: 1, Refuse: []hostdriver.Refusal{refusal("contract", "again")}})
		equal(k, "the newer one", k.records().Refused[0].Reason, "again")
		k.apply(hostdriver.Forget{Services: []string{"contract"}})
		equal(k, "how many in the end", len(k.records().Refused), 0)
	}},
	{"a switch that fails forgets nothing", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").stage()
		k.apply(hostdriver.Switch{To: 2, Refuse: []hostdriver.Refusal{refusal("contract", "x")}})
		k.draft(3).file("/etc/contract/f", "3").unit(unitName, static, "yes").stage()
		k.refused(hostdriver.Failed, hostdriver.Switch{To: 3, Forget: []string{"contract"}})
		equal(k, "refusals", len(k.records().Refused), 1)
	}},
	{"a service's name that is none is refused", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.refused(hostdriver.Refused, hostdriver.Switch{To: 1, Refuse: []hostdriver.Refusal{refusal("../../x", "x")}})
	}},
}
