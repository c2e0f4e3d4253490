package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 0, "run this seed alone")
	n := flag.Uint64("seeds", 100, "how many")
	from := flag.Uint64("from", 1, "first")
	trace := flag.Bool("trace", false, "")
	dump := flag.Bool("dump", false, "")
	prof := flag.String("prof", "", "")
	flag.Parse()
	debug.SetGCPercent(400)
	if *prof != "" {
		f, _ := os.Create(*prof)
		_ = pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	if *seed != 0 {
		sc := Generate(*seed)
		if *dump {
			b, _ := json.MarshalIndent(sc, "", " ")
			fmt.Println(string(b))
		}
		var w io.Writer
		if *trace {
			w = os.Stdout
		}
		v, st := Run(sc, w)
		fmt.Println(sc, st)
		if v != nil {
			fmt.Println(v)
			os.Exit(1)
		}
		return
	}
	began := time.Now()
	bad := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := *from
	total := 0
	for range 2 {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= *from+*n {
					return
				}
				sc := Generate(i)
				v, st := Run(sc, nil)
				mu.Lock()
				total += st.Events
				if v != nil {
					bad[v.Code]++
					if bad[v.Code] <= 6 {
						fmt.Println(sc, st.Events, "\n    ", v)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Println(time.Since(began), bad, total)
}
