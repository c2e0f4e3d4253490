package main

import (
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/apitest"
)

func TestUntil(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "90m": now.Add(90 * time.Minute), "3d": now.Add(72 * time.Hour), "2w": now.Add(14 * 24 * time.Hour), "2026-03-02T08:00:00Z": time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC),
		"2026-03-02 08:00": time.Date(2026, 3, 2, 8, 0, 0, 0, time.Local), "2026-03-05": time.Date(2026, 3, 5, 0, 0, 0, 0, time.Local),
	} {
		if got, err := until(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-1h", "0", "0d", "soon", "2020-01-01", "1h tomorrow", "99999999d"} {
		if got, err := until(text, now); err == nil || mendOf(err) == "" {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestObjects(t *testing.T) {
	for text, want := range map[string]api.ActionRequest{
		"web-1": {Host: "web-1"}, "service/gateway": {Service: "gateway"}, "web-1/gateway": {Host: "web-1", Service: "gateway"},
	} {
		if got, err := objectOf([]string{text}); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if got, err := objectOf(nil); err != nil || got != (api.ActionRequest{}) {
		t.Errorf("the fleet: %+v, %v", got, err)
	}
	for _, text := range []string{"", "/", "service/", "/gateway", "a/b/c", "web-1/"} {
		if got, err := objectOf([]string{text}); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestPickPlan(t *testing.T) {
	p := *apitest.New().Snapshot().Plan
	if got := pickPlan(p, nil, nil); len(got.Hosts) != 3 || !got.Changed() {
		t.Errorf("all: %+v", got)
	}
	if got := pickPlan(p, []string{"web-*"}, nil); len(got.Hosts) != 2 || !got.Changed() || len(got.Unreachable()) != 0 {
		t.Errorf("web-*: %+v", got)
	}
	if got := pickPlan(p, nil, []string{"db"}); got.Changed() {
		t.Errorf("db: %+v", got)
	}
	if !p.Changed() {
		t.Error("the plan itself was changed")
	}
}
