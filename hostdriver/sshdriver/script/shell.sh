# shell.sh: a shell that stays, and carries out one request after the other. It ends when
# its standard input does: with the connection at the latest.
#
# A request is a line "NONCE PARTS SIZE PAYLOAD", then PARTS bytes of functions that this
# shell has not been told yet, then SIZE bytes of what to do. A request runs in a subshell:
# nothing of it is left for the next one. What it has been told is followed, where PAYLOAD
# is 1, by what the request itself reads; else it has no standard input.

serve() {
	cd /
	while IFS=' ' read -r NONCE parts size payload; do
		[ "$parts" = 0 ] || eval "$(dd bs=65536 count="$parts" iflag=count_bytes,fullblock status=none)"
		(
			request=$(dd bs=65536 count="$size" iflag=count_bytes,fullblock status=none)
			[ "$payload" = 1 ] || exec </dev/null
			eval "$request"
		)
		printf '\n%s gone %s\n' "$NONCE" "$?" >&3
	done
	exit 0
}
