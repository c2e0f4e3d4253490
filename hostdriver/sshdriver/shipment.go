package sshdriver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/time/rate"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// offers are what a host has told before it told what it lacks.
type offers struct {
	tools string
	of    map[string]offer // by the key of the release that is lacking
}

// offer is what a host has of a release already.
type offer struct {
	base  string // the key of a release there that it may be like, or ""
	index []byte
	part  string // the id of a pack of which it has the beginning, or ""
	has   int64  // bytes of it
}

// parseOffers reads the records "tools", "base" and "part" of a reply that has not ended.
func parseOffers(soFar []byte, nonce string) (offers, error) {
	o := offers{of: map[string]offer{}}
	for _, piece := range bytes.Split(soFar, []byte("\n"+nonce+" "))[1:] {
		head, body, _ := bytes.Cut(piece, []byte("\n"))
		words := strings.Fields(string(head))
		switch {
		case len(words) == 2 && words[0] == "tools":
			o.tools = words[1]
		case len(words) == 3 && words[0] == "base":
			if len(body) > maxIndex {
				return o, fmt.Errorf("its index of a release has %d bytes", len(body))
			}
			was := o.of[words[1]]
			was.base, was.index = words[2], body
			o.of[words[1]] = was
		case len(words) == 4 && words[0] == "part":
			n, err := strconv.ParseInt(words[3], 10, 64)
			if err != nil || n < 0 {
				return o, fmt.Errorf("a part of %q bytes", words[3])
			}
			was := o.of[words[1]]
			was.part, was.has = words[2], n
			o.of[words[1]] = was
		}
	}
	return o, nil
}

// saysRetry: the host has thrown away what it had of a release.
func saysRetry(records []record) bool {
	for _, r := range records {
		if r.kind == "retry" {
			return true
		}
	}
	return false
}

// shipment is what is sent for one release: a line
// "ID ENCODING BASE SIZE FROM RECIPESIZE KEY", the recipe, the pack's bytes from FROM on, a
// line with the size of the index for the next one and the proof (see trailer), and the
// index. The pack is made, or waited for, when its turn comes.
type shipment struct {
	parcels *parcels
	release hostdriver.Release
	said    offer
	tools   string

	begun bool
	parts []io.Reader
	open  io.Closer
	err   error
}

func (s *shipment) Read(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		if err := s.begin(); err != nil {
			s.err = s.parcels.unreadable(err)
		}
	}
	for s.err == nil && len(s.parts) > 0 {
		n, err := s.parts[0].Read(b)
		if err == io.EOF {
			s.parts, err = s.parts[1:], nil
		}
		if err != nil {
			s.err = s.parcels.unreadable(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	if s.open != nil {
		_ = s.open.Close()
		s.open = nil
	}
	if s.err != nil {
		return 0, s.err
	}
	return 0, io.EOF
}

func (s *shipment) begin() error {
	p, baseKey, err := s.pack()
	if err != nil {
		return err
	}
	from := int64(0)
	if s.said.part == p.id && s.said.has <= p.size {
		from = s.said.has
	}
	body, err := p.open(from)
	if err != nil {
		return fmt.Errorf("cannot open the release %s: %w", s.release.Path, err)
	}
	s.open = body
	head := fmt.Sprintf("%s %s %s %d %d %d %s\n", p.id, p.encoding, baseKey, p.size, from, len(p.recipe), p.key.text())
	s.parcels.sent.Add(p.size - from + int64(len(p.recipe)))
	s.parts = []io.Reader{strings.NewReader(head), bytes.NewReader(p.recipe), &exactly{r: body, left: p.size - from, release: s.release}, &trailerReader{parcels: s.parcels, trailer: p.trailer}}
	return nil
}

// pack is what to send to this host, and the key of the base that it is for, or "-".
func (s *shipment) pack() (*pack, string, error) {
	r := s.release
	key := packKey{stream: r.Travels(), form: r.Form, encoding: s.parcels.driver.encodingFor(r, s.tools)}
	if s.said.base != "" {
		sum := sha256.Sum256(s.said.index)
		key.base = hex.EncodeToString(sum[:])
	}
	s.parcels.uses(key)
	p, done, err := s.parcels.driver.packs.get(s.parcels.ctx, key, func() (*pack, error) {
		// What a host has kept and nobody can read is as good as none.
		b, err := parseIndex(s.said.index)
		enc := key.encoding
		switch {
		case err != nil:
			b = nil
		case enc == plain && s.parcels.driver.compression != CompressNever:
			enc = gzipped // of what has changed there is little
		}
		return buildPack(r, b, enc)
	})
	if err != nil {
		return nil, "", err
	}
	context.AfterFunc(s.parcels.ctx, done)
	if len(p.recipe) == 0 {
		return p, "-", nil
	}
	return p, s.said.base, nil
}

// encodingFor is how a release is compressed for a host with these tools.
func (d *Driver) encodingFor(r hostdriver.Release, tools string) encoding {
	switch {
	case r.Size < smallRelease || d.compression == CompressNever:
		return plain
	case tools == string(zstded):
		return zstded
	case d.compression == CompressAlways || d.bandwidth != nil:
		return gzipped
	}
	return plain
}

// exactly gives so many bytes: one more or less would shift all that follows.
type exactly struct {
	r       io.Reader
	left    int64
	release hostdriver.Release
}

func (e *exactly) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(b[:min(int64(len(b)), e.left)])
	e.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && e.left > 0:
		return n, fmt.Errorf("the release %s is shorter than the %d bytes it should have", e.release.Path, e.release.Size)
	case errors.Is(err, io.EOF):
		return n, nil
	case err != nil:
		return n, fmt.Errorf("cannot read the release %s: %w", e.release.Path, err)
	}
	return n, nil
}

// trailerReader gives the trailer once all before it was sent.
type trailerReader struct {
	parcels *parcels
	trailer func() (trailer, error) // nil: none
	text    *bytes.Reader
}

func (x *trailerReader) Read(b []byte) (int, error) {
	if x.text == nil {
		t := trailer{proof: "-"}
		if x.trailer != nil {
			var err error
			if t, err = x.trailer(); err != nil {
				return 0, err
			}
		}
		x.parcels.sent.Add(int64(len(t.index)))
		x.text = bytes.NewReader(append([]byte(t.line()), t.index...))
	}
	return x.text.Read(b)
}

// bandwidthBurst is how many bytes may be sent at once where the bandwidth is bounded.
const bandwidthBurst = 64 << 10

// bounded reads no faster than the bandwidth allows to all together.
func (d *Driver) bounded(ctx context.Context, r io.Reader) io.Reader {
	if d.bandwidth == nil {
		return r
	}
	return &slowReader{ctx: ctx, r: r, limit: d.bandwidth}
}

type slowReader struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter
}

func (s *slowReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b[:min(len(b), bandwidthBurst)])
	if wait := s.limit.WaitN(s.ctx, n); wait != nil && err == nil {
		err = wait
	}
	return n, err
}
