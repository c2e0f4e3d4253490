// Package arrows holds a test of the imports between evenkeel's packages: they
// point down only, and the core stays pure.
package arrows
