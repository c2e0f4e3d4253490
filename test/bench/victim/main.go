// Command victim is the service that the benchmarks deploy and restart: it listens at
// once, answers /healthz, and shows at / the GREETING that its process has. It dies at
// once on SIGTERM. The bench pads its binary to 8 MiB.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	greeting := os.Getenv("GREETING")
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, greeting) })
	server := &http.Server{Addr: ":" + os.Getenv("PORT"), ReadHeaderTimeout: 5 * time.Second}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
}
