package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// dial opens a WebSocket to the gateway.
func (r *running) dial() *websocket.Conn {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	connection, _, err := websocket.Dial(ctx, "ws://"+r.addr+"/ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = connection.CloseNow() })
	return connection
}

func say(t *testing.T, connection *websocket.Conn, message string) Echo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := connection.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
	var echo Echo
	if err := wsjson.Read(ctx, connection, &echo); err != nil {
		t.Fatal(err)
	}
	return echo
}

func TestEchoCarriesNumberAndInstance(t *testing.T) {
	r := run(t, nil)
	connection := r.dial()
	for message, want := range map[string]int64{`{"n":41}`: 41, `{"n":-3,"x":1}`: -3} {
		if echo := say(t, connection, message); echo.N != want || echo.Instance != "web-1" || echo.Echo != message {
			t.Errorf("%s is echoed as %+v", message, echo)
		}
	}
	if echo := say(t, connection, "hello"); echo.N != 3 || echo.Echo != "hello" {
		t.Errorf("the third message is echoed as %+v", echo)
	}
	_, text := r.get("/metrics", token)
	for _, want := range []string{"gateway_open_websockets 1\n", "gateway_websockets_total 1\n", "gateway_websocket_messages_total 3\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q:\n%s", want, text)
		}
	}
	if err := connection.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, text := r.get("/metrics", token)
		if strings.Contains(text, "gateway_open_websockets 0\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the closed websocket still counts:\n%s", text)
		}
	}
}

// A stop must end every WebSocket with a close frame, at once, and a client
// that is silent must not hold it up to the end of the grace.
func TestStopClosesEveryWebSocketWithGoingAway(t *testing.T) {
	r := run(t, nil)
	const many = 50
	codes := make(chan websocket.StatusCode, many)
	var reading sync.WaitGroup
	for range many {
		connection := r.dial()
		say(t, connection, `{"n":1}`)
		reading.Go(func() {
			_, _, err := connection.Read(t.Context())
			codes <- websocket.CloseStatus(err)
		})
	}
	begun := time.Now()
	r.stop()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
	reading.Wait()
	close(codes)
	for code := range codes {
		if code != websocket.StatusGoingAway {
			t.Errorf("a client read close code %d", code)
		}
	}
}

func TestAClientThatNeverReadsIsCutWithinTheGrace(t *testing.T) {
	r := run(t, map[string]string{"GATEWAY_GRACE": "300ms"})
	say(t, r.dial(), `{"n":1}`)
	begun := time.Now()
	r.stop()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

func TestAnOpenWebSocketIsPinged(t *testing.T) {
	r := run(t, map[string]string{"GATEWAY_WS_PING": "20ms"})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	pings := make(chan struct{}, 1000)
	connection, _, err := websocket.Dial(ctx, "ws://"+r.addr+"/ws", &websocket.DialOptions{
		OnPingReceived: func(context.Context, []byte) bool { pings <- struct{}{}; return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.CloseNow()
	ended := make(chan error, 1)
	go func() { _, _, err := connection.Read(ctx); ended <- err }()
	for range 3 {
		select {
		case <-pings:
		case err := <-ended:
			t.Fatalf("the websocket ended: %v", err)
		}
	}
	_ = connection.CloseNow()
	<-ended
}
