// Command evenkeel keeps a fleet of plain systemd hosts as its git repository says.
//
// This package is wiring and output only: one file a verb. Settings end in the
// strict struct of settings.go; fleet.go chooses the adapters; packages show and
// progress write what a person reads.
package main
