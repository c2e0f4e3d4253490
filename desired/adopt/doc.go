// Package adopt makes a fleet repo of what runs already. It is told what hosts have (a
// hostdriver.Survey and Observations) and says which files the repo is to have, so that
// evenkeel finds nothing to do on these hosts.
//
// It does no I/O and decides nothing about hosts that are not asked for. Host collects
// what is known of one host and says what must still be asked (host.go); Build groups
// equal units of all hosts into services (build.go, component.go); env.go, envsource.go and secret.go
// take secrets out of env files; yaml.go writes the documents. What cannot be taken over
// as it is, is left alone and named with the reason.
//
// Nothing that a host says is trusted: names are checked, and no path of the repo is made
// of one without localName.
package adopt
