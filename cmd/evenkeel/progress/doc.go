// Package progress shows a rollout while it runs.
//
// Lines turns its states into plain lines, one per phase that a host enters, for
// logs and pipes. View draws its last state as a table that fits a terminal, and
// Live keeps that table in place on a real one. Lines and View are pure; only Live
// does I/O.
//
// The package decides nothing and reads rollout.State only. Start reading at
// lines.go and view.go.
package progress
