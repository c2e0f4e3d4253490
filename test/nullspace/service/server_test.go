package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Client.Transport = &http.Transport{DisableKeepAlives: true}
	goleak.VerifyTestMain(m)
}

// start serves on a free loopback port and returns its address and a function
// that stops it and returns what Serve returned.
func start(t *testing.T, server *Server) (addr string, stop func() error) {
	t.Helper()
	server.Log = slog.New(slog.DiscardHandler)
	if server.Health == nil {
		server.Health = &Health{Instance: "web-1"}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	stop = func() error {
		cancel()
		select {
		case err := <-done:
			done <- err
			return err
		case <-time.After(20 * time.Second):
			t.Fatal("the server did not stop")
			return nil
		}
	}
	t.Cleanup(func() { _ = stop() })
	return listener.Addr().String(), stop
}

// ask sends one request on a connection of its own.
func ask(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + addr + path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestHealthFollowsThePhase(t *testing.T) {
	var unwell error
	health := &Health{Instance: "web-1", Check: func() error { return unwell }}
	addr, _ := start(t, &Server{Health: health, Grace: time.Second})
	expect := func(code int, status string) {
		t.Helper()
		got, body := ask(t, addr, "/healthz")
		if got != code || !strings.Contains(body, `"status":"`+status+`"`) || !strings.Contains(body, `"instance":"web-1"`) {
			t.Errorf("healthz is %d %s, want %d %s", got, body, code, status)
		}
	}
	eventually(t, func() bool { return health.Phase() == Ready })
	expect(200, "ok")
	unwell = errors.New("no world yet")
	expect(503, "unwell")
	health.Set(Draining)
	expect(503, "draining")
	health.Set(Starting)
	expect(503, "starting")
}

func TestStopFinishesRequestsInFlightAndRefusesNewOnes(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	server := &Server{Grace: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "finished")
	})}
	addr, stop := start(t, server)
	// A probe that connected before the stop and asks after it sees 503.
	probe, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	answers := make(chan string, 1)
	go func() {
		body, err := Get(context.Background(), "http://"+addr+"/slow", Secret{})
		answers <- fmt.Sprint(string(body), err)
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, func() bool { return server.Health.Phase() == Draining })
	eventually(t, func() bool {
		connection, err := net.Dial("tcp", addr)
		if err == nil {
			connection.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(probe, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(probe), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("healthz while stopping is %d", answer.StatusCode)
	}
	close(release)
	if body := <-answers; body != "finished<nil>" {
		t.Errorf("the request in flight got %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestGraceIsBounded(t *testing.T) {
	arrived := make(chan struct{})
	server := &Server{Grace: 100 * time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})}
	addr, stop := start(t, server)
	cut := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get("http://" + addr + "/")
		if err == nil {
			answer.Body.Close()
		}
		cut <- err
	}()
	<-arrived
	begun := time.Now()
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(begun); took < 100*time.Millisecond || took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if err := <-cut; err == nil {
		t.Error("the endless request was answered")
	}
}

func TestStopWhileStartingNeverListens(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := &Server{Listen: "127.0.0.1:0", StartupDelay: time.Hour, Health: &Health{}, Log: slog.New(slog.DiscardHandler)}
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	cancel()
	if err := <-done; err != nil || server.Health.Phase() != Starting {
		t.Errorf("stopped with %v in phase %d", err, server.Health.Phase())
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	server := &Server{Listen: taken.Addr().String(), Health: &Health{}, Log: slog.New(slog.DiscardHandler)}
	err = server.Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "cannot listen on "+server.Listen) {
		t.Errorf("error is %v", err)
	}
}

func TestTasksEndWithTheServer(t *testing.T) {
	ran, ended := make(chan struct{}, 100), make(chan struct{})
	_, stop := start(t, &Server{Grace: time.Second, Tasks: []func(context.Context){func(ctx context.Context) {
		Every(ctx, time.Millisecond, func(context.Context) { ran <- struct{}{} })
		close(ended)
	}}})
	<-ran
	<-ran
	if err := stop(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Serve returned before its task ended")
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatal("did not come to hold within 5s")
}
