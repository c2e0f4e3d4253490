package fault

// Problem is a Fault found in a decoded value, before it is known where in which
// file the value was written: Path names it ("rollout.batches[1]").
type Problem struct {
	Path     string
	Severity Severity
	Rule     string
	Message  string
	Mend     string
}

// At makes the problem a Fault of a place.
func (p Problem) At(pos Position, service string) Fault {
	return Fault{Pos: pos, Severity: p.Severity, Rule: p.Rule, Service: service, Message: p.Message, Mend: p.Mend}
}
