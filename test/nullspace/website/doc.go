// Command website serves nullspace's static pages from a directory. It reads
// each file anew for each request, so that a changed page needs no restart. It
// reads:
//
//	WEBSITE_ROOT        required: the directory with index.html
//	WEBSITE_LISTEN      where it listens; else :PORT, else :8081
//	WEBSITE_GRACE       how long a stop may take; 10s; with 0, SIGTERM kills at once
//	NULLSPACE_INSTANCE  the name it answers with, as header X-Served-By; the host's name by default
package main
