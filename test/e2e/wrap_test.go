package e2e

import "github.com/evenkeel/evenkeel/test/lab/lab"

// wrap puts a shell script in the place of a program of the host's /usr/bin, which is
// still there under its name with .real.
func (s *stage) wrap(h *lab.Host, program, script string) {
	s.t.Helper()
	path := "/usr/bin/" + program
	must(s, h.WriteFile(path+".wrapped", []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	s.on(h, "cp -a "+path+" "+path+".real && mv -f "+path+".wrapped "+path)
}

// unwrap puts the program back.
func (s *stage) unwrap(h *lab.Host, program string) {
	s.t.Helper()
	path := "/usr/bin/" + program
	s.on(h, "cp -a --remove-destination "+path+".real "+path)
}
