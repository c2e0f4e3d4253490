package main

import (
	"hash/fnv"
	"math"
	"time"
)

// World is the state of the world in one tick.
type World struct {
	Seed   uint64    `json:"seed"`
	Tick   int64     `json:"tick"` // ticks since the Unix epoch
	At     time.Time `json:"at"`   // when the tick began, UTC
	Market []Good    `json:"market"`
}

// Good is what one good costs and how much of it there is.
type Good struct {
	Name   string `json:"name"`
	Price  int64  `json:"price"`  // in credits, at least 1
	Supply int64  `json:"supply"` // in units, at least 0
}

var goods = []struct {
	name   string
	price  float64 // about which it swings
	supply float64
	period float64 // of the swing, in ticks
}{
	{"ore", 40, 9000, 600},
	{"fuel", 120, 4000, 240},
	{"food", 25, 12000, 900},
	{"void-glass", 900, 150, 3600},
}

// worldAt is pure: the same arguments give the same world anywhere.
func worldAt(seed uint64, tick time.Duration, now time.Time) World {
	number := now.UnixNano() / int64(tick)
	world := World{Seed: seed, Tick: number, At: time.Unix(0, number*int64(tick)).UTC()}
	for _, good := range goods {
		swing := math.Sin(2*math.Pi*float64(number)/good.period + phase(seed, good.name))
		world.Market = append(world.Market, Good{
			Name:   good.name,
			Price:  max(1, int64(math.Round(good.price*(1+0.3*swing)))),
			Supply: max(0, int64(math.Round(good.supply*(1-0.5*swing)))),
		})
	}
	return world
}

// phase gives each good of each seed its own place in the swing, in radians.
func phase(seed uint64, name string) float64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name))
	return float64((hash.Sum64()^seed*0x9e3779b97f4a7c15)%3600) / 3600 * 2 * math.Pi
}
