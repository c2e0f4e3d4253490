package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"
)

// The floor of a release that was changed in place: what no way can do without that leaves the
// former release whole and proves the new one before it counts. The bytes that changed are
// given to it, nothing is planned, read or remembered, and nothing synced.

// releaseProof reads a release once, as cheaply as openssl can.
const releaseProof = "openssl mac -macopt hexkey:%064d -in %s Poly1305 >/dev/null"

// releaseOver writes what comes on standard input over places of the file $1: OFFSET:SIZE ….
const releaseOver = `perl -e '
my $new = shift;
open(my $to, "+<", $new) or die "$new: $!";
for (@ARGV) {
	my ($at, $left) = split /:/;
	sysseek($to, $at, 0) or die "seek: $!";
	while ($left > 0) {
		my $has = sysread(STDIN, my $bytes, $left) or die "it ends too early";
		syswrite($to, $bytes) == $has or die "write: $!";
		$left -= $has;
	}
}' `

// changedPart is where two files of one size differ.
type changedPart struct{ at, size int64 }

const compareBlock = 4096

// changedParts compares two files.
func changedParts(a, b string) (parts []changedPart, err error) {
	x, err := os.Open(a)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return nil, err
	}
	defer y.Close()
	one, other := make([]byte, compareBlock), make([]byte, compareBlock)
	for at := int64(0); ; at += compareBlock {
		n, errA := io.ReadFull(x, one)
		m, errB := io.ReadFull(y, other)
		if n != m {
			return nil, fmt.Errorf("%s and %s are not of one size", a, b)
		}
		if !bytes.Equal(one[:n], other[:n]) {
			if last := len(parts) - 1; last >= 0 && parts[last].at+parts[last].size == at {
				parts[last].size += int64(n)
			} else {
				parts = append(parts, changedPart{at, int64(n)})
			}
		}
		if n < compareBlock {
			for _, err := range []error{errA, errB} {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					return nil, err
				}
			}
			return parts, nil
		}
	}
}

// floorRelease brings a release to all hosts at once, whole where changed has nothing, and
// else over the one that they have. With bytesOnly the bytes are brought, and nothing is made of them.
func (s *stage) floorRelease(ctx context.Context, file string, changed []changedPart, bytesOnly bool, m measure) error {
	sent, err := partsOf(file, changed)
	if err != nil {
		return err
	}
	to := releasePath + ".new"
	command := "cat >" + to
	if changed != nil && !bytesOnly {
		var places []string
		for _, p := range changed {
			places = append(places, fmt.Sprintf("%d:%d", p.at, p.size))
		}
		command = "cat <" + releasePath + " >" + to + " && " + releaseOver + to + " " + strings.Join(places, " ")
	}
	if !bytesOnly {
		command += " && " + fmt.Sprintf(releaseProof, 0, to) + " && mv -fT " + to + " " + releasePath
	}
	command = "sudo -n /bin/sh -c '" + strings.ReplaceAll(command, "'", `'\''`) + "'"
	took, err := s.once(func() error {
		f, err := dialFloor(ctx, s.login(loginUser), s.addresses())
		if err != nil {
			return err
		}
		defer f.close()
		var g errgroup.Group
		for _, c := range f.clients {
			g.Go(func() error { return sendTo(ctx, c, command, sent) })
		}
		return g.Wait()
	})
	if err != nil {
		return fmt.Errorf("the floor cannot bring a release: %w", err)
	}
	s.note(m, took)
	return nil
}

// partsOf reads those parts of a file, or all of it.
func partsOf(file string, parts []changedPart) ([]byte, error) {
	if parts == nil {
		return os.ReadFile(file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	for _, p := range parts {
		if _, err := io.Copy(&b, io.NewSectionReader(f, p.at, p.size)); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// releaseFloors measures the floor, from hosts that have nothing.
func (s *stage) releaseFloors(ctx context.Context, first, next string) error {
	changed, err := changedParts(first, next)
	if err != nil {
		return err
	}
	if len(changed) == 0 {
		return errors.New("the two releases are the same")
	}
	if err := s.clearReleases(ctx); err != nil {
		return err
	}
	for _, x := range []struct {
		file      string
		changed   []changedPart
		bytesOnly bool
		m         measure
	}{{first, nil, false, floorFirst}, {next, changed, true, floorBytes}, {next, changed, false, floorNext}} {
		if err := s.beforeRelease(ctx); err != nil {
			return err
		}
		if err := s.floorRelease(ctx, x.file, x.changed, x.bytesOnly, x.m); err != nil {
			return err
		}
		if x.bytesOnly {
			continue
		}
		if err := s.hasRelease(ctx, x.file); err != nil {
			return fmt.Errorf("%s: %w", x.m, err)
		}
	}
	return nil
}
