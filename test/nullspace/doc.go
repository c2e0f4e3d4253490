// Package nullspace is documentation: its folders are the programs of the
// example fleet in examples/nullspace, small services of the kind that evenkeel
// keeps. They know nothing of evenkeel. Its tests check that example: that the
// fleet repo holds together, and that the programs run with the settings it
// renders.
//
//	simulator         the world: ticks and prices, a function of seed and time
//	node              follows a simulator and answers for it
//	auth              signs and verifies short-lived tokens
//	gateway           the edge: WebSockets, an API and metrics behind a token
//	website           static pages
//	ops               one page that tells how the others do
//	economy-snapshot  a oneshot for a timer: the world into a file
//	service           what they share; start reading there
//
// Each long-running program answers /healthz with 200 when it is ready and
// with 503 while it is not or is stopping, finishes the requests in flight when
// SIGTERM comes, names every wrong setting at once and exits 1, and writes its
// log to stderr. Each is set up by environment variables alone:
//
//	every program     NULLSPACE_INSTANCE, PORT
//	simulator         SIMULATOR_LISTEN, SIMULATOR_SEED, SIMULATOR_TICK, SIMULATOR_GRACE
//	node              NODE_SIMULATOR_URL (required), NODE_LISTEN, NODE_POLL, NODE_MAX_AGE, NODE_GRACE
//	auth              AUTH_SIGNING_KEY (required), AUTH_SIGNING_KEY_PREVIOUS, AUTH_LISTEN, AUTH_TOKEN_TTL,
//	                  AUTH_GRACE
//	gateway           METRICS_AUTH_TOKEN (required), METRICS_AUTH_TOKEN_PREVIOUS, GATEWAY_LISTEN,
//	                  GATEWAY_CONFIG, GATEWAY_NODES, GATEWAY_GRACE, GATEWAY_STARTUP_DELAY,
//	                  GATEWAY_ANSWER_DELAY, GATEWAY_WS_PING
//	website           WEBSITE_ROOT (required), WEBSITE_LISTEN, WEBSITE_GRACE
//	ops               METRICS_AUTH_TOKEN (required), OPS_TARGETS, OPS_METRICS, OPS_LISTEN, OPS_POLL, OPS_GRACE
//	economy-snapshot  SNAPSHOT_SIMULATOR_URL (required), SNAPSHOT_DIR, SNAPSHOT_KEEP, SNAPSHOT_TIMEOUT
//
// The comment on top of each program's main.go says what its variables mean.
package nullspace
