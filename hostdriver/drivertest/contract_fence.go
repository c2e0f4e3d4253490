package drivertest

import (
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var fenceCases = []contractCase{
	{"the host keeps the highest epoch it has seen and refuses lower ones", func(k *kit) {
		k.fence = hostdriver.Fence{Epoch: 7, Holder: "newer"}
		k.apply(hostdriver.ClearStep{})
		o := k.records()
		equal(k, "epoch", o.Epoch, 7)
		equal(k, "holder", o.Holder, "newer")
		k.fence = hostdriver.Fence{Epoch: 6, Holder: "older"}
		_, err := k.refused(hostdriver.Refused, hostdriver.PutStep{Record: hostdriver.StepRecord{Phase: "x"}})
		if !strings.Contains(err.Error(), "newer") || hostdriver.MendOf(err) == "" {
			k.Fatalf("the refusal must name the newer holder and have a mend: %v", err)
		}
		if o := k.records(); o.Step != nil || o.Epoch != 7 {
			k.Fatalf("a refused op must do nothing: %+v", o)
		}
	}},
	{"obey raises the epoch and tells whether anything changed since a reading", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "x").deploy()
		was := k.records()
		k.fence = hostdriver.Fence{Epoch: was.Epoch + 1, Holder: "newer"}
		res := k.apply(hostdriver.Obey{})
		equal(k, "mutations since the reading", res.Mutations-was.Mutations, 0)
		o := k.records()
		equal(k, "epoch", o.Epoch, was.Epoch+1)
		equal(k, "holder", o.Holder, "newer")
		equal(k, "generation", o.Manifest.Generation, 1)
		k.apply(hostdriver.PutStep{Record: hostdriver.StepRecord{Phase: "drain", Epoch: k.fence.Epoch}})
		k.fence = hostdriver.Fence{Epoch: o.Epoch + 1, Holder: "newest"}
		if res := k.apply(hostdriver.Obey{}); res.Mutations == o.Mutations {
			k.Fatalf("a step was put in hand since the reading, and %d mutations are counted as then", res.Mutations)
		}
		if o := k.records(); o.Step == nil || o.Step.Phase != "drain" {
			k.Fatalf("the step in hand must stay: %+v", o.Step)
		}
	}},
	{"every op is refused to an older epoch", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "x").deploy()
		k.fence.Epoch = 9
		k.apply(hostdriver.ClearStep{})
		k.fence = hostdriver.Fence{Epoch: 8, Holder: "older"}
		for _, op := range []hostdriver.Op{hostdriver.Obey{}, hostdriver.Precheck{}, k.draft(2).op(), hostdriver.Switch{To: 1}, hostdriver.Disarm{}, start("ssh.service"),
			hostdriver.PutStep{}, hostdriver.ClearStep{}, hostdriver.Claim{}, hostdriver.Forget{}, hostdriver.Run{Line: "true"}, hookOf("true")} {
			k.refused(hostdriver.Refused, op)
		}
	}},
	{"an epoch belongs to the holder who used it first", func(k *kit) {
		k.apply(hostdriver.ClearStep{})
		k.fence.Holder = "somebody else"
		k.refused(hostdriver.Refused, hostdriver.ClearStep{})
	}},
	{"a fence without epoch or holder is refused", func(k *kit) {
		for _, f := range []hostdriver.Fence{{}, {Epoch: 1}, {Holder: "x"}} {
			k.fence = f
			k.refused(hostdriver.Refused, hostdriver.ClearStep{})
		}
	}},
	{"a host that a controller claims refuses others until they take over", func(k *kit) {
		k.fence = hostdriver.Fence{Epoch: 1, Holder: "controller one", Claimed: true}
		k.apply(hostdriver.ClearStep{})
		equal(k, "claim", k.records().Claim, "controller one")
		k.fence = hostdriver.Fence{Epoch: 2, Holder: "apply pid 1"}
		_, err := k.refused(hostdriver.Refused, hostdriver.PutStep{})
		if !strings.Contains(err.Error(), "controller one") {
			k.Fatalf("the refusal must name the controller: %v", err)
		}
		equal(k, "epoch after the refusal", k.records().Epoch, 1)
		k.fence.TakeOver = true
		k.apply(hostdriver.ClearStep{})
		equal(k, "claim once taken over", k.records().Claim, "")
		k.fence = hostdriver.Fence{Epoch: 3, Holder: "controller two", Claimed: true}
		k.apply(hostdriver.ClearStep{})
		equal(k, "the next controller's claim", k.records().Claim, "controller two")
	}},
	{"a claim is made and released by an op of its own", func(k *kit) {
		k.apply(hostdriver.Claim{})
		equal(k, "claim", k.records().Claim, k.fence.Holder)
		k.apply(hostdriver.Claim{Release: true})
		equal(k, "claim once released", k.records().Claim, "")
	}},
	{"two at once: each is done whole, one after the other", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").deploy()
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			both.Go(func() {
				_, errs[i] = k.Driver.Apply(k.context(), k.Host, k.fence, hostdriver.Switch{To: uint64(i + 1)})
			})
		}
		both.Wait()
		for _, err := range errs {
			if err != nil {
				k.Fatal(err)
			}
		}
		o := k.records()
		equal(k, "the file on disk", k.content("/etc/contract/f"), map[uint64]string{1: "1", 2: "2"}[o.Manifest.Generation])
		equal(k, "journal", o.Switching, nil)
	}},
}
