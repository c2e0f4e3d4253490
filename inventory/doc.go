// Package inventory knows the hosts: their names, addresses, labels, groups and
// vars, the label selectors that pick among them, and the loaders that read them
// from evenkeel's own YAML, from Ansible's inventories and from an executable.
//
// It does no network I/O. Start reading at host.go.
package inventory
