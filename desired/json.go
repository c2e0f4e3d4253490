package desired

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MarshalText writes a duration as Go does: 1m30s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// MarshalJSON writes a count as a number and a share as a text such as "25%".
func (p IntOrPercent) MarshalJSON() ([]byte, error) {
	switch {
	case !p.Set:
		return []byte("null"), nil
	case p.Percent:
		return json.Marshal(strconv.Itoa(p.Value) + "%")
	}
	return json.Marshal(p.Value)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *IntOrPercent) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" {
		*p = IntOrPercent{}
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil {
		return fmt.Errorf("%s is neither a number nor a percentage", b)
	}
	*p = IntOrPercent{Value: n, Percent: strings.HasSuffix(text, "%"), Set: true}
	return nil
}

// MarshalText writes manual, or a duration as Go does.
func (p Promote) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Promote) UnmarshalText(b []byte) error {
	*p = Promote{Set: true}
	if string(b) == "manual" {
		return nil
	}
	p.Auto = true
	return (*Duration)(&p.After).UnmarshalText(b)
}

// strategyJSON is a Strategy with its durations as in the fleet repo.
type strategyJSON struct {
	MaxUnavailable   IntOrPercent   `json:"maxUnavailable"`
	MinHealthy       IntOrPercent   `json:"minHealthy,omitzero"`
	Batches          []IntOrPercent `json:"batches,omitempty"`
	Canary           IntOrPercent   `json:"canary,omitzero"`
	Promote          Promote        `json:"promote,omitzero"`
	MinHealthyTime   Duration       `json:"minHealthyTime"`
	HealthyDeadline  Duration       `json:"healthyDeadline"`
	ProgressDeadline Duration       `json:"progressDeadline"`
	DrainTimeout     Duration       `json:"drainTimeout"`
	AutoRevert       bool           `json:"autoRevert"`
	Order            Order          `json:"order"`
	Spread           string         `json:"spread,omitempty"`
	OnUnreachable    string         `json:"onUnreachable"`
	OnDrainTimeout   string         `json:"onDrainTimeout"`
	KeepGenerations  int            `json:"keepGenerations,omitempty"`
	Gates            []GateSpec     `json:"gates,omitempty"`
	Windows          Windows        `json:"windows,omitempty"`
}

// MarshalJSON writes the strategy in the words of the fleet repo.
func (s Strategy) MarshalJSON() ([]byte, error) {
	return json.Marshal(strategyJSON{
		MaxUnavailable: s.MaxUnavailable, MinHealthy: s.MinHealthy, Batches: s.Batches,
		Canary: s.Canary, Promote: s.Promote,
		MinHealthyTime: Duration(s.MinHealthyTime), HealthyDeadline: Duration(s.HealthyDeadline),
		ProgressDeadline: Duration(s.ProgressDeadline), DrainTimeout: Duration(s.DrainTimeout),
		AutoRevert: s.AutoRevert, Order: s.order(), Spread: s.Spread, KeepGenerations: s.KeepGenerations,
		OnUnreachable: s.OnUnreachable, OnDrainTimeout: s.OnDrainTimeout,
		Gates: s.Gates, Windows: s.Windows,
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Strategy) UnmarshalJSON(b []byte) error {
	var j strategyJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Strategy{
		MaxUnavailable: j.MaxUnavailable, MinHealthy: j.MinHealthy, Batches: j.Batches,
		Canary: j.Canary, Promote: j.Promote,
		MinHealthyTime: j.MinHealthyTime.D(), HealthyDeadline: j.HealthyDeadline.D(),
		ProgressDeadline: j.ProgressDeadline.D(), DrainTimeout: j.DrainTimeout.D(),
		AutoRevert: j.AutoRevert, Spread: j.Spread, KeepGenerations: j.KeepGenerations,
		OnUnreachable: j.OnUnreachable, OnDrainTimeout: j.OnDrainTimeout,
		Gates: j.Gates, Windows: j.Windows,
	}
	if j.Order != (Order{}) {
		s.setOrder(j.Order)
	}
	return nil
}
