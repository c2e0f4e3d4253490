package lab

import "os"

// TB is what Require needs of a testing.TB, so that programs which use labs outside tests carry no test package.
type TB interface {
	Helper()
	Skip(args ...any)
	Fatalf(format string, args ...any)
}

// Require is the first line of a test on real hosts. Such a test is skipped only where EVENKEEL_LAB=off says so; on a machine
// that can't hold a lab it fails and says what is missing, for a test that quietly didn't run proves nothing.
func Require(t TB) {
	t.Helper()
	if os.Getenv("EVENKEEL_LAB") == "off" {
		t.Skip("EVENKEEL_LAB=off: no real hosts")
		return
	}
	if err := Needs(); err != nil {
		t.Fatalf("%v, or set EVENKEEL_LAB=off to skip the tests on real hosts", err)
	}
}
