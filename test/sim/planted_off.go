//go:build !planted

package main

// planted is the bug that is planted in the simulated effects or hosts: none.
const planted = ""
