// Package inventory knows the hosts: their names, addresses, labels, groups and
// vars, the label selectors that pick among them, and the loaders that read them
// from evenkeel's own YAML, from Ansible's inventories and from an executable.
//
// It does no network I/O; an executable inventory is run by the Runner it is handed
// (ExecRunner is the real one). A Builder takes files in any of the formats, in any
// order, and Build lays groups under hosts:
//
//	vars:    group all < parent groups < child groups < the host's own
//	         (at the same depth: ansible_group_priority, then by name);
//	         at each step what stands in group_vars/ or host_vars/ beats the
//	         inventory itself. A value replaces the whole value below it.
//	labels:  in the same order, key by key.
//
// Of an Ansible inventory, every group that a host is in (parents included, "all"
// and "ungrouped" not) becomes the label ansible_group/NAME: "true", and a var
// evenkeel_labels (a map, at a group or a host) gives further labels, evenkeel_suspend
// (true or a reason) leaves a host as it is. Where to
// connect comes from ansible_host, ansible_port, ansible_user and the ProxyJump of
// ansible_ssh_common_args (or evenkeel_jump). Jinja is not evaluated and Ansible
// Vault is not opened: where either stands in one of these, it is a fault.
//
// Start reading at host.go, then builder.go.
package inventory
