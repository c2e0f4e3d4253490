// Command economy-snapshot asks a simulator for the state of the world, writes
// it to a file and ends: a timer runs it. It reads:
//
//	SNAPSHOT_SIMULATOR_URL  required: the simulator's address, such as http://127.0.0.1:7101
//	SNAPSHOT_DIR            where the files go; /var/lib/nullspace/economy
//	SNAPSHOT_KEEP           how many files are kept, the oldest go first; 48
//	SNAPSHOT_TIMEOUT        how long it may take; 30s
//	NULLSPACE_INSTANCE      the name it writes into the file; the host's name by default
//
// It exits 0 once the file is on disk, else 1 with a line on stderr.
package main
