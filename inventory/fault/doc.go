// Package fault holds what is wrong in a fleet repo, as values: where, what, and
// how to mend it.
//
// Decoders collect every Fault they find instead of stopping at the first; Faults
// is the error they return. The package decides nothing about severity beyond
// carrying it. Start reading at fault.go.
package fault
