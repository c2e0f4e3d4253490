// Command node follows a simulator and answers for it, so that gateways never
// ask the simulator itself. It is well once it knows the world, and as long as
// what it knows is not too old. It reads:
//
//	NODE_SIMULATOR_URL  required: the simulator's address, such as http://127.0.0.1:7101
//	NODE_LISTEN         where it listens; else :PORT, else :7102
//	NODE_POLL           how often it asks; 1s
//	NODE_MAX_AGE        how old its knowledge may be before /healthz fails; 30s
//	NODE_GRACE          how long a stop may take; 10s; with 0, SIGTERM kills at once
//	NULLSPACE_INSTANCE  the name it answers with; the host's name by default
package main
