package controller

import (
	"cmp"
	"slices"
	"time"
)

// with is cs with c in it; its transition time is kept where the status is as before.
func (cs Conditions) with(c Condition, now time.Time) Conditions {
	c.LastTransitionTime = now
	if old := cs.Get(c.Type); old.Status == c.Status && !old.LastTransitionTime.IsZero() {
		c.LastTransitionTime = old.LastTransitionTime
	}
	out := slices.DeleteFunc(slices.Clone(cs), func(o Condition) bool { return o.Type == c.Type })
	out = append(out, c)
	slices.SortFunc(out, func(a, b Condition) int { return cmp.Compare(a.Type, b.Type) })
	return out
}

// truth is a Condition's status of something that is known.
func truth(b bool) ConditionStatus {
	if b {
		return True
	}
	return False
}
