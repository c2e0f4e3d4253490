//go:build !linux

package main

// quietInput does nothing here: what is typed shows beside the table.
func quietInput() func() { return func() {} }
