package desired

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// maxPattern caps a regular expression, in bytes.
const maxPattern = 1000

func (c *serviceCheck) journal(at string, j JournalHealth) {
	if j.Unit != "" && !isTemplate(j.Unit) {
		message, mend := checkUnitName(bareUnit(j.Unit))
		c.addIf(at+".unit", "bad-unit-name", message, mend)
	}
	if j.Want == "" && j.Refuse == "" {
		c.add(at, "missing-key", "a journal check looks for nothing", "write want: PATTERN, refuse: PATTERN or both")
	}
	for key, pattern := range map[string]string{"want": j.Want, "refuse": j.Refuse} {
		if pattern == "" || isTemplate(pattern) {
			continue
		}
		if _, err := CompilePattern(pattern); err != nil {
			c.add(at+"."+key, "wrong-value", key+" "+fault.Quote(pattern)+": "+err.Error(), "https://pkg.go.dev/regexp/syntax tells what is understood")
		}
	}
}

// CompilePattern reads a pattern that lines of a journal are held against: RE2, at
// most maxPattern bytes. One that matches the empty line matches every line, and so
// is an error.
func CompilePattern(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("it has %d bytes, and %d are possible", len(pattern), maxPattern)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		if e, ok := err.(*syntax.Error); ok {
			return nil, fmt.Errorf("not a regular expression: %s", e.Code)
		}
		return nil, err
	}
	if re.MatchString("") {
		return nil, fmt.Errorf("it matches an empty line")
	}
	return re, nil
}
