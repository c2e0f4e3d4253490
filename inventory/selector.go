package inventory

// Selector is Kubernetes' label selector: all parts must hold. An empty one
// matches nothing here, so that a forgotten selector never means every host.
type Selector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`
	MatchExpressions []Requirement     `yaml:"matchExpressions"`
}

// Requirement is one expression over one label.
type Requirement struct {
	Key      string   `yaml:"key"`
	Operator string   `yaml:"operator"` // In, NotIn, Exists, DoesNotExist
	Values   []string `yaml:"values"`
}
