package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
)

// openSockets opens them all, a few at once.
func (g *Generator) openSockets(ctx context.Context) ([]*websocket.Conn, error) {
	sockets := make([]*websocket.Conn, g.config.Sockets)
	var group errgroup.Group
	group.SetLimit(32)
	for i := range sockets {
		group.Go(func() (err error) {
			sockets[i], err = g.dial(ctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		for _, s := range sockets {
			if s != nil {
				_ = s.CloseNow()
			}
		}
		return nil, fmt.Errorf("cannot open %d websockets on %s: %w", g.config.Sockets, g.config.SocketURL, err)
	}
	return sockets, nil
}

func (g *Generator) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, g.config.Timeout)
	defer cancel()
	options := &websocket.DialOptions{HTTPHeader: g.config.Header, Host: g.config.Header.Get("Host")}
	conn, _, err := websocket.Dial(ctx, g.config.SocketURL, options)
	if err == nil {
		g.ledger.count(func(s *Stats) { s.Sockets++ })
	}
	return conn, err
}

// keepSocket keeps one WebSocket open and talking until ctx ends: one that ends is opened anew, at once the first time.
func (g *Generator) keepSocket(ctx context.Context, id int, conn *websocket.Conn) {
	said := 0
	for ctx.Err() == nil {
		if conn != nil {
			g.talk(ctx, id, &said, conn)
			conn = nil
			continue
		}
		var err error
		if conn, err = g.dial(ctx); err != nil && ctx.Err() == nil {
			g.ledger.fail(Dial, err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	if conn != nil { // opened as the load ended
		g.part(conn)
	}
}

// part closes a WebSocket in order, as the load's own doing.
func (g *Generator) part(conn *websocket.Conn) {
	g.ledger.count(func(s *Stats) { s.Sockets-- })
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

// talk says something every now and then and waits for its echo, until the WebSocket or the load ends; the last echo is
// still waited for. It reads all the time, so that an end is noticed when it comes and not when there is next something to say.
func (g *Generator) talk(ctx context.Context, id int, said *int, conn *websocket.Conn) {
	heard, ended, stop := listen(conn)
	defer stop()
	ticker := time.NewTicker(g.config.Say)
	defer ticker.Stop()
	var awaited []byte
	var overdue <-chan time.Time
	over, tick := ctx.Done(), ticker.C
	for {
		if over == nil && awaited == nil {
			g.part(conn)
			stop()
			<-ended
			return
		}
		select {
		case <-over:
			over, tick = nil, nil
		case err := <-ended:
			_ = conn.CloseNow()
			g.lost(err, awaited != nil)
			return
		case message := <-heard:
			if awaited != nil && bytes.Contains(message, awaited) {
				awaited, overdue = nil, nil
				g.ledger.count(func(s *Stats) { s.Echoes++ })
			}
		case <-overdue:
			g.ledger.fail(Silent, fmt.Errorf("no echo in %s", g.config.Timeout))
			awaited, overdue = nil, nil
		case <-tick:
			if awaited == nil { // one at a time
				*said++
				awaited, overdue = fmt.Appendf(nil, "socket %d says %d.", id, *said), time.After(g.config.Timeout)
				g.say(conn, awaited)
			}
		}
	}
}

// say sends a message. A failed write needs no word here: the reader learns of it too, and knows why, for a close frame may
// have come first.
func (g *Generator) say(conn *websocket.Conn, message []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Timeout)
	defer cancel()
	g.ledger.count(func(s *Stats) { s.Said++ })
	_ = conn.Write(ctx, websocket.MessageText, message)
}

// listen reads until the connection ends, or until stop, which is only for after it was closed: to stop in mid-read tears it.
func listen(conn *websocket.Conn) (heard chan []byte, ended chan error, stop context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	heard, ended = make(chan []byte), make(chan error, 1)
	go func() {
		for {
			_, message, err := conn.Read(ctx)
			if err != nil {
				ended <- err
				return
			}
			select {
			case heard <- message:
			case <-ctx.Done():
				ended <- ctx.Err()
				return
			}
		}
	}()
	return heard, ended, stop
}

// lost counts a WebSocket that the other side ended.
func (g *Generator) lost(err error, unheard bool) {
	g.ledger.count(func(s *Stats) { s.Sockets-- })
	switch websocket.CloseStatus(err) {
	case websocket.StatusGoingAway, websocket.StatusServiceRestart:
		g.ledger.count(func(s *Stats) {
			s.GoneAway++
			if unheard {
				s.Unheard++
			}
		})
	default:
		g.ledger.fail(Broken, errors.Join(err, echoLost(unheard)))
	}
}

func echoLost(unheard bool) error {
	if unheard {
		return errors.New("with a message unanswered")
	}
	return nil
}
