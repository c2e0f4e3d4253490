//go:build race

package main

// raced tells that the race detector is on, under which all is some ten times slower: the
// simulation is single threaded, so a few runs are enough for it.
const raced = true
