// Command ops shows on one page how the rest of nullspace does: it asks each
// target's /healthz, and the gateways' metrics. It reads:
//
//	METRICS_AUTH_TOKEN  required: what it shows to the gateways
//	OPS_TARGETS         comma-separated NAME=URL of the programs to ask for /healthz
//	OPS_METRICS         comma-separated NAME=URL of the gateways to ask for /metrics
//	OPS_LISTEN          where it listens; else :PORT, else :8090
//	OPS_POLL            how often it asks; 5s
//	OPS_GRACE           how long a stop may take; 10s; with 0, SIGTERM kills at once
//	NULLSPACE_INSTANCE  the name it answers with; the host's name by default
package main
