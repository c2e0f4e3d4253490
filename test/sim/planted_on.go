//go:build planted

package main

import "github.com/evenkeel/evenkeel/rollout"

// planted is the bug that is planted in the simulated effects or hosts, "" where there
// is none.
var planted string

// plant plants one bug, in the engine or beside it: each looks for its own name.
func plant(bug string) {
	planted = bug
	rollout.Plant(bug)
}

// plantable are the bugs there are.
var plantable = []string{
	// in the engine
	"budget ignores unreachable", "budget ignores what is in flight", "stale look reused", "last host excused",
	"batches ignored", "after ignored", "halt ignored", "trouble ignored", "fallen ignored", "next before in rotation",
	"undrained before healthy", "old process accepted", "crash loop accepted",
	"revert reports success", "revert skips health",
	"stop leaves drained", "recovery forgets drains", "record cleared before undrain", "drained before recorded",
	"canary not waited for", "windows ignored", "window's end overlooked", "spread ignored", "pause ignored",
	"hook run on every host", "hook twice at once", "hook's other hosts not asked",
	"refused content tried again", "undo not remembered", "undo without restart",
	"unknown is failure", "unknown is success", "late result accepted", "prunes everything",
	// beside it
	"restarts without looking", "switch without journal", "hand's drain taken over", "two at once", "host's word not asked", "secret in a reason",
	"hand's edit overwritten",
}
