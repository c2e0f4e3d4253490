package inventory

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// Suspend tells that a host or service is to be left as it is, and why. It is written
// as true, false or the reason.
type Suspend struct {
	On     bool
	Reason string
}

// Why is the reason in words, "" where nothing is suspended.
func (s Suspend) Why() string {
	switch {
	case !s.On:
		return ""
	case s.Reason == "":
		return "suspended"
	}
	return "suspended: " + s.Reason
}

// UnmarshalYAML reads true, false or a reason.
func (s *Suspend) UnmarshalYAML(n *yaml.Node) error {
	const mend = `write true, or why it is suspended: "its disk is being replaced"`
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" && n.ShortTag() != "!!str" {
		return &strictyaml.Invalid{Message: "must be true, false or a reason", Mend: mend}
	}
	if n.ShortTag() == "!!str" && strings.TrimSpace(n.Value) == "" {
		return &strictyaml.Invalid{Message: "is no reason", Mend: mend}
	}
	*s = suspendOf(n.Value)
	return nil
}

// suspendOf reads it from a text, as Ansible's vars have it.
func suspendOf(text string) Suspend {
	switch text = strings.TrimSpace(text); strings.ToLower(text) {
	case "", "false", "no":
		return Suspend{}
	case "true", "yes":
		return Suspend{On: true}
	}
	return Suspend{On: true, Reason: text}
}
