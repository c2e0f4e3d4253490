package drain

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// nginxMark is the comment behind a server that evenkeel has marked as down. Without
// it, "down" is somebody else's and stays.
const nginxMark = "# drained by evenkeel"

// nginxServer is one server directive of an upstream, and where in the file it stands.
type nginxServer struct {
	upstream string // "" in a file of bare servers that an upstream includes
	address  string
	down     bool
	ours     bool // the mark stands behind it
	alone    bool // nothing but a comment follows on its line

	words int    // where its last word ends
	end   int    // behind its semicolon
	downs []span // each with the white space before it
	mark  span   // with the white space before it
}

// span is a part of a file, in bytes.
type span struct{ from, to int }

// parseNginx finds the servers of upstreams in a file of nginx's: in upstream blocks,
// wherever they are, and outside of all blocks. It reads words as nginx does
// (ngx_conf_read_token); blocks of another language (Lua) may make it fail, but not
// find what is not there.
func parseNginx(text []byte) ([]nginxServer, error) {
	type block struct {
		isUpstream bool
		name       string
	}
	var (
		s       = nginxScanner{text: text}
		blocks  []block
		words   []nginxWord
		servers []nginxServer
	)
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		s.at = len("\ufeff")
	}
	for {
		kind, err := s.next()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", s.line(), err)
		}
		switch kind {
		case nginxIsWord:
			words = append(words, s.word)
			continue
		case ';':
			if len(words) == 0 {
				return nil, fmt.Errorf("line %d: unexpected %q", s.line(), kind)
			}
			in := block{isUpstream: len(blocks) == 0}
			if len(blocks) > 0 {
				in = blocks[len(blocks)-1]
			}
			if in.isUpstream && len(words) > 1 && words[0].text == "server" {
				servers = append(servers, serverOf(text, in.name, words[1:], s.at))
			}
		case '{':
			if len(words) == 0 {
				return nil, fmt.Errorf("line %d: unexpected %q", s.line(), kind)
			}
			b := block{isUpstream: len(words) == 2 && words[0].text == "upstream"}
			if b.isUpstream {
				b.name = words[1].text
			}
			blocks = append(blocks, b)
		case '}':
			if len(words) > 0 || len(blocks) == 0 {
				return nil, fmt.Errorf("line %d: unexpected %q", s.line(), kind)
			}
			blocks = blocks[:len(blocks)-1]
		default: // the end
			if len(words) > 0 || len(blocks) > 0 {
				return nil, fmt.Errorf("it ends in the middle of a directive or block")
			}
			return servers, nil
		}
		words = words[:0]
	}
}

// serverOf makes a server of what follows the word; end is behind its semicolon.
func serverOf(text []byte, upstream string, words []nginxWord, end int) nginxServer {
	s := nginxServer{upstream: upstream, address: words[0].text, words: words[len(words)-1].to, end: end}
	for i, w := range words[1:] {
		if w.text == "down" {
			s.down = true
			s.downs = append(s.downs, span{words[i].to, w.to}) // words[i] is the one before w
		}
	}
	line, _, _ := bytes.Cut(text[end:], []byte("\n"))
	rest := bytes.TrimLeft(line, " \t\r")
	s.alone = len(rest) == 0 || rest[0] == '#'
	if after, ok := bytes.CutPrefix(rest, []byte(nginxMark)); ok && (len(after) == 0 || bytes.IndexByte([]byte(" \t\r#"), after[0]) >= 0) {
		s.ours = true
		s.mark = span{end, end + len(line) - len(after)}
	}
	return s
}

// drained is the file with the server marked: every other byte is as it was.
func (s nginxServer) drained(text []byte) []byte {
	out := bytes.Clone(text)
	if !s.ours {
		out = slices.Insert(out, s.end, []byte(" "+nginxMark)...)
	}
	if !s.down {
		out = slices.Insert(out, s.words, []byte(" down")...)
	}
	return out
}

// undrained is the file without the mark, and what drained made is as it was before.
func (s nginxServer) undrained(text []byte) []byte {
	out := bytes.Clone(text)
	if !s.ours {
		return out
	}
	out = slices.Delete(out, s.mark.from, s.mark.to)
	for _, d := range slices.Backward(s.downs) {
		out = slices.Delete(out, d.from, d.to)
	}
	return out
}

// findNginx is the one server meant; upstream may be "".
func findNginx(servers []nginxServer, upstream, address string) (nginxServer, error) {
	var found, others []nginxServer
	for _, s := range servers {
		switch {
		case upstream != "" && s.upstream != upstream:
		case s.address == address:
			found = append(found, s)
		default:
			others = append(others, s)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 && found[0].upstream == found[len(found)-1].upstream:
		return nginxServer{}, mend("leave one of them", "it has the server %s %d times", peer.Line(address), len(found))
	case len(found) > 1:
		var names []string
		for _, s := range found {
			names = append(names, s.upstream)
		}
		return nginxServer{}, mend("name the drain's `upstream`; each needs a drain of its own",
			"it has the server %s in several upstreams: %s", peer.Line(address), peer.Line(strings.Join(names, ", ")))
	case upstream != "" && len(others) == 0:
		return nginxServer{}, mend("compare the drain's `file` and `upstream` with what nginx reads", "it has no upstream %s with a server in it", peer.Line(upstream))
	}
	what := "it has no server " + peer.Line(address)
	if upstream != "" {
		what += " in upstream " + peer.Line(upstream)
	}
	if len(others) == 0 {
		return nginxServer{}, mend("compare the drain's `file` with what nginx reads", "%s, nor any other", what)
	}
	var names []string
	for _, s := range others {
		names = append(names, s.address)
	}
	return nginxServer{}, mend("write the drain's `server` as the file has it", "%s; there are: %s", what, peer.Line(strings.Join(names, ", ")))
}
