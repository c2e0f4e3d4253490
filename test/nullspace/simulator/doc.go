// Command simulator keeps nullspace's world: a clock of ticks and the prices of
// its economy. The world is a function of the seed and the time alone, so that
// every simulator with one seed tells the same, and a restart loses nothing. It
// reads:
//
//	SIMULATOR_LISTEN    where it listens; else :PORT, else :7101
//	SIMULATOR_SEED      the world's seed, a whole number; 1
//	SIMULATOR_TICK      the length of a tick; 1s
//	SIMULATOR_GRACE     how long a stop may take; 10s; with 0, SIGTERM kills at once
//	NULLSPACE_INSTANCE  the name it answers with; the host's name by default
package main
