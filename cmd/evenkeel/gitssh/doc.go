// Package gitssh reaches git servers over the same SSH as hosts: known_hosts is strict,
// keys come from files and the agent, ssh_config is read.
package gitssh
