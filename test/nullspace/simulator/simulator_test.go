package main

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
	"pgregory.net/rapid"
)

func TestReplicasTellTheSameWorld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		now := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "now"), 0)
		later := now.Add(time.Duration(rapid.Int64Range(0, int64(999*time.Millisecond)).Draw(t, "within the tick")))
		world := worldAt(seed, time.Second, now)
		if again := worldAt(seed, time.Second, later); !reflect.DeepEqual(world, again) {
			t.Fatalf("one tick, two worlds: %+v, %+v", world, again)
		}
		if next := worldAt(seed, time.Second, now.Add(time.Second)); next.Tick != world.Tick+1 {
			t.Fatalf("tick %d is followed by %d", world.Tick, next.Tick)
		}
		if world.At.After(now) || now.Sub(world.At) >= time.Second {
			t.Fatalf("at %v the tick began %v", now, world.At)
		}
		for _, good := range world.Market {
			if good.Price < 1 || good.Supply < 0 {
				t.Fatalf("impossible good %+v", good)
			}
		}
	})
}

func TestStateNamesTheInstance(t *testing.T) {
	env := service.MapEnv(map[string]string{"NULLSPACE_INSTANCE": "core-1", "SIMULATOR_SEED": "7"})
	server, err := build(service.NewProcess("simulator", env, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	server.Handler.ServeHTTP(answer, httptest.NewRequest("GET", "/state", nil))
	var state State
	if err := json.Unmarshal(answer.Body.Bytes(), &state); err != nil {
		t.Fatal(err)
	}
	if state.Instance != "core-1" || state.Seed != 7 || len(state.Market) != len(goods) || time.Since(state.At) > time.Minute {
		t.Errorf("state is %+v", state)
	}
}

func TestATickOfNothingIsRefused(t *testing.T) {
	for _, tick := range []string{"0", "10ns", "-1s", "fast"} {
		env := service.MapEnv(map[string]string{"SIMULATOR_TICK": tick})
		if _, err := build(service.NewProcess("simulator", env, io.Discard)); err == nil {
			t.Errorf("SIMULATOR_TICK=%s is taken", tick)
		}
	}
}
