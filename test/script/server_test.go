package script

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/apitest"
	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/boltstore"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// serve serves the API of a fake controller at $SOCK (unix) and $URL (loopback, needs a
// token of tokens.yaml) until the script's end.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: serve")
	}
	f := apitest.New()
	kept, err := boltstore.Open(ts.MkAbs("evenkeel.db"))
	ts.Check(err)
	_, err = store.RaiseEpoch(context.Background(), kept, 6)
	ts.Check(err)
	f.Keeps(kept)
	a, err := api.New(api.Options{Controller: f, Log: zerolog.Nop(), Listen: "127.0.0.1:0", Socket: ts.MkAbs("evenkeel.sock"), Tokens: ts.MkAbs("tokens.yaml")})
	ts.Check(err)
	l, err := a.Listen()
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Serve(ctx)
	}()
	ts.Defer(func() {
		cancel()
		<-ended
		ts.Check(kept.Close())
	})
	ts.Setenv("SOCK", "unix://"+ts.MkAbs("evenkeel.sock"))
	ts.Setenv("URL", "http://"+l.Addrs()[0].String())
	serving.Store(ts.MkAbs("."), f)
}

// serving are the fakes (*apitest.Fake) by the folder of the script that serves them.
var serving sync.Map

// fleet makes something happen to the fake's fleet:
//
//	fleet asked | answered | refuses COMMIT WHY… | begin ID | step HOST PHASE | end RESULT | event REASON MESSAGE… | log HOST SECOND MESSAGE… | followed | pause
//
// followed waits until somebody follows the events, pause for a little while.
func fleet(ts *testscript.TestScript, neg bool, args []string) {
	served, ok := serving.Load(ts.MkAbs("."))
	if neg || !ok || len(args) == 0 {
		ts.Fatalf("usage: serve, then fleet begin|step|end|event|followed …")
	}
	f := served.(*apitest.Fake)
	switch args[0] {
	case "asked", "answered":
		f.Change(func(s *controller.Snapshot) { s.Asked = args[0] == "asked" })
	case "refuses": // a commit; the empty one ends it
		f.Change(func(s *controller.Snapshot) {
			s.Source.Tip, s.Source.Refused, s.Source.Error, s.Source.Mend = args[1], args[1], strings.Join(args[2:], " "), "commit the mend"
			if args[1] == "" {
				s.Source.Tip, s.Source.Mend = s.Source.Revision, ""
			}
		})
	case "begin":
		f.Begin(args[1])
	case "step":
		f.Step(args[1], rollout.Phase(args[2]))
	case "end":
		f.End(controller.Result(args[1]))
	case "event":
		f.Happened(controller.Event{Reason: args[1], Type: controller.Warning, Host: "web-2", Message: strings.Join(args[2:], " ")})
	case "log":
		second, err := strconv.Atoi(args[2])
		ts.Check(err)
		f.Logged(controller.LogEntry{Host: args[1], JournalEntry: hostdriver.JournalEntry{At: time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC), Unit: "gateway.service", Identifier: "gateway",
			PID: 7, Priority: 4, Message: strings.Join(args[3:], " "), Cursor: "c" + args[2]}})
	case "followed":
		for deadline := time.Now().Add(10 * time.Second); f.Followers() == 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				ts.Fatalf("nobody follows")
			}
		}
	case "pause":
		time.Sleep(700 * time.Millisecond)
	default:
		ts.Fatalf("fleet %s?", args[0])
	}
}
