package show

// paint is an SGR parameter list: one of the 16 colours that every theme has, so
// that text is legible on light and dark grounds alike.
type paint string

const (
	bold    paint = "1"
	faint   paint = "2"
	red     paint = "31"
	green   paint = "32"
	yellow  paint = "33"
	magenta paint = "35"
	cyan    paint = "36"
)

// of paints s, which must hold no styling of its own.
func (p paint) of(s string) string {
	if s == "" || p == "" {
		return s
	}
	return "\x1b[" + string(p) + "m" + s + "\x1b[0m"
}

// Marks that stand before a line.
const (
	markGood = "✔"
	markBad  = "✘"
	markWarn = "!"
)

// Red, Green, Yellow, Cyan, Bold and Faint paint clean text.
func Red(s string) string    { return red.of(s) }
func Green(s string) string  { return green.of(s) }
func Yellow(s string) string { return yellow.of(s) }
func Cyan(s string) string   { return cyan.of(s) }
func Bold(s string) string   { return bold.of(s) }
func Faint(s string) string  { return faint.of(s) }
