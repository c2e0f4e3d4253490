// Package controller is the only loop: it looks at the hosts, lets package rollout
// decide, carries out what it asks for and feeds the outcomes back.
//
// Look makes a View: every host observed once, concurrently, and the Plan that
// follows. Apply carries a View's Plan out: it steps the pure engine, saves each
// State before its Commands run, runs them concurrently and turns every result into
// an Event. The command line and the long-running controller share both.
//
// Start reading at fleet.go, then look.go, apply.go and effects.go.
package controller
