// Command lab makes and disturbs real hosts on this machine, for trying evenkeel by hand.
//
//	go run ./test/lab needs            install what labs need
//	go run ./test/lab up 5 --haproxy=gateway:8080
//	go run ./test/lab list             addresses, key files, flags to paste
//	go run ./test/lab inventory        an Inventory of the hosts
//	go run ./test/lab ssh 3 [COMMAND…]
//	go run ./test/lab cut 2 / heal 2 / kill 2 / boot 2 / reboot 2 / freeze 2 / thaw 2
//	go run ./test/lab down [--all]
//
// A lab that `up` made stays until `down`, or until this machine restarts. Every verb works on the lab that --prefix names.
// The hosts themselves are made by package lab, in the folder of that name; tests use that and make labs of their own.
package main
