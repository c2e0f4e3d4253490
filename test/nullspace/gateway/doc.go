// Command gateway is nullspace's edge: WebSockets for players, an API behind a
// bearer token, metrics behind the same token. It reads:
//
//	METRICS_AUTH_TOKEN           required: the token that /api/ and /metrics ask for
//	METRICS_AUTH_TOKEN_PREVIOUS  a second token that is still good, while the first one is being rolled out
//	GATEWAY_LISTEN               where it listens; else :PORT, else :8080
//	GATEWAY_CONFIG               a JSON file, read at start and on SIGHUP (see Settings); none by default
//	GATEWAY_NODES                comma-separated addresses of nodes, asked in turn for /api/world
//	GATEWAY_GRACE                how long a stop may take; 20s; with 0, SIGTERM kills at once
//	GATEWAY_STARTUP_DELAY        waits so long before it listens; 0
//	GATEWAY_ANSWER_DELAY         waits so long before it answers /, /config and /api/; 0
//	GATEWAY_WS_PING              how often a WebSocket is pinged; 30s
//	NULLSPACE_INSTANCE           the name it answers with; the host's name by default
//
// On SIGTERM it accepts no further connection, fails /healthz, closes every
// WebSocket with 1001 (going away) and finishes the requests in flight.
package main
