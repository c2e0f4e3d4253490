# shell.sh: a shell that stays, and carries out one request after the other. It ends when
# its standard input does: with the connection at the latest.
#
# A request is a line "NONCE PARTS SIZE PAYLOAD", then PARTS bytes of functions that this
# shell has not been told yet, then SIZE bytes of what to do: whole lines, and where SIZE
# is 0, lines up to one that is NONCE. A request runs in a subshell: nothing of it is left
# for the next one. What it has been told is followed, where PAYLOAD
# is 1, by what the request itself reads; else it has no standard input.

serve() {
	cd /
	while IFS=' ' read -r NONCE parts size payload; do
		[ "$parts" = 0 ] || eval "$(dd bs=65536 count="$parts" iflag=count_bytes,fullblock status=none)"
		(
			if [ "$size" = 0 ]; then
				# A process costs as much as reading some 2,000 bytes one by one.
				request=
				while IFS= read -r line && [ "$line" != "$NONCE" ]; do
					request=$request$line$NL
				done
				[ "$line" = "$NONCE" ] || exit 1
			else
				request=$(dd bs=65536 count="$size" iflag=count_bytes,fullblock status=none)
			fi
			[ "$payload" = 1 ] || exec </dev/null
			eval "$request"
		)
		printf '\n%s gone %s\n' "$NONCE" "$?" >&3
	done
	exit 0
}
