package desired

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStrategyAsJSON(t *testing.T) {
	s := RolloutSpec{MaxUnavailable: Percent(25), Batches: []IntOrPercent{Count(1), Percent(50)}}.Strategy()
	s.MinHealthyTime = 90 * time.Second
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"maxUnavailable":"25%","batches":[1,"50%"],"minHealthyTime":"1m30s","healthyDeadline":"5m0s","progressDeadline":"10m0s","drainTimeout":"30s",` +
		`"autoRevert":true,"order":"unhealthy-first","onUnreachable":"count","onDrainTimeout":"halt","keepGenerations":5}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	for _, promote := range []Promote{{Set: true}, {Set: true, Auto: true, After: 90 * time.Second}, {Set: true, Auto: true}} {
		s.Canary, s.Promote = Percent(10), promote
		roundTrip(t, s)
	}
	s.Windows = Windows{{Kind: WindowDeny, Schedule: "0 22 * * *", Duration: lasting(time.Hour), TimeZone: "Europe/Berlin", Reason: "x"}}
	roundTrip(t, s)
	for _, o := range []Order{{Word: OrderInventory}, {ByLabel: "rack"}, {LeaderLast: &LeaderLast{Command: "is-leader"}}, {ByLabel: "rack", LeaderLast: &LeaderLast{Command: "x"}}} {
		s.setOrder(o)
		s.Spread = "rack"
		roundTrip(t, s)
	}
}

func roundTrip(t *testing.T, s Strategy) {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Strategy
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Error(diff)
	}
}
