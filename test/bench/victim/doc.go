// Command victim is the service that the benchmarks deploy and restart: it listens at
// once, answers /healthz, and shows at / the GREETING that its process has. It dies at
// once on SIGTERM. The bench pads its binary to 8 MiB.
package main
